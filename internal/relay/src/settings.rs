//! A relay as a file or flags write it.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::config::{Config, Errors, Limits};
use crate::pipeline::{Pipeline, PipelineError};
use crate::rules::{Rule, RuleError, WrittenRule};
use crate::upstream::{Upstream, UpstreamError};

/// The longest line or message that can be set, bytes: each is held in memory.
const LARGEST: usize = 64 * 1024 * 1024;

/// The times that answers can be given.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_hours(24);

/// A relay's table of settings. Every field may be missing; without `upstream` it is no relay yet.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `ws://host:port/path`, or `wss://`.
    pub upstream: Option<String>,
    /// `close` or `message`.
    pub errors: Option<String>,
    /// One connection for all visitors.
    pub shared: bool,
    /// Steps, in order.
    pub incoming: Names,
    /// Steps, in order.
    pub outgoing: Names,
    incoming_rules: Vec<WrittenRule>,
    outgoing_rules: Vec<WrittenRule>,
    /// JSON pointer.
    pub correlate: Option<String>,
    /// A time with its unit: `30s`.
    pub answer_timeout: Option<String>,
    /// Bytes, or a number with a unit.
    pub line_limit: Option<ByteSize>,
    /// Bytes, or a number with a unit.
    pub message_limit: Option<ByteSize>,
    /// How many visitors at the same time.
    pub visitors: Option<usize>,
}

/// Names of steps: a list, or one text with commas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Names(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Names {
    fn from(written: OneOrMany) -> Self {
        match written {
            OneOrMany::One(text) => text.as_str().into(),
            OneOrMany::Many(names) => Self(names),
        }
    }
}

impl From<&str> for Names {
    fn from(text: &str) -> Self {
        let names = text.split(',').map(str::trim);
        Self(
            names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }
}

/// What is wrong with a setting.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct SettingsError {
    /// Which.
    pub field: &'static str,
    /// Why, and what to write instead.
    pub problem: String,
}

/// Says which field a problem is about.
fn of<E: ToString>(field: &'static str) -> impl Fn(E) -> SettingsError {
    move |error| SettingsError {
        field,
        problem: error.to_string(),
    }
}

impl Settings {
    /// Checks them. TLS is not among them: who calls knows whom to trust.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<Config, SettingsError> {
        let upstream = self
            .upstream
            .as_deref()
            .ok_or_else(|| of("upstream")("there is none; write ws://host:port/path"))?;
        let upstream: Upstream = upstream.parse().map_err(of::<UpstreamError>("upstream"))?;
        let mut config = Config::new(upstream);
        config.limits = self.limits()?;
        config.incoming = pipeline(
            &self.incoming,
            "incoming",
            &self.incoming_rules,
            "incoming_rules",
            &config.limits,
        )?;
        config.outgoing = pipeline(
            &self.outgoing,
            "outgoing",
            &self.outgoing_rules,
            "outgoing_rules",
            &config.limits,
        )?;
        if let Some(errors) = &self.errors {
            config.errors = errors.parse::<Errors>().map_err(of("errors"))?;
        }
        config.answer = self.answer()?;
        if let Some(pointer) = &self.correlate {
            let pointer = pointer.parse().map_err(of::<RuleError>("correlate"))?;
            config = config.correlated(pointer);
        }
        if let Some(visitors) = self.visitors {
            config.visitors = within("visitors", visitors, 1, 1_000_000)?;
        }
        self.share(config)
    }

    /// What only makes sense together.
    fn share(&self, config: Config) -> Result<Config, SettingsError> {
        let json = config.incoming.reads_json() && config.outgoing.reads_json();
        if config.correlate.is_some() && !json {
            let why = "it is a place in JSON, so incoming and outgoing both need the step json";
            return Err(of("correlate")(why));
        }
        let field = config
            .correlate
            .clone()
            .filter(|pointer| !pointer.is_root());
        match (self.shared, field) {
            (false, _) => Ok(config),
            (true, Some(field)) => Ok(config.shared(field)),
            (true, None) => {
                let why = "answers on a shared connection are told apart by a field that the upstream copies from a \
                           request to its answer; name it, such as correlate = \"/id\"";
                Err(of("shared")(why))
            }
        }
    }

    fn limits(&self) -> Result<Limits, SettingsError> {
        let mut limits = Limits::default();
        if let Some(message) = self.message_limit {
            limits.message = within("message_limit", bytes(message), 125, LARGEST)?;
        }
        if let Some(line) = self.line_limit {
            limits.line = within("line_limit", bytes(line), 1, LARGEST)?;
        }
        Ok(limits)
    }

    fn answer(&self) -> Result<Option<Duration>, SettingsError> {
        let Some(text) = &self.answer_timeout else {
            return Ok(None);
        };
        let time = humantime::parse_duration(text).ok();
        let time = time.filter(|time| (SHORTEST..=LONGEST).contains(time));
        time.map(Some).ok_or_else(|| {
            of("answer_timeout")(format!(
                "{text:?} is no such time; write one with its unit, from 10ms to 1day"
            ))
        })
    }
}

/// As a number, the largest there is where it is larger than that.
fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

fn within(
    field: &'static str,
    value: usize,
    least: usize,
    most: usize,
) -> Result<usize, SettingsError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(of(field)(format!(
        "{value} is out of range; write a whole number from {least} to {most}"
    )))
}

fn pipeline(
    names: &Names,
    names_field: &'static str,
    rules: &[WrittenRule],
    rules_field: &'static str,
    limits: &Limits,
) -> Result<Pipeline, SettingsError> {
    let pipeline = Pipeline::named(&names.0, limits).map_err(of::<PipelineError>(names_field))?;
    let rules = rules.iter().cloned().enumerate().map(|(at, rule)| {
        Rule::try_from(rule).map_err(|error| of(rules_field)(format!("rule {}: {error}", at + 1)))
    });
    let rules = rules.collect::<Result<Vec<_>, _>>()?;
    pipeline
        .with_rules(rules)
        .map_err(of::<PipelineError>(rules_field))
}

#[cfg(test)]
mod tests;
