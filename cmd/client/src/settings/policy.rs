//! The table `[policy]`: what messages' policies hold, except that secrets are in files beside it.

use std::fmt;
use std::path::{Path, PathBuf};

use messages::{BasicAuth, Cors, FieldRules, MAX_POLICY, Policy, Provider, Secret, Webhook};
use runtime::config::{ConfigError, List, Loaded};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::secret::{self, Secrets, Source, origin};
use super::words::{NetworkWord, Seconds, Switch, Word};
use super::{Written, passwords};

/// A policy, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenPolicy {
    basic_auth: Option<BasicAuth>,
    pub(super) basic_auth_file: Option<PathBuf>,
    allow_ips: List<NetworkWord>,
    deny_ips: List<NetworkWord>,
    request_headers: WrittenFields,
    response_headers: WrittenFields,
    cors: Option<WrittenCors>,
    strip_prefix: Option<String>,
    add_prefix: Option<String>,
    https_only: Switch,
    compress: Switch,
    no_robots: Switch,
    webhook: Option<WrittenWebhook>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenFields {
    set: Fields,
    remove: List<Word>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenCors {
    origins: List<Word>,
    methods: List<Word>,
    headers: List<Word>,
    expose: List<Word>,
    credentials: Switch,
    max_age: Option<Seconds>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenWebhook {
    provider: Option<Provider>,
    secret_file: Option<PathBuf>,
    tolerance: Option<Seconds>,
    report_only: Switch,
    header: Option<String>,
}

impl WrittenPolicy {
    /// The files that hold its secrets.
    pub(super) fn files(&self) -> [Option<&Path>; 2] {
        let webhook = self.webhook.as_ref();
        [
            self.basic_auth_file.as_deref(),
            webhook.and_then(|webhook| webhook.secret_file.as_deref()),
        ]
    }
}

/// The policy that the settings come to; `None` when it asks for nothing.
///
/// # Errors
/// The first rule that is broken, by the name of the flag or field that broke it; a file of secrets that cannot be used.
pub(super) fn read(
    loaded: &Loaded<Written>,
    secrets: &Secrets,
) -> Result<Option<Policy>, ConfigError> {
    let written = &loaded.settings.policy;
    let policy = Policy {
        basic_auth: basic_auth(loaded, secrets)?,
        allow_ips: written.allow_ips.0.iter().map(|word| word.0).collect(),
        deny_ips: written.deny_ips.0.iter().map(|word| word.0).collect(),
        request_headers: written.request_headers.rules(),
        response_headers: written.response_headers.rules(),
        cors: written.cors.as_ref().map(WrittenCors::rules),
        strip_prefix: written.strip_prefix.clone(),
        add_prefix: written.add_prefix.clone(),
        https_only: written.https_only.0,
        compress: written.compress.0,
        no_robots: written.no_robots.0,
        webhook: webhook(loaded)?,
    };
    policy
        .check()
        .map_err(|error| blame(loaded, error.field, error.rule))?;
    let length = policy.to_json().len();
    if length > MAX_POLICY {
        return Err(ConfigError::Field {
            field: "policy".to_owned(),
            origin: "all of its rules together".to_owned(),
            problem: format!("at most {MAX_POLICY} bytes can be registered, these are {length}"),
        });
    }
    Ok((!policy.is_empty()).then_some(policy))
}

fn basic_auth(
    loaded: &Loaded<Written>,
    secrets: &Secrets,
) -> Result<Option<BasicAuth>, ConfigError> {
    const FILE: &str = "policy.basic_auth_file";
    let hashed = loaded.settings.policy.basic_auth.clone();
    let source = secrets.basic_auth(loaded)?;
    let credentials = match source {
        None => return Ok(hashed),
        Some(Source::File(_)) if hashed.is_some() && origin(loaded, FILE).starts_with("in ") => {
            let why = "policy.basic_auth is set too; leave one of them out";
            return Err(loaded.fault(FILE, why));
        }
        Some(Source::File(path)) => secret::read(path)
            .and_then(|text| passwords::credentials(&text))
            .map_err(|why| loaded.fault(FILE, why))?,
        Some(Source::Variable(name, text)) => {
            passwords::credentials(text).map_err(|why| ConfigError::Variable {
                variable: name.to_owned(),
                why,
            })?
        }
    };
    Ok(Some(BasicAuth { credentials }))
}

fn webhook(loaded: &Loaded<Written>) -> Result<Option<Webhook>, ConfigError> {
    const SECRET: &str = "policy.webhook.secret_file";
    let Some(written) = &loaded.settings.policy.webhook else {
        return Ok(None);
    };
    let missing = |what| blame(loaded, "webhook", format!("there is no {what}"));
    let provider = written
        .provider
        .ok_or_else(|| missing("provider; say whose signatures with --verify-webhook"))?;
    let file = written
        .secret_file
        .as_deref()
        .ok_or_else(|| missing("secret; name the file that holds it with --webhook-secret-file"))?;
    let text = secret::read(file).map_err(|why| loaded.fault(SECRET, why))?;
    let secrets = text.lines().filter(|line| !line.is_empty());
    Ok(Some(Webhook {
        provider,
        secrets: secrets.map(Secret::new).collect(),
        tolerance: written.tolerance.map(|seconds| seconds.0),
        report_only: written.report_only.0,
        header: written.header.clone(),
    }))
}

/// A complaint about a field of a policy, by the flag that set it or a part of it, where one did.
fn blame(loaded: &Loaded<Written>, field: &str, rule: String) -> ConfigError {
    const PARTS: [&str; 13] = [
        "",
        "_file",
        ".set",
        ".remove",
        ".origins",
        ".methods",
        ".headers",
        ".expose",
        ".credentials",
        ".provider",
        ".secret_file",
        ".tolerance",
        ".header",
    ];
    let field = format!("policy.{field}");
    let part = PARTS
        .iter()
        .map(|part| format!("{field}{part}"))
        .find(|part| origin(loaded, part).starts_with("from "));
    loaded.fault(&part.unwrap_or(field), rule)
}

impl WrittenFields {
    fn rules(&self) -> FieldRules {
        FieldRules {
            set: self.set.0.clone(),
            remove: self.remove.0.iter().map(Word::text).collect(),
        }
    }
}

impl WrittenCors {
    fn rules(&self) -> Cors {
        let texts = |list: &List<Word>| list.0.iter().map(Word::text).collect();
        Cors {
            origins: texts(&self.origins),
            methods: texts(&self.methods),
            headers: texts(&self.headers),
            expose: texts(&self.expose),
            credentials: self.credentials.0,
            max_age: self.max_age.map(|seconds| seconds.0),
        }
    }
}

/// Fields with values: an array of `[name, value]` or `'Name: value'` in a file, lines of `Name: value` from flags.
#[derive(Debug, Default)]
struct Fields(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FieldsVisitor)
    }
}

struct FieldsVisitor;

/// One field in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Field {
    Pair(String, String),
    Line(String),
}

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of [name, value] or 'Name: value'")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Fields, E> {
        text.lines().map(line).collect::<Result<_, E>>().map(Fields)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = list.next_element()? {
            fields.push(match field {
                Field::Pair(name, value) => (name, value),
                Field::Line(text) => line(&text)?,
            });
        }
        Ok(Fields(fields))
    }
}

fn line<E: Error>(text: &str) -> Result<(String, String), E> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| E::custom("a field has no colon; write 'Name: value'"))?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests;
