//! Pipelines: which steps an event goes through, in which order.
//!
//! Events are taken apart by the steps in the order in which they are written, then rules look at them, and then they
//! are put together again by the same steps in reverse. So `lines, json` reads each line as JSON, and what leaves is
//! JSON again, behind each a line feed.

use std::sync::Arc;

use crate::config::Limits;
use crate::event::Event;
use crate::rules::{Rule, Rules};
use crate::step::{
    Base64, Codec, Decompress, JsonText, LengthPrefixed, Lines, Step, StepError, Text,
};

/// The steps of one direction. None of them is passthrough: messages leave as they came.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    layers: Vec<Layer>,
    reads_json: bool,
}

#[derive(Debug, Clone)]
struct Layer {
    codec: Arc<dyn Codec>,
    decodes: bool,
    encodes: bool,
}

/// Why names make no pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// No step has this name.
    #[error(
        "{0:?} is no step; there are lines, string, json, base64, length-prefixed, decompress and passthrough, each but \
         the last also with -decode or -encode behind it"
    )]
    Unknown(String),
    /// Rules without JSON.
    #[error("rules look into JSON, so the pipeline needs the step json")]
    RulesWithoutJson,
}

impl Pipeline {
    /// Steps by their names, which may have `-decode` or `-encode` behind them for that half alone.
    ///
    /// # Errors
    /// A name that no step has.
    pub fn named<S: AsRef<str>>(
        names: impl IntoIterator<Item = S>,
        limits: &Limits,
    ) -> Result<Self, PipelineError> {
        let mut pipeline = Self::default();
        for name in names {
            let name = name.as_ref();
            if name != "passthrough" {
                pipeline.add(name, limits)?;
            }
        }
        Ok(pipeline)
    }

    fn add(&mut self, name: &str, limits: &Limits) -> Result<(), PipelineError> {
        let (kind, decodes, encodes) = match name.rsplit_once('-') {
            Some((kind, "decode")) => (kind, true, false),
            Some((kind, "encode")) => (kind, false, true),
            _ => (name, true, true),
        };
        let codec: Arc<dyn Codec> = match kind {
            "lines" => Arc::new(Lines {
                longest: limits.line,
            }),
            "string" => Arc::new(Text),
            "json" => Arc::new(JsonText),
            "base64" => Arc::new(Base64),
            "length-prefixed" => Arc::new(LengthPrefixed {
                longest: limits.message,
            }),
            "decompress" => Arc::new(Decompress {
                most: limits.message,
            }),
            _ => return Err(PipelineError::Unknown(name.to_owned())),
        };
        self.reads_json |= kind == "json" && decodes;
        self.layers.push(Layer {
            codec,
            decodes,
            encodes,
        });
        Ok(())
    }

    /// A step of one's own behind those there are.
    #[must_use]
    pub fn then(mut self, codec: impl Codec) -> Self {
        self.layers.push(Layer {
            codec: Arc::new(codec),
            decodes: true,
            encodes: true,
        });
        self
    }

    /// Rules behind the steps there are.
    ///
    /// # Errors
    /// Nothing before them reads JSON.
    pub fn with_rules(self, rules: Vec<Rule>) -> Result<Self, PipelineError> {
        match rules {
            rules if rules.is_empty() => Ok(self),
            _ if !self.reads_json => Err(PipelineError::RulesWithoutJson),
            rules => Ok(self.then(Rules(rules))),
        }
    }

    /// Whether events are JSON in its middle, where rules and correlation are.
    #[must_use]
    pub fn reads_json(&self) -> bool {
        self.reads_json
    }

    /// Takes apart, for one connection.
    pub(crate) fn decoder(&self) -> Chain {
        let layers = self.layers.iter().filter(|layer| layer.decodes);
        Chain::new(layers.filter_map(|layer| layer.codec.decoder()).collect())
    }

    /// Puts together, for one connection.
    pub(crate) fn encoder(&self) -> Chain {
        let layers = self.layers.iter().rev().filter(|layer| layer.encodes);
        Chain::new(layers.filter_map(|layer| layer.codec.encoder()).collect())
    }
}

/// Steps, each of which takes what the one before gives. It is a step itself, and holds one event a step at most.
pub(crate) struct Chain {
    steps: Vec<Box<dyn Step>>,
    /// What is taken where there are no steps.
    passing: Option<Event>,
}

impl Chain {
    fn new(steps: Vec<Box<dyn Step>>) -> Self {
        Self {
            steps,
            passing: None,
        }
    }

    /// Takes an event whose predecessor [`Chain::next`] has given wholly.
    pub(crate) fn take(&mut self, event: Event) {
        match self.steps.first_mut() {
            Some(first) => first.take(event),
            None => self.passing = Some(event),
        }
    }

    /// The next event, or the next that failed; `None` when more must be taken.
    pub(crate) fn next(&mut self) -> Option<Result<Event, StepError>> {
        if self.steps.is_empty() {
            return self.passing.take().map(Ok);
        }
        let last = self.steps.len() - 1;
        // From the end, so that no step is given an event while one behind it still has some.
        let mut at = last;
        loop {
            match self.steps[at].next() {
                Some(Ok(event)) if at < last => {
                    at += 1;
                    self.steps[at].take(event);
                }
                Some(made) => return Some(made),
                None if at == 0 => return None,
                None => at -= 1,
            }
        }
    }

    /// There will be nothing more.
    ///
    /// # Errors
    /// That of the first step that holds half of something.
    pub(crate) fn finish(&mut self) -> Result<(), StepError> {
        self.steps.iter_mut().try_for_each(|step| step.finish())
    }
}

#[cfg(test)]
mod tests;
