//! What an operator can set about the public side.

use std::time::Duration;

use ipnet::IpNet;

use crate::host;

/// Limits and timers of the public side. Every field has a default that is safe
/// on the open internet.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domain under which tunnels live: lower case, no port, no dot at the
    /// end.
    pub domain: String,
    /// Peers whose `X-Forwarded-*` and `Forwarded` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
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
    /// Visitors' connections at one time.
    pub max_connections: usize,
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
            trusted_proxies: Vec::new(),
            max_body: Some(512_000),
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            exchange_idle: None,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_connections: 16_384,
            max_head: 48 * 1024,
            max_headers: 200,
            max_h2_streams: 128,
            window_budget: 64 * 1024 * 1024,
        }
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
    /// When the domain is not a host name in its canonical spelling.
    pub fn check(&self) -> Result<(), BadDomain> {
        if host::is_canonical(&self.domain) {
            Ok(())
        } else {
            Err(BadDomain(self.domain.clone()))
        }
    }
}
