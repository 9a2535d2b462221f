//! Header fields that are set or removed on the way.

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{PolicyError, at_most};

/// The longest value that a rule may set, in bytes.
const MAX_VALUE: usize = 1024;

/// Fields that say how a message is framed or routed, look as if they did, or that Adit itself writes: no rule touches
/// them. Neither those whose names begin as [`RESERVED_PREFIXES`] do.
const RESERVED: [&str; 21] = [
    "connection",
    "content-length",
    "content_length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "transfer_encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
];

/// Adit's own fields, and those of a WebSocket's opening handshake.
const RESERVED_PREFIXES: [&str; 2] = ["adit-", "sec-websocket-"];

/// First `remove`, then `set`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldRules {
    /// Name and value; replaces every field of that name, so that of two entries for one name the last counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// Names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl FieldRules {
    /// True when nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    pub(super) fn check(&self, field: &'static str) -> Result<(), PolicyError> {
        at_most(field, self.set.len().saturating_add(self.remove.len()))?;
        for name in self.set.iter().map(|(name, _)| name).chain(&self.remove) {
            check_name(field, name)?;
        }
        for (name, value) in &self.set {
            check_value(field, name, value)?;
        }
        Ok(())
    }
}

fn check_name(field: &'static str, name: &str) -> Result<(), PolicyError> {
    let shown: String = name.chars().take(64).collect();
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| PolicyError::new(field, format!("{shown:?} is no header field name")))?;
    let parsed = parsed.as_str();
    let begins = |prefix: &&str| parsed.starts_with(*prefix);
    if RESERVED.contains(&parsed) || RESERVED_PREFIXES.iter().any(begins) {
        let rule = format!("{shown} says how a message travels and cannot be changed");
        return Err(PolicyError::new(field, rule));
    }
    Ok(())
}

fn check_value(field: &'static str, name: &str, value: &str) -> Result<(), PolicyError> {
    let fine = value.len() <= MAX_VALUE
        && value.trim_matches([' ', '\t']) == value
        && HeaderValue::from_str(value).is_ok();
    if fine {
        return Ok(());
    }
    Err(PolicyError::new(
        field,
        format!(
            "the value of {name} must be at most {MAX_VALUE} visible characters without line breaks or outer blanks"
        ),
    ))
}
