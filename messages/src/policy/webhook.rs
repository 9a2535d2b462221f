//! Signatures of webhook senders.

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::{PolicyError, Secret};

/// The most secrets at one time: two while one is being rotated, and some to spare.
const MAX_SECRETS: usize = 4;

/// The longest secret, in bytes.
const MAX_SECRET: usize = 256;

/// An hour: a signature older than that proves nothing about now.
const MAX_TOLERANCE: u32 = 3600;

/// Requests must be signed by one sender's secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Whose way of signing.
    pub provider: Provider,
    /// The shared secrets, any of which is good. They reach the server, which has to compute with them.
    pub secrets: Vec<Secret>,
    /// How many seconds a signature's own time may be off, where the sender signs one. Default 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<u32>,
    /// A bad signature is told to the target in `X-Webhook-Verified` and refused nowhere.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub report_only: bool,
    /// The field that holds the signature; for [`Provider::Hmac`] alone. Default `X-Signature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

/// A way to sign a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// `X-Hub-Signature-256: sha256=HEX` over the body.
    Github,
    /// `Stripe-Signature: t=TIME,v1=HEX` over `TIME.body`.
    Stripe,
    /// `X-Slack-Signature: v0=HEX` over `v0:TIME:body`, the time in `X-Slack-Request-Timestamp`.
    Slack,
    /// `X-Shopify-Hmac-Sha256: BASE64` over the body.
    Shopify,
    /// HMAC-SHA256 over the body in a field of choice, as hex (a `sha256=` in front is ignored) or base64.
    Hmac,
}

impl Webhook {
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        let refuse = |rule: &str| Err(PolicyError::new("webhook", rule));
        let fine = |secret: &Secret| (1..=MAX_SECRET).contains(&secret.expose().len());
        let some = (1..=MAX_SECRETS).contains(&self.secrets.len());
        if !some || !self.secrets.iter().all(fine) {
            return refuse("one to four secrets of 1 to 256 bytes");
        }
        if self
            .tolerance
            .is_some_and(|seconds| seconds > MAX_TOLERANCE)
        {
            return refuse("tolerance is at most 3600 seconds");
        }
        match &self.header {
            Some(_) if self.provider != Provider::Hmac => {
                refuse("header is chosen for provider hmac alone; the others have their own")
            }
            Some(name) if HeaderName::from_bytes(name.as_bytes()).is_err() => {
                refuse("header is a header field name")
            }
            _ => Ok(()),
        }
    }
}
