//! Which Host a local service is told.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use http::uri::Authority;

use super::TargetUrl;

/// What stands in the Host field (HTTP/2: `:authority`) of requests to a local service. The public host is in
/// X-Forwarded-Host, whatever this says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostHeader {
    /// The public host, as the visitor asked for it.
    #[default]
    Preserve,
    /// The service's own host and port, as it is dialled; `localhost` for a socket in the file system.
    Rewrite,
    /// This host, perhaps with a port.
    Fixed(Authority),
}

/// A text that says no such thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host; write preserve, rewrite, or a host such as app.local or app.local:3000")]
pub struct HostHeaderError(String);

impl HostHeader {
    /// The value, where it is not the visitor's.
    pub(super) fn value(&self, url: &TargetUrl) -> Option<HeaderValue> {
        let host = match self {
            Self::Preserve => return None,
            Self::Rewrite => url.authority().map_or("localhost", Authority::as_str),
            Self::Fixed(authority) => authority.as_str(),
        };
        Some(HeaderValue::from_str(host).expect("an authority has only visible characters"))
    }
}

impl FromStr for HostHeader {
    type Err = HostHeaderError;

    fn from_str(text: &str) -> Result<Self, HostHeaderError> {
        match text {
            "preserve" => return Ok(Self::Preserve),
            "rewrite" => return Ok(Self::Rewrite),
            _ => {}
        }
        let authority = text.parse::<Authority>().ok();
        authority
            .filter(|authority| !text.contains('@') && !authority.host().is_empty())
            .map(Self::Fixed)
            .ok_or_else(|| HostHeaderError(text.to_owned()))
    }
}

impl fmt::Display for HostHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preserve => "preserve",
            Self::Rewrite => "rewrite",
            Self::Fixed(authority) => authority.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_written_as_it_is_read_and_told_as_it_is_meant() {
        let tcp: TargetUrl = "[::1]:3000".parse().unwrap();
        let unix: TargetUrl = "unix:/run/app.sock".parse().unwrap();
        for (written, over_tcp, over_unix) in [
            ("preserve", None, None),
            ("rewrite", Some("[::1]:3000"), Some("localhost")),
            ("app.local", Some("app.local"), Some("app.local")),
            ("app.local:81", Some("app.local:81"), Some("app.local:81")),
        ] {
            let host: HostHeader = written.parse().unwrap();
            assert_eq!(host.to_string(), written);
            let value = |url| {
                host.value(url)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            assert_eq!(value(&tcp).as_deref(), over_tcp);
            assert_eq!(value(&unix).as_deref(), over_unix);
        }
    }

    #[test]
    fn what_would_break_a_request_is_no_host() {
        for text in [
            "",
            "a b",
            "me@app",
            "http://app",
            "app/x",
            "app\r\nx: y",
            ":80",
        ] {
            assert!(text.parse::<HostHeader>().is_err(), "{text:?}");
        }
    }
}
