//! What a visitor is told of a rate that was exceeded.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Rate;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// Whose rates there are.
pub(super) const VISITOR: &str = "visitor";
pub(super) const TUNNEL: &str = "tunnel";
pub(super) const MISSES: &str = "misses";

/// A rate that was exceeded, and when it will not be any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excess {
    /// Whose it is.
    pub(super) whose: &'static str,
    rate: Rate,
    /// Whole seconds, one at least.
    pub(crate) retry_after: u32,
}

impl Excess {
    pub(super) fn new(whose: &'static str, rate: Rate, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        Self {
            whose,
            rate,
            retry_after: u32::try_from(seconds).unwrap_or(u32::MAX),
        }
    }

    /// What happened and what to do.
    pub(crate) fn sentence(&self) -> &'static str {
        match self.whose {
            TUNNEL => {
                "This address is asked more often than this server allows for one tunnel, by all its visitors together. Try again in a moment."
            }
            MISSES => {
                "Too many addresses that are not here, or offline, were asked for from your network. Check the address, and try again in a moment."
            }
            _ => {
                "Requests come faster from your network than this server allows. Try again in a moment."
            }
        }
    }

    /// Writes `RateLimit-Policy` and `RateLimit`
    /// (draft-ietf-httpapi-ratelimit-headers-10): the burst is the quota, and its
    /// window the time in which the rate gives so much.
    pub(crate) fn explain(&self, headers: &mut HeaderMap) {
        let Self {
            whose,
            rate,
            retry_after,
        } = self;
        let window = rate.burst.get().div_ceil(rate.per_second.get());
        let policy = format!("\"{whose}\";q={};w={window}", rate.burst);
        let state = format!("\"{whose}\";r=0;t={retry_after}");
        headers.insert(POLICY, value(policy));
        headers.insert(STATE, value(state));
    }
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("names and numbers are a value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_as_the_draft_has_it() {
        let rate = Rate::new(100, 250).unwrap();
        let excess = Excess::new("tunnel", rate, Duration::from_millis(1_200));
        let mut headers = HeaderMap::new();
        excess.explain(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"tunnel\";q=250;w=3");
        assert_eq!(headers["ratelimit"], "\"tunnel\";r=0;t=2");
        assert_eq!(excess.retry_after, 2);
    }

    #[test]
    fn nobody_is_told_to_come_back_at_once() {
        let rate = Rate::new(1000, 1).unwrap();
        assert_eq!(Excess::new("visitor", rate, Duration::ZERO).retry_after, 1);
    }
}
