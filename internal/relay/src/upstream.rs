//! Where messages go: `ws://` and `wss://` URLs.

use std::fmt;
use std::str::FromStr;

use http::{Uri, uri::InvalidUri};
use url::{Host, Url};

/// An upstream, from `ws://host[:port][/path][?query]`, or `wss://` for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    uri: Uri,
    host: Host,
    port: u16,
    tls: bool,
    shown: String,
}

/// Why a text names no upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Not a URL.
    #[error("{0:?} is no URL; write ws://host:port/path or wss://host/path")]
    Url(String),
    /// Another scheme than `ws` and `wss`.
    #[error("the upstream's scheme is {0:?}, but must be ws or wss; write ws://host:port/path")]
    Scheme(String),
    /// `user:password@`, or `#fragment`, which RFC 6455 (3) does not allow.
    #[error("the upstream must be given without user, password and fragment: ws://host:port/path")]
    Parts,
    /// Not a request target.
    #[error("the upstream's path cannot be asked for: {0}")]
    Path(#[from] InvalidUri),
}

impl Upstream {
    /// What is asked for.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The name or address to dial.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The TCP port to dial.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether the connection is made with TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

/// Without its query, which may hold secrets: this goes into errors and logs.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let url: Url = text
            .trim()
            .parse()
            .map_err(|_| UpstreamError::Url(text.to_owned()))?;
        let tls = match url.scheme() {
            "ws" => false,
            "wss" => true,
            other => return Err(UpstreamError::Scheme(other.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(UpstreamError::Parts);
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(UpstreamError::Url(text.to_owned()));
        };
        let host = host.to_owned();
        let uri = url.as_str().parse()?;
        let is_bare = url.path() == "/";
        let mut shown = url;
        shown.set_query(None);
        let shown = shown.as_str();
        let bare = is_bare.then(|| shown.trim_end_matches('/'));
        let shown = bare.unwrap_or(shown).to_owned();
        Ok(Self {
            uri,
            host,
            port,
            tls,
            shown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(text: &str) -> Result<Upstream, String> {
        text.parse()
            .map_err(|error: UpstreamError| error.to_string())
    }

    #[test]
    fn an_upstream_is_a_url_whose_query_is_asked_for_but_not_shown() {
        let found = upstream("ws://localhost:8139/feed?token=secret").unwrap();
        assert_eq!(
            found.uri().to_string(),
            "ws://localhost:8139/feed?token=secret"
        );
        assert_eq!(found.to_string(), "ws://localhost:8139/feed");
        assert_eq!((found.port(), found.is_tls()), (8139, false));
        let found = upstream("wss://[::1]").unwrap();
        assert_eq!((found.port(), found.is_tls()), (443, true));
    }

    #[test]
    fn what_is_no_upstream_says_what_to_write() {
        for text in [
            "",
            "8139",
            "localhost:8139",
            "http://localhost",
            "ws://",
            "ws://u:p@h/",
            "ws://h/#f",
        ] {
            let why = upstream(text).unwrap_err();
            assert!(why.contains("ws://host:port/path"), "{text}: {why}");
        }
    }
}
