//! Rules: which events pass, and what their fields are called.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::event::Event;
use crate::step::{Codec, Step, StepError, each};

/// One rule, over the JSON of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Only events pass in which the field is there and, where a value is given, has it.
    Keep(Pointer, Option<Value>),
    /// Events do not pass in which the field is there and, where a value is given, has it.
    Drop(Pointer, Option<Value>),
    /// A field that is there moves. What stood at the new place is replaced.
    Rename(Pointer, Pointer),
}

/// Why something is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Not exactly one of the three verbs.
    #[error(
        "a rule is one of {{ keep = \"/field\" }}, {{ drop = \"/field\", is = \"value\" }} and {{ rename = \"/field\", to = \"/other\" }}"
    )]
    Verb,
    /// Not a JSON pointer.
    #[error("{0:?} is no place in JSON; write \"/field\", or \"/outer/inner\" (RFC 6901)")]
    Pointer(String),
}

/// A place in a JSON value (RFC 6901). The empty one is the whole value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(String);

impl FromStr for Pointer {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        // RFC 6901, 3: a tilde is 0 or 1 behind it.
        let escaped = |token: &str| {
            token
                .split('~')
                .skip(1)
                .all(|rest| rest.starts_with(['0', '1']))
        };
        if (text.is_empty() || text.starts_with('/')) && escaped(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RuleError::Pointer(text.to_owned()))
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pointer {
    /// Whether it is the whole value.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// What is there.
    #[must_use]
    pub fn get<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        value.pointer(&self.0)
    }

    /// Takes a field out of its object.
    pub(crate) fn take(&self, value: &mut Value) -> Option<Value> {
        let (object, field) = self.0.rsplit_once('/')?;
        let object = value.pointer_mut(object)?.as_object_mut()?;
        object.remove(&unescape(field))
    }

    /// Puts a field into its object, which is made where there is none; `false` where something else stands there.
    pub(crate) fn put(&self, value: &mut Value, field: Value) -> bool {
        let Some((objects, last)) = self.0.rsplit_once('/') else {
            *value = field;
            return true;
        };
        let mut at = value;
        for name in objects.split('/').skip(1) {
            let Some(object) = at.as_object_mut() else {
                return false;
            };
            at = object
                .entry(unescape(name))
                .or_insert_with(|| Value::Object(Map::new()));
        }
        let Some(object) = at.as_object_mut() else {
            return false;
        };
        object.insert(unescape(last), field);
        true
    }
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// A rule, as it is written in a file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenRule {
    keep: Option<String>,
    drop: Option<String>,
    rename: Option<String>,
    to: Option<String>,
    is: Option<Value>,
}

impl TryFrom<WrittenRule> for Rule {
    type Error = RuleError;

    fn try_from(written: WrittenRule) -> Result<Self, RuleError> {
        let WrittenRule {
            keep,
            drop,
            rename,
            to,
            is,
        } = written;
        match (keep, drop, rename, to) {
            (Some(field), None, None, None) => Ok(Self::Keep(field.parse()?, is)),
            (None, Some(field), None, None) => Ok(Self::Drop(field.parse()?, is)),
            (None, None, Some(field), Some(to)) if is.is_none() => {
                Ok(Self::Rename(field.parse()?, to.parse()?))
            }
            _ => Err(RuleError::Verb),
        }
    }
}

impl Rule {
    /// Whether the event still passes.
    fn apply(&self, event: &mut Event) -> Result<bool, StepError> {
        match self {
            Self::Keep(field, is) => Ok(matches(event, field, is.as_ref())),
            Self::Drop(field, is) => Ok(!matches(event, field, is.as_ref())),
            Self::Rename(field, to) => rename(event, field, to).map(|()| true),
        }
    }
}

fn matches(event: &Event, field: &Pointer, is: Option<&Value>) -> bool {
    let found = event.json().and_then(|json| field.get(json));
    found.is_some_and(|found| is.is_none_or(|is| is == found))
}

fn rename(event: &mut Event, field: &Pointer, to: &Pointer) -> Result<(), StepError> {
    if !matches(event, field, None) {
        return Ok(());
    }
    let Some(json) = event.json_mut() else {
        return Ok(());
    };
    let Some(value) = field.take(json) else {
        return Ok(());
    };
    if to.put(json, value) {
        return Ok(());
    }
    Err(StepError::Failed(format!(
        "{field} cannot become {to}: something else stands on the way there"
    )))
}

/// Rules, one after another, as the last step before things are put together again.
#[derive(Debug, Clone)]
pub(crate) struct Rules(pub(crate) Vec<Rule>);

impl Codec for Rules {
    fn decoder(&self) -> Option<Box<dyn Step>> {
        let rules = self.0.clone();
        Some(each(move |mut event| {
            for rule in &rules {
                if !rule.apply(&mut event)? {
                    return Ok(None);
                }
            }
            Ok(Some(event))
        }))
    }
}

#[cfg(test)]
mod tests;
