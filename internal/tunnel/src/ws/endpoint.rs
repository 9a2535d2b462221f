//! What a person may write for "the server", and the host that follows from it.
//!
//! The host matters beyond dialling: it is the audience that the agent signs, so it is taken from what the person wrote
//! and never from what a server says about itself.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Longest host name, bytes (RFC 1035 section 2.3.4, without the root).
const MAX_HOST: usize = 253;

/// A server that an agent can connect to: scheme, host and port, nothing else.
///
/// Parsed from `https://host[:port]`, `http://host[:port]` (also `wss`, `ws`) or a bare `host[:port]`. A bare host is
/// dialled with TLS, unless it is this machine (`localhost`, `*.localhost`, `127.…`, `[::1]`), where plain HTTP is
/// what is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    tls: bool,
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// Why a text names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// A scheme that links do not travel over.
    #[error("the server's scheme is {0:?}, but must be https or http")]
    Scheme(String),
    /// `user@` or `user:password@`.
    #[error(
        "the server must be given without user and password: agents prove themselves with their key"
    )]
    Userinfo,
    /// Anything behind host and port but a single slash.
    #[error("the server must be given without a path: only https://host[:port]")]
    Path,
    /// No host, or one that DNS could not know.
    #[error(
        "{0:?} is no host name or IP address (international names in their xn-- form, IPv6 in brackets)"
    )]
    Host(String),
    /// Not 1 to 65535.
    #[error("{0:?} is no port: 1 to 65535")]
    Port(String),
}

impl Endpoint {
    /// Whether the connection is made with TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The audience of a registration: the host in lower case, without port, final dot and (for IPv6) brackets.
    #[must_use]
    pub fn audience(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::V4(address) => address.to_string(),
            Host::V6(address) => address.to_string(),
        }
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, where it was given as one.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Name(_) => None,
            Host::V4(address) => Some((*address).into()),
            Host::V6(address) => Some((*address).into()),
        }
    }

    /// What goes into the Host header (RFC 9110 section 7.2): the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        if self.port == default_port(self.tls) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = match text.trim().split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text.trim()),
        };
        let tls = scheme.map(parse_scheme).transpose()?;
        if rest.contains('@') {
            return Err(EndpointError::Userinfo);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '\\']) {
            return Err(EndpointError::Path);
        }
        let (host, port) = split_port(authority)?;
        let host = parse_host(host)?;
        let tls = tls.unwrap_or_else(|| !host.is_this_machine());
        Ok(Self {
            tls,
            host,
            port: port.unwrap_or_else(|| default_port(tls)),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            if self.tls { "https" } else { "http" },
            self.authority()
        )
    }
}

impl Host {
    fn is_this_machine(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::V4(address) => address.is_loopback(),
            Self::V6(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn parse_scheme(scheme: &str) -> Result<bool, EndpointError> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => Ok(true),
        "http" | "ws" => Ok(false),
        _ => Err(EndpointError::Scheme(scheme.to_owned())),
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), EndpointError> {
    // The colons of an IPv6 address are inside brackets, so a port's colon is behind the last of them.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => return Ok((authority, None)),
    };
    let number = port
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| port.parse().ok())
        .flatten();
    match number {
        Some(number) if number > 0 => Ok((host, Some(number))),
        _ => Err(EndpointError::Port(port.to_owned())),
    }
}

fn parse_host(text: &str) -> Result<Host, EndpointError> {
    let wrong = || EndpointError::Host(text.to_owned());
    if let Some(bracketed) = text.strip_prefix('[') {
        let address = bracketed
            .strip_suffix(']')
            .and_then(|inner| inner.parse().ok());
        return address.map(Host::V6).ok_or_else(wrong);
    }
    if let Ok(address) = text.parse() {
        return Ok(Host::V4(address));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    // A last label of digits is an IPv4 address in some odd spelling, and resolvers disagree about those.
    let odd_address = name
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if name.len() > MAX_HOST || odd_address || !name.split('.').all(is_label) {
        return Err(wrong());
    }
    Ok(Host::Name(name))
}

/// Letters, digits, inner hyphens; underscores too, which names inside container networks have.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes_becomes_one_spelling() {
        for (written, meant, audience) in [
            (
                "https://relay.example",
                "https://relay.example",
                "relay.example",
            ),
            (
                "http://relay.example:8080",
                "http://relay.example:8080",
                "relay.example",
            ),
            (
                "https://Relay.Example.:443/",
                "https://relay.example",
                "relay.example",
            ),
            (
                "wss://relay.example",
                "https://relay.example",
                "relay.example",
            ),
            (
                "HTTP://relay.example:80",
                "http://relay.example",
                "relay.example",
            ),
            ("relay.example", "https://relay.example", "relay.example"),
            (
                "relay.example:8443",
                "https://relay.example:8443",
                "relay.example",
            ),
            ("localhost:8080", "http://localhost:8080", "localhost"),
            ("a.localhost", "http://a.localhost", "a.localhost"),
            ("127.0.0.1:7000", "http://127.0.0.1:7000", "127.0.0.1"),
            ("https://192.0.2.7", "https://192.0.2.7", "192.0.2.7"),
            ("[::1]:8080", "http://[::1]:8080", "::1"),
            (
                "https://[2001:DB8::0:1]",
                "https://[2001:db8::1]",
                "2001:db8::1",
            ),
            (
                " adit_server:9000 ",
                "https://adit_server:9000",
                "adit_server",
            ),
        ] {
            let endpoint: Endpoint = written
                .parse()
                .unwrap_or_else(|error| panic!("{written:?}: {error}"));
            assert_eq!(
                (endpoint.to_string().as_str(), endpoint.audience().as_str()),
                (meant, audience)
            );
        }
    }

    #[test]
    fn what_is_no_server_is_refused_by_name() {
        use EndpointError as Error;
        for (written, why) in [
            ("ftp://relay.example", Error::Scheme("ftp".to_owned())),
            ("https://me@relay.example", Error::Userinfo),
            ("https://me:pw@relay.example", Error::Userinfo),
            ("https://relay.example/_adit/connect", Error::Path),
            ("relay.example/?x", Error::Path),
            ("relay.example#x", Error::Path),
            ("relay.example\\x", Error::Path),
            ("https://", Error::Host(String::new())),
            ("", Error::Host(String::new())),
            ("relay..example", Error::Host("relay..example".to_owned())),
            ("-relay.example", Error::Host("-relay.example".to_owned())),
            ("zürich.example", Error::Host("zürich.example".to_owned())),
            ("re lay.example", Error::Host("re lay.example".to_owned())),
            ("127.1", Error::Host("127.1".to_owned())),
            ("1.2.3.4.5", Error::Host("1.2.3.4.5".to_owned())),
            ("[::1", Error::Host("[:".to_owned())),
            ("::1", Error::Host(":".to_owned())),
            ("relay.example:0", Error::Port("0".to_owned())),
            ("relay.example:65536", Error::Port("65536".to_owned())),
            ("relay.example:+80", Error::Port("+80".to_owned())),
            ("relay.example:", Error::Port(String::new())),
        ] {
            assert_eq!(written.parse::<Endpoint>(), Err(why), "{written:?}");
        }
    }
}
