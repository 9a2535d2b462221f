//! What an agent asks the edge to enforce for its tunnel: the policy that is signed into a registration.
//!
//! A policy is a JSON object. Unlike other messages it is read strictly: a field that a server does not know is refused,
//! because a rule that is silently not enforced is worse than none. Everything is bounded by [`Policy::check`]; how a rule
//! is enforced is the edge's, what an operator permits is the uplink's.

mod cors;
mod fields;
mod network;
mod password;
mod webhook;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use cors::Cors;
pub use fields::FieldRules;
pub use network::{Network, NotANetwork};
pub use password::{BasicAuth, Credential};
pub use webhook::{Provider, Webhook};

/// The largest policy, in bytes of JSON: a registration of 8 KiB holds it in base64url beside its other claims.
pub const MAX_POLICY: usize = 5 * 1024;

/// The most entries of one list of a policy.
pub const MAX_RULES: usize = 64;

/// The longest path prefix, in bytes.
const MAX_PREFIX: usize = 256;

/// Names a policy: the SHA-256 of [`Policy::to_json`], or [`PolicyId::NONE`] for a tunnel without rules.
///
/// Routes and the envelopes that open exchanges carry it, so that the rules the edge applied are those of the link that
/// answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PolicyId(pub [u8; 32]);

impl PolicyId {
    /// No rules.
    pub const NONE: Self = Self([0; 32]);

    /// True for a tunnel without rules.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

/// The rules of one tunnel. Every field that is missing leaves requests as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "snake_case")]
pub struct Policy {
    /// Whom the edge asks for a password (RFC 7617).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Visitors' addresses that alone may call; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_ips: Vec<Network>,
    /// Visitors' addresses that may not call, whatever `allow_ips` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny_ips: Vec<Network>,
    /// Header fields of requests, on their way to the agent.
    #[serde(skip_serializing_if = "FieldRules::is_empty")]
    pub request_headers: FieldRules,
    /// Header fields of responses, on their way to the visitor.
    #[serde(skip_serializing_if = "FieldRules::is_empty")]
    pub response_headers: FieldRules,
    /// Which pages of other origins may read responses (the Fetch standard, 3.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Taken off the front of a path; a request whose path does not begin with it is answered 404.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// Put in front of a path, after `strip_prefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_prefix: Option<String>,
    /// Requests that came without TLS are sent to the same URL with it.
    #[serde(skip_serializing_if = "is_false")]
    pub https_only: bool,
    /// Responses that a visitor takes compressed are compressed at the edge.
    #[serde(skip_serializing_if = "is_false")]
    pub compress: bool,
    /// Search engines are told to stay away, unless a response says otherwise.
    #[serde(skip_serializing_if = "is_false")]
    pub no_robots: bool,
    /// Whose signature requests must carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// Which field of a policy breaks which rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy.{field}: {rule}")]
pub struct PolicyError {
    /// The field, as it is spelled in JSON.
    pub field: &'static str,
    /// What it must be, as half a sentence.
    pub rule: String,
}

impl PolicyError {
    fn new(field: &'static str, rule: impl Into<String>) -> Self {
        Self {
            field,
            rule: rule.into(),
        }
    }
}

impl Policy {
    /// True when it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads a policy and checks it.
    ///
    /// # Errors
    /// When it is above [`MAX_POLICY`] as it is or in its canonical spelling, is no JSON object of these fields, or breaks a rule of [`Policy::check`].
    pub fn from_json(json: &[u8]) -> Result<Self, PolicyError> {
        check_len(json.len())?;
        let policy: Self = serde_json::from_slice(json)
            .map_err(|error| PolicyError::new("policy", error.to_string()))?;
        policy.check()?;
        // Whoever is handed the canonical spelling reads it by the same rules.
        check_len(policy.to_json().len())?;
        Ok(policy)
    }

    /// The one spelling of this policy: equal policies have equal bytes, so that a hash of them names it.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("a policy has only strings, numbers and lists")
            .into()
    }

    /// Checks what the types do not: bounds, and that nothing it would write into a message breaks the message.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn check(&self) -> Result<(), PolicyError> {
        at_most("allow_ips", self.allow_ips.len())?;
        at_most("deny_ips", self.deny_ips.len())?;
        self.request_headers.check("request_headers")?;
        self.response_headers.check("response_headers")?;
        check_prefix("strip_prefix", self.strip_prefix.as_deref())?;
        check_prefix("add_prefix", self.add_prefix.as_deref())?;
        self.basic_auth.as_ref().map_or(Ok(()), BasicAuth::check)?;
        self.cors.as_ref().map_or(Ok(()), Cors::check)?;
        self.webhook.as_ref().map_or(Ok(()), Webhook::check)
    }

    /// The fields that are set, as they are spelled in JSON: what an operator's ceiling is compared with.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        [
            ("basic_auth", self.basic_auth.is_some()),
            ("allow_ips", !self.allow_ips.is_empty()),
            ("deny_ips", !self.deny_ips.is_empty()),
            ("request_headers", !self.request_headers.is_empty()),
            ("response_headers", !self.response_headers.is_empty()),
            ("cors", self.cors.is_some()),
            ("strip_prefix", self.strip_prefix.is_some()),
            ("add_prefix", self.add_prefix.is_some()),
            ("https_only", self.https_only),
            ("compress", self.compress),
            ("no_robots", self.no_robots),
            ("webhook", self.webhook.is_some()),
        ]
        .into_iter()
        .filter_map(|(field, set)| set.then_some(field))
        .collect()
    }
}

fn check_len(len: usize) -> Result<(), PolicyError> {
    if len > MAX_POLICY {
        let rule = format!("at most {MAX_POLICY} bytes of JSON, these are {len}");
        return Err(PolicyError::new("policy", rule));
    }
    Ok(())
}

fn at_most(field: &'static str, len: usize) -> Result<(), PolicyError> {
    if len > MAX_RULES {
        let rule = format!("at most {MAX_RULES} entries, these are {len}");
        return Err(PolicyError::new(field, rule));
    }
    Ok(())
}

fn check_prefix(field: &'static str, prefix: Option<&str>) -> Result<(), PolicyError> {
    let Some(prefix) = prefix else { return Ok(()) };
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\');
    let dotted = prefix
        .split('/')
        .any(|segment| matches!(segment, "." | ".."));
    let fine = prefix.len() <= MAX_PREFIX
        && prefix.starts_with('/')
        && !prefix.ends_with('/')
        && !prefix.contains("//")
        && prefix.bytes().all(plain)
        && !dotted;
    if fine {
        return Ok(());
    }
    Err(PolicyError::new(
        field,
        "a path such as /api: it begins with '/', does not end with it, and has at most 256 characters of a URL path",
    ))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A text that is compared and never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of sight.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that compares with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests;
