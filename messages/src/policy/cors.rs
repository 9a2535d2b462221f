//! Which pages of other origins may read responses.

use http::{HeaderName, Method, Uri};
use serde::{Deserialize, Serialize};

use super::{PolicyError, at_most};

/// A day in seconds: what browsers keep at most.
const MAX_AGE: u32 = 86_400;

/// What the edge answers to preflights and adds to responses (the Fetch standard, 3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins such as `https://app.example`, or the one entry `*`.
    pub origins: Vec<String>,
    /// Methods beyond GET, HEAD and POST.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Request header fields beyond the safelisted ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Response header fields that pages may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// Cookies and passwords may be sent along; not with `*`.
    #[serde(skip_serializing_if = "super::is_false")]
    pub credentials: bool,
    /// Seconds for which a preflight's answer may be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
}

impl Cors {
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        let refuse = |rule: &str| Err(PolicyError::new("cors", rule));
        for list in [&self.origins, &self.methods, &self.headers, &self.expose] {
            at_most("cors", list.len())?;
        }
        let any = self.origins.iter().any(|origin| origin == "*");
        if self.origins.is_empty() || (any && self.origins.len() > 1) {
            return refuse("origins are a list of at least one, or * alone");
        }
        if any && self.credentials {
            return refuse("credentials need named origins, not *");
        }
        if !any && !self.origins.iter().all(|origin| is_origin(origin)) {
            return refuse("an origin is a scheme and a host, such as https://app.example");
        }
        if !self
            .methods
            .iter()
            .all(|name| Method::from_bytes(name.as_bytes()).is_ok())
        {
            return refuse("methods are method names");
        }
        let named = |name: &String| HeaderName::from_bytes(name.as_bytes()).is_ok();
        if !self.headers.iter().chain(&self.expose).all(named) {
            return refuse("headers and expose are header field names");
        }
        if self.max_age.is_some_and(|seconds| seconds > MAX_AGE) {
            return refuse("max_age is at most 86400 seconds");
        }
        Ok(())
    }
}

/// Scheme, host and perhaps a port, spelled as browsers send it (RFC 6454, 6.2).
fn is_origin(text: &str) -> bool {
    let Some((_, authority)) = text.split_once("://") else {
        return false;
    };
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    lower
        && !authority.contains(['/', '@', '?', '#'])
        && text.parse::<Uri>().is_ok_and(|uri| uri.host().is_some())
}
