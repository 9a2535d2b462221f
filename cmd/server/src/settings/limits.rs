//! How much visitors and tunnels may ask for, and how visitors are told apart.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use runtime::config::{Count, CountLimit, Scalar};
use runtime::serde_as_a_word;
use serde::{Deserialize, Serialize};

serde_as_a_word!(ProxyProtocol);

/// `[limits]`: requests, lastingly and at once. Visitors are counted by address (a /64 of IPv6 as one).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// To one tunnel, over the whole fleet.
    pub(crate) tunnel_requests_per_second: CountLimit,
    pub(crate) tunnel_request_burst: Count,
    /// Of one address, to one node.
    pub(crate) visitor_requests_per_second: CountLimit,
    pub(crate) visitor_request_burst: Count,
    /// Of one address, for names that nobody holds.
    pub(crate) visitor_misses_per_second: CountLimit,
    pub(crate) visitor_miss_burst: Count,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tunnel_requests_per_second: CountLimit(None),
            tunnel_request_burst: Count::of(1000),
            visitor_requests_per_second: CountLimit(None),
            visitor_request_burst: Count::of(1000),
            visitor_misses_per_second: CountLimit(NonZeroU32::new(100)),
            visitor_miss_burst: Count::of(500),
        }
    }
}

impl Limits {
    /// What is in force of it at the edge.
    pub(crate) fn at(&self, edge: edge::Config) -> edge::Config {
        let rate = |limit: CountLimit, burst: Count| {
            limit.0.map(|per_second| edge::Rate {
                per_second,
                burst: burst.0,
            })
        };
        edge::Config {
            tunnel_requests: rate(self.tunnel_requests_per_second, self.tunnel_request_burst),
            visitor_requests: rate(self.visitor_requests_per_second, self.visitor_request_burst),
            visitor_misses: rate(self.visitor_misses_per_second, self.visitor_miss_burst),
            ..edge
        }
    }

    /// What agents are told of it.
    pub(crate) fn told(&self, limits: &messages::LinkLimits) -> messages::LinkLimits {
        messages::LinkLimits {
            requests_per_second: self.tunnel_requests_per_second.0.map(NonZeroU32::get),
            visitor_requests_per_second: self.visitor_requests_per_second.0.map(NonZeroU32::get),
            ..limits.clone()
        }
    }
}

/// Whether trusted proxies begin a connection by saying whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyProtocol(pub(crate) edge::ProxyProtocol);

impl FromStr for ProxyProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(edge::ProxyProtocol::Off)),
            "accept" => Ok(Self(edge::ProxyProtocol::Accept)),
            "require" => Ok(Self(edge::ProxyProtocol::Require)),
            _ => Err(format!("{text:?} is no such word")),
        }
    }
}

impl fmt::Display for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            edge::ProxyProtocol::Off => "off",
            edge::ProxyProtocol::Accept => "accept",
            edge::ProxyProtocol::Require => "require",
        })
    }
}

impl Scalar for ProxyProtocol {
    const WANTED: &'static str = "off, accept or require";
}
