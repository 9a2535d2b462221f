//! Why there is no connection, in sentences that name the hop and what to look at.

use std::io;
use std::time::Duration;

use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::super::{Endpoint, SUBPROTOCOL, TlsError};

/// Where getting a connection failed, and what to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// DNS.
    #[error("cannot look up {host}: {source}; check the name, and this machine's DNS")]
    Lookup {
        /// The host that was asked for.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// TCP.
    #[error(
        "cannot connect to {endpoint}: {source}; check that adit-server listens there and no firewall is between"
    )]
    Connect {
        /// The server.
        endpoint: Endpoint,
        /// Of the last address that was tried.
        source: io::Error,
    },
    /// The certificate authorities cannot be loaded.
    #[error(transparent)]
    Authorities(#[from] TlsError),
    /// TLS.
    #[error("no TLS with {endpoint}: {source}; {}", tls_hint(source))]
    Tls {
        /// The server.
        endpoint: Endpoint,
        /// What TLS objects to.
        source: io::Error,
    },
    /// HTTP answered something else than an upgrade.
    #[error("{endpoint} answered {status} instead of opening a tunnel; {}", status_hint(*status, location.as_deref()))]
    Refused {
        /// The server.
        endpoint: Endpoint,
        /// What it answered.
        status: StatusCode,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// Where it redirects to. Not followed: the audience is the host that was asked for.
        location: Option<String>,
    },
    /// What answered does not speak the protocol.
    #[error(
        "{endpoint} does not speak {SUBPROTOCOL}: {reason}; check that it is an adit-server and that no proxy rewrites upgrades"
    )]
    Upgrade {
        /// The server.
        endpoint: Endpoint,
        /// Which rule was broken.
        reason: String,
    },
    /// A hop took too long.
    #[error("{endpoint} did not answer in {} s while {hop}; check the address, and firewalls that swallow packets", after.as_secs_f32())]
    TimedOut {
        /// The server.
        endpoint: Endpoint,
        /// What was being done.
        hop: &'static str,
        /// The limit.
        after: Duration,
    },
}

impl ConnectError {
    /// What an answer says that is not the one that was wanted.
    pub(crate) fn refused<B>(endpoint: Endpoint, response: &Response<B>) -> Self {
        let text = |name| {
            let value: Option<&HeaderValue> = response.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        Self::Refused {
            endpoint,
            status: response.status(),
            retry_after: text(RETRY_AFTER)
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            location: text(LOCATION).map(str::to_owned),
        }
    }

    /// When the server wants to be asked again, if it said so (RFC 9110 section 10.2.3, in seconds).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn status_hint(status: StatusCode, location: Option<&str>) -> String {
    match (status.as_u16(), location) {
        (300..=399, Some(location)) => {
            format!("it redirects to {location:?}: give that server instead")
        }
        (400 | 426, _) => {
            "a proxy in between may not pass WebSocket upgrades on, or the versions differ"
                .to_owned()
        }
        (401 | 403 | 407, _) => {
            "something in front of the server wants a login or blocks this address".to_owned()
        }
        (404, _) => {
            "no adit-server is there, or it does not know itself by this host name".to_owned()
        }
        (429, _) => {
            "too many connections came from this address; it will be tried again".to_owned()
        }
        (500..=599, _) => {
            "the server or a proxy in front of it is not ready; it will be tried again".to_owned()
        }
        _ => "check that it is an adit-server".to_owned(),
    }
}

fn tls_hint(error: &io::Error) -> &'static str {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => {
            "check the host name and the server's certificate, or give the CA file of a private authority"
        }
        Some(rustls::Error::InvalidMessage(_)) => "does the server speak plain http on this port?",
        _ => "check that this port speaks TLS",
    }
}
