//! What an operator decides about the agent-facing half of the server, with
//! defaults that are safe to expose.

use std::{fmt, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use messages::LinkLimits;

use crate::{
    admission::{Rules, TxtResolver, rules::OwnNames},
    channel::Channel,
};

/// Settings of an [`Uplink`](crate::Uplink). Fixed for its life, but for the rules.
#[derive(Debug, Clone)]
pub struct Config {
    /// The wildcard domain under which labels become hostnames: lower case, no
    /// port. Agents may dial it.
    pub domain: String,
    /// Other names agents may dial, hence sign as their audience: lower case, no
    /// port. Loopback names need no entry; they count from a loopback peer.
    pub connect_names: Vec<String>,
    /// How visitors reach a hostname; goes into the URL an agent is told.
    pub public_url: PublicUrl,
    /// Streams a link may have open at a time.
    pub max_streams: u32,
    /// From the upgrade to the granted registration.
    pub handshake_timeout: Duration,
    /// Handshakes in progress, in all.
    pub max_pending: u32,
    /// Handshakes in progress per address (per /64 for IPv6).
    pub max_pending_per_address: u32,
    /// Links, in all. `None`: not limited.
    pub max_links: Option<NonZeroU32>,
    /// Links per address (per /64 for IPv6).
    pub max_links_per_address: u32,
    /// Registrations begun per address (per /64 for IPv6) and minute, whether
    /// they succeed or not. `None`: not limited.
    pub registrations_per_minute_per_address: Option<NonZeroU32>,
    /// Nothing received for so long: ping.
    pub ping_after: Duration,
    /// Nothing received for so long: dead.
    pub dead_after: Duration,
    /// Messages a link may carry, in each direction. `None`: not limited.
    pub messages_per_second: Option<Rate>,
    /// KiB a link may carry, in each direction. `None`: not limited.
    pub kib_per_second: Option<Rate>,
    /// Links an agent is asked to hold, to different nodes: fewer where there
    /// are fewer nodes.
    pub links_per_agent: u32,
    /// In a drain, the time over which agents spread their coming back.
    pub drain_spread: Duration,
    /// In a drain, how long agents that were told to move have for it before
    /// their links take no more. Zero where there is nowhere to move to.
    pub drain_move: Duration,
    /// What agents are told of the limits; `max_streams`, the two liveness fields,
    /// the link's rates and `max_links` are filled in from above and from the rules.
    pub limits: LinkLimits,
    /// The rules to begin with; the only setting that can change later.
    pub rules: Rules,
    /// Who looks up the records that prove custom domains. `None`: nobody, so none
    /// is proved.
    pub txt_resolver: Option<Arc<dyn TxtResolver>>,
    /// The channel over TCP. `None`: agents come by WebSocket alone.
    pub channel: Option<Channel>,
}

impl Config {
    /// The defaults, for a domain (lower case, no port) that visitors reach by
    /// plain HTTP.
    #[must_use]
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            connect_names: Vec::new(),
            public_url: PublicUrl {
                scheme: UrlScheme::Http,
                port: None,
            },
            max_streams: 1024,
            handshake_timeout: Duration::from_secs(10),
            max_pending: 1024,
            max_pending_per_address: 16,
            max_links: None,
            max_links_per_address: 256,
            registrations_per_minute_per_address: NonZeroU32::new(120),
            ping_after: Duration::from_secs(10),
            dead_after: Duration::from_secs(20),
            // Twice what one core forwards: a fuse, not a tariff.
            messages_per_second: Rate::new(200_000, 200_000),
            kib_per_second: Rate::new(4 << 20, 4 << 20),
            links_per_agent: 1,
            drain_spread: Duration::from_secs(5),
            drain_move: Duration::ZERO,
            limits: LinkLimits::default(),
            rules: Rules::default(),
            txt_resolver: None,
            channel: None,
        }
    }

    /// Makes what agents are told of the limits agree with what is enforced.
    pub(crate) fn state_limits(&mut self) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.limits.max_streams = self.max_streams;
        self.limits.ping_after_ms = millis(self.ping_after);
        self.limits.dead_after_ms = millis(self.dead_after);
        self.limits.messages_per_second =
            self.messages_per_second.map(|rate| rate.per_second.get());
        self.limits.kib_per_second = self.kib_per_second.map(|rate| rate.per_second.get());
    }

    pub(crate) fn own_names(&self) -> OwnNames<'_> {
        OwnNames {
            domain: &self.domain,
            connect_names: &self.connect_names,
        }
    }

    /// Whether an agent at `peer` may have been configured to dial `audience`.
    ///
    /// A loopback name means another machine on every machine: it proves
    /// nothing unless the peer is on this one, or the operator listed it.
    pub(crate) fn accepts_audience(&self, audience: &str, peer: IpAddr) -> bool {
        let audience = audience.to_ascii_lowercase();
        audience == self.domain
            || self.connect_names.contains(&audience)
            || (peer.to_canonical().is_loopback() && is_loopback_name(&audience))
    }
}

/// A rate with its burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Cells a second, lastingly.
    pub per_second: NonZeroU32,
    /// Cells at once, after a quiet time.
    pub burst: NonZeroU32,
}

impl Rate {
    /// `None` when either number is zero: no limit.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        Some(Self {
            per_second: NonZeroU32::new(per_second)?,
            burst: NonZeroU32::new(burst)?,
        })
    }
}

/// The part of a public URL that is not the hostname.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicUrl {
    /// Scheme visitors use.
    pub scheme: UrlScheme,
    /// Port visitors use; `None` is the scheme's own.
    pub port: Option<u16>,
}

impl PublicUrl {
    /// The URL of a hostname: `https://host`, `http://host:8080`.
    #[must_use]
    pub fn of(&self, hostname: &str) -> String {
        let Self { scheme, port } = self;
        match port.filter(|port| *port != scheme.default_port()) {
            Some(port) => format!("{scheme}://{hostname}:{port}"),
            None => format!("{scheme}://{hostname}"),
        }
    }
}

/// How visitors speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlScheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl UrlScheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for UrlScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// RFC 6761 section 6.3, and the address literals.
fn is_loopback_name(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || bare
            .parse()
            .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn the_domain_and_the_connect_names_are_audiences() {
        let mut config = Config::new("adit.example");
        config.connect_names.push("eu.adit.example".into());
        assert!(config.accepts_audience("adit.example", ELSEWHERE));
        assert!(config.accepts_audience("ADIT.example", ELSEWHERE));
        assert!(config.accepts_audience("eu.adit.example", ELSEWHERE));
        assert!(!config.accepts_audience("us.adit.example", ELSEWHERE));
        assert!(!config.accepts_audience("", ELSEWHERE));
    }

    #[test]
    fn loopback_names_are_audiences_only_from_this_machine() {
        let config = Config::new("adit.example");
        for name in ["localhost", "a.localhost", "127.0.0.1", "[::1]", "::1"] {
            assert!(config.accepts_audience(name, LOOPBACK), "{name}");
            assert!(!config.accepts_audience(name, ELSEWHERE), "{name}");
        }
        assert!(Config::new("localhost").accepts_audience("localhost", ELSEWHERE));
    }

    #[test]
    fn a_public_url_names_only_an_unusual_port() {
        let url = |scheme, port| PublicUrl { scheme, port }.of("a.example");
        assert_eq!(url(UrlScheme::Https, None), "https://a.example");
        assert_eq!(url(UrlScheme::Https, Some(443)), "https://a.example");
        assert_eq!(url(UrlScheme::Http, Some(8080)), "http://a.example:8080");
    }
}
