//! What an operator decides.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;

use crate::access::Access;
use crate::filter::Rules;
use crate::limits::VisitorLimits;

/// Hears of each request.
pub type AccessLog = Arc<dyn Fn(&Access) + Send + Sync>;

/// A Bare server's settings.
#[derive(Clone)]
pub struct Config {
    /// The path that the server lives under. It starts and ends with `/`. Default `/`.
    pub directory: String,
    /// What clients must have as the first segment of the path under the directory. Default nothing.
    pub key: Option<String>,
    /// Where it may fetch from.
    pub rules: Rules,
    /// Whether `X-Bare-Headers` may be longer than the 3072 bytes of the specification without being split (versions 2 and
    /// 3). npm's clients never split it. Default not.
    pub long_headers: bool,
    /// How much one visitor may ask for.
    pub visitor: VisitorLimits,
    /// Whose it is, as its manifest says.
    pub maintainer: Option<Maintainer>,
    /// Which addresses of remotes are used.
    pub family: Family,
    /// The address of this machine that remotes see. Default the system's choice.
    pub local_address: Option<IpAddr>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How the certificates of remotes are checked. Without ALPN: only HTTP/1.1 is spoken.
    pub tls: Arc<ClientConfig>,
    /// Told of each request once its outcome is known.
    pub log: Option<AccessLog>,
}

impl Config {
    /// The defaults.
    #[must_use]
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        Self {
            directory: "/".to_owned(),
            key: None,
            rules: Rules::default(),
            long_headers: false,
            visitor: VisitorLimits::default(),
            maintainer: None,
            family: Family::Any,
            local_address: None,
            timeouts: Timeouts::default(),
            tls,
            log: None,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("directory", &self.directory)
            .field("rules", &self.rules)
            .field("visitor", &self.visitor)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// Who runs a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Maintainer {
    /// An address for complaints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A page about the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
}

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// All, in the system's order.
    #[default]
    Any,
    /// Those of IPv4.
    V4,
    /// Those of IPv6.
    V6,
}

impl Family {
    pub(crate) fn takes(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Finding a remote, connecting to it and agreeing on TLS. Default 10 s.
    pub connect: Duration,
    /// From the last of a request to the head of its response. Default 25 s: below the 30 s after which a tunnel's server
    /// gives up, so that clients hear of it in the terms of the specification.
    pub head: Duration,
    /// From a WebSocket's opening to its first message (version 3). Default 10 s.
    pub first_message: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            head: Duration::from_secs(25),
            first_message: Duration::from_secs(10),
        }
    }
}
