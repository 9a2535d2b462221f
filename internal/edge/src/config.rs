//! What an operator can set about the public side.

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use ipnet::IpNet;
use messages::TunnelId;

use crate::host;

/// Limits and timers of the public side. Every field has a default that is safe
/// on the open internet.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domain under which tunnels live: lower case, no port, no dot at the
    /// end.
    pub domain: String,
    /// Further names of the server itself, spelled like the domain: what agents
    /// dial. They are no tunnels, whatever anybody registers.
    pub own_names: Vec<String>,
    /// Which hosts the operator has granted to somebody.
    pub granted: Granted,
    /// Peers whose `X-Forwarded-*`, `Forwarded` and `X-Real-IP` headers and whose
    /// PROXY protocol are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether trusted peers begin a connection with a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
    /// The most bytes of one request or response body; `None` lifts the limit.
    /// Event streams are exempt.
    pub max_body: Option<u64>,
    /// From the last request byte to the response head; then 504.
    pub head_timeout: Duration,
    /// The longest pause in a request body, on either side of the edge; then
    /// 408 (visitor) or 504 (agent).
    pub body_timeout: Duration,
    /// The longest time a visitor may refuse to read; then the connection is
    /// cut.
    pub write_stall: Duration,
    /// The longest time without content in either direction on one exchange,
    /// event streams and WebSockets included; `None` is without end.
    pub exchange_idle: Option<Duration>,
    /// From the first byte of a request head to its end; also the time a new
    /// connection has for its first request.
    pub header_timeout: Duration,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// Visitors' connections at one time, WebSockets included; further ones wait
    /// in the kernel's queue.
    pub max_connections: usize,
    /// Those of one address, the /64 of IPv6 counting as one; further ones are
    /// closed. Trusted proxies are not limited, but whom their PROXY protocol
    /// names is. `None` lifts the limit.
    pub max_connections_per_address: Option<NonZeroU32>,
    /// Requests of one visitor's address to this node; then 429. `None` lifts the
    /// limit.
    pub visitor_requests: Option<Rate>,
    /// Look-ups of one visitor's address that find no live tunnel; then nothing
    /// is looked up for it, and what this node does not hold itself is 429. `None`
    /// lifts the limit.
    pub visitor_misses: Option<Rate>,
    /// Requests to one tunnel, over all nodes of the fleet; then 429. `None` lifts
    /// the limit.
    pub tunnel_requests: Option<Rate>,
    /// Who hears of tunnels that are over their rate.
    pub tunnels_over_rate: OverRate,
    /// Bytes of a request head; at least 8 192.
    pub max_head: usize,
    /// Fields in a request head.
    pub max_headers: usize,
    /// Requests at one time on one HTTP/2 connection.
    pub max_h2_streams: u32,
    /// Bytes by which the windows of one node's exchanges may grow, together.
    pub window_budget: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
            own_names: Vec::new(),
            granted: Granted::default(),
            trusted_proxies: Vec::new(),
            proxy_protocol: ProxyProtocol::Off,
            max_body: Some(512_000),
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            exchange_idle: None,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_connections: 16_384,
            max_connections_per_address: NonZeroU32::new(4096),
            visitor_requests: None,
            visitor_misses: Rate::new(100, 500),
            tunnel_requests: None,
            tunnels_over_rate: OverRate::default(),
            max_head: 48 * 1024,
            max_headers: 200,
            max_h2_streams: 128,
            window_budget: 64 * 1024 * 1024,
        }
    }
}

/// So many a second lastingly, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Lastingly.
    pub per_second: NonZeroU32,
    /// After a pause.
    pub burst: NonZeroU32,
}

impl Rate {
    /// `None` when one of them is zero.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        Some(Self {
            per_second: NonZeroU32::new(per_second)?,
            burst: NonZeroU32::new(burst)?,
        })
    }
}

/// What a trusted peer says before a connection's first request (the PROXY
/// protocol, versions 1 and 2). From anybody else such a header is a malformed
/// request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// Nothing.
    #[default]
    Off,
    /// A header or nothing.
    Accept,
    /// A header; a connection without one is refused.
    Require,
}

/// Asks whether an operator has granted a host to somebody: its tunnel is then
/// offline, and not unknown, while nobody holds it. By default nobody knows.
#[derive(Clone, Default)]
pub struct Granted(Option<Arc<IsGranted>>);

type IsGranted = dyn Fn(&str) -> bool + Send + Sync;

impl Granted {
    /// The hook gets a canonical host name (lower case, no port), and is asked only
    /// when a look-up has found nothing, or may be left out. It must not block.
    pub fn asking(is_granted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_granted)))
    }

    /// `None` when there is nobody to ask.
    pub(crate) fn has(&self, host: &str) -> Option<bool> {
        self.0.as_ref().map(|is_granted| is_granted(host))
    }
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "asked" } else { "unknown" })
    }
}

/// Hears of each request that a tunnel's rate has no room for, so that its owner can
/// be told. By default nobody does.
#[derive(Clone, Default)]
pub struct OverRate(Option<Arc<dyn Fn(TunnelId) + Send + Sync>>);

impl OverRate {
    /// The hook is called as often as visitors are refused, on their way: it must be
    /// quick, and not block.
    pub fn telling(tell: impl Fn(TunnelId) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(crate) fn tell(&self, tunnel: TunnelId) {
        if let Some(tell) = &self.0 {
            tell(tunnel);
        }
    }
}

impl fmt::Debug for OverRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "told" } else { "untold" })
    }
}

/// A domain that no host name can end in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a domain name: use lower-case letters, digits, hyphens and dots, without a port"
)]
pub struct BadDomain(pub String);

impl Config {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// When the domain, or another own name, is not a host name in its canonical
    /// spelling.
    pub fn check(&self) -> Result<(), BadDomain> {
        let mut names = std::iter::once(&self.domain).chain(&self.own_names);
        let bad = names.find(|name| !host::is_canonical(name));
        bad.map_or(Ok(()), |bad| Err(BadDomain(bad.clone())))
    }
}
