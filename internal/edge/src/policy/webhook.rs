//! Requests must be signed by a webhook's sender (`webhook`).
//!
//! The body is read to its end before anything reaches the service: a signature
//! covers all of it. It is hashed as it arrives and never beyond the body limit.

mod hold;
mod signature;

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use exchange::body::Peeked;
use hmac::{Hmac, KeyInit};
use http::{HeaderName, HeaderValue, header::EXPECT};
use messages::{Policy, Provider};
use sha2::Sha256;
use tower::ServiceExt;

use super::layer::{Answer, Next, Rule};
use crate::{
    failure::Failure,
    request::{BodyKind, Call},
    source::{Held, Source},
};

pub(super) use hold::Holding;
use signature::{Claim, UNFIT};

/// What a service is told where nothing is refused. What a visitor says in it is
/// always removed.
const VERIFIED: HeaderName = HeaderName::from_static("x-webhook-verified");

/// Seconds that a signed time may be off.
const TOLERANCE: u64 = 300;

/// The rule.
pub(super) struct Webhook {
    provider: Provider,
    /// Where [`Provider::Hmac`] has its signature.
    field: HeaderName,
    /// One for each secret.
    macs: Vec<Hmac<Sha256>>,
    tolerance: u64,
    report_only: bool,
    holding: Holding,
    /// Seconds since 1970.
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("provider", &self.provider)
            .field("report_only", &self.report_only)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    pub(super) fn of(policy: &Policy, holding: &Holding) -> Option<Self> {
        let rule = policy.webhook.as_ref()?;
        let field = rule.header.as_deref().unwrap_or("x-signature");
        let secrets = rule.secrets.iter();
        Some(Self {
            provider: rule.provider,
            field: HeaderName::from_bytes(field.as_bytes()).ok()?,
            macs: secrets
                .filter_map(|secret| Hmac::new_from_slice(secret.expose().as_bytes()).ok())
                .collect(),
            tolerance: rule.tolerance.map_or(TOLERANCE, u64::from),
            report_only: rule.report_only,
            holding: holding.share(),
            clock: Arc::new(now),
        })
    }

    /// Reads the body and puts it back, whole; or the rule that the request breaks.
    async fn verify(&self, call: &mut Call) -> Result<Result<(), &'static str>, Failure> {
        let claim = match self.claim(call) {
            Ok(claim) => claim,
            // Nothing of the body is read for it.
            Err(broken) => return Ok(Err(broken)),
        };
        let mut macs = self.macs.clone();
        claim.begin(&mut macs);
        let payload = call.body_mut();
        let body = std::mem::replace(&mut payload.body, Peeked::new(Source::Empty));
        let held = self.holding.read(body, &mut macs).await?;
        if payload.kind == BodyKind::Expected {
            // The visitor was told to go on when his body was read.
            payload.kind = BodyKind::Present;
            call.headers_mut().remove(EXPECT);
        }
        put_back(call, held);
        Ok(claim.fits(&macs).then_some(()).ok_or(UNFIT))
    }

    fn claim(&self, call: &Call) -> Result<Claim, &'static str> {
        let headers = call.headers();
        match self.provider {
            Provider::Github => Claim::github(headers),
            Provider::Stripe => Claim::stripe(headers, (self.clock)(), self.tolerance),
            Provider::Slack => Claim::slack(headers, (self.clock)(), self.tolerance),
            Provider::Shopify => Claim::shopify(headers),
            Provider::Hmac => Claim::hmac(headers, &self.field),
        }
    }
}

fn put_back(call: &mut Call, held: Held) {
    let payload = call.body_mut();
    if held.data.is_none() && held.trailers.is_none() {
        payload.kind = BodyKind::None;
    }
    payload.body = Peeked::new(Source::Held(Box::new(held)));
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl Rule for Webhook {
    async fn apply<S: Next>(&self, mut call: Call, next: S) -> Answer {
        call.headers_mut().remove(VERIFIED);
        let verified = self.verify(&mut call).await?;
        if self.report_only {
            let verdict = if verified.is_ok() { "true" } else { "false" };
            let verdict = HeaderValue::from_static(verdict);
            call.headers_mut().insert(VERIFIED, verdict);
        } else {
            verified.map_err(Failure::WebhookUnverified)?;
        }
        next.oneshot(call).await
    }
}

#[cfg(test)]
mod tests;
