//! How much one visitor may ask for. He is known by the address that the caller vouches for, never by a header.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use limit::{Crowd, Meter, Places, Quota};

use crate::body::Body;
use crate::error::{BareError, Code};

/// Visitors that are counted at a time; beyond it those within their rate are forgotten.
const MAX_COUNTED: usize = 16 * 1024;

/// What one visitor may have: an IPv4 address, or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitorLimits {
    /// Requests and WebSockets a minute; as many at once as a burst. `None`: any number. Default 3000.
    pub per_minute: Option<NonZeroU32>,
    /// WebSockets at a time. `None`: any number. Default 128.
    pub sockets: Option<NonZeroU32>,
}

impl Default for VisitorLimits {
    fn default() -> Self {
        Self {
            per_minute: NonZeroU32::new(3000),
            sockets: NonZeroU32::new(128),
        }
    }
}

/// One WebSocket of a visitor, until it is dropped. `None` where they are not counted.
pub(crate) type Place = Option<limit::Place<Crowd>>;

/// The counts.
pub(crate) struct Limits {
    requests: Option<(NonZeroU32, Meter<Crowd>)>,
    sockets: Option<Places<Crowd>>,
}

impl Limits {
    pub(crate) fn new(limits: VisitorLimits) -> Self {
        let counted = |rate| (rate, Meter::new(Quota::per_minute(rate), MAX_COUNTED));
        Self {
            requests: limits.per_minute.map(counted),
            sockets: limits.sockets.map(Places::new),
        }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// What he is told: he has asked too often.
    pub(crate) fn count(&self, visitor: IpAddr) -> Result<(), Excess> {
        let Some((limit, counts)) = &self.requests else {
            return Ok(());
        };
        let counted = counts.count(&Crowd::of(visitor));
        counted.map_err(|wait| Excess {
            limit: *limit,
            wait,
        })
    }

    /// A place for one more WebSocket. `None`: he has as many as he may.
    pub(crate) fn socket(&self, visitor: IpAddr) -> Option<Place> {
        match &self.sockets {
            Some(sockets) => sockets.enter(Crowd::of(visitor)).map(Some),
            None => Some(None),
        }
    }
}

/// A rate that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excess {
    limit: NonZeroU32,
    wait: Duration,
}

impl Excess {
    /// What the reference program says, so that its clients understand.
    pub(crate) fn response(self) -> Response<Body> {
        let seconds = self.wait.as_millis().div_ceil(1000).max(1).to_string();
        let mut response = too_many().response();
        let headers = response.headers_mut();
        for (name, value) in [
            (RETRY_AFTER, &*seconds),
            (LIMIT, &*self.limit.to_string()),
            (REMAINING, "0"),
            (RESET, &*seconds),
            (CONTENT_TYPE, "application/json"),
        ] {
            let value = HeaderValue::from_str(value).expect("a number is a value");
            headers.insert(name, value);
        }
        response
    }
}

/// More than one visitor may have.
pub(crate) fn too_many() -> BareError {
    BareError::new(
        StatusCode::TOO_MANY_REQUESTS,
        Code::ConnectionLimitExceeded,
        "error.TooManyConnections",
        "More requests or WebSockets than this server allows one visitor.",
    )
}

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn limits(per_minute: u32, sockets: u32) -> Limits {
        Limits::new(VisitorLimits {
            per_minute: NonZeroU32::new(per_minute),
            sockets: NonZeroU32::new(sockets),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn each_visitor_has_a_rate_and_a_64_of_ipv6_is_one_visitor() {
        let limits = limits(2, 0);
        let count = |address: &str| limits.count(address.parse().unwrap()).is_ok();
        assert!(count("192.0.2.1") && count("192.0.2.1") && !count("192.0.2.1"));
        assert!(count("192.0.2.2") && !count("::ffff:192.0.2.1"));
        assert!(count("2001:db8::1") && count("2001:db8::2") && !count("2001:db8::3"));
        advance(Duration::from_secs(30)).await;
        assert!(count("192.0.2.1") && !count("192.0.2.1"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_too_often_is_told_when_to_come_back() {
        let limits = limits(1, 0);
        let visitor = "192.0.2.1".parse().unwrap();
        limits.count(visitor).unwrap();
        let told = limits.count(visitor).unwrap_err().response();
        assert_eq!(told.status(), 429);
        for (name, value) in [
            ("retry-after", "60"),
            ("ratelimit-limit", "1"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "60"),
        ] {
            assert_eq!(told.headers()[name], value);
        }
    }

    #[test]
    fn sockets_are_counted_while_they_last() {
        let limits = limits(0, 1);
        let visitor = "192.0.2.1".parse().unwrap();
        let first = limits.socket(visitor).unwrap();
        assert!(limits.socket(visitor).is_none());
        assert!(limits.socket("192.0.2.2".parse().unwrap()).is_some());
        drop(first);
        assert!(limits.socket(visitor).is_some());
    }
}
