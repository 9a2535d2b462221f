//! What a person may write for "my local service".

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::uri::Authority;

/// The longest path of a socket in bytes: `sun_path` of Linux without its final zero, the BSDs have three less.
const MAX_SOCKET: usize = 107;

/// A local HTTP service: host and port, or a socket in the file system; nothing else.
///
/// Parsed from a port (`3000`, on this machine), `host:port`, `http://host[:port]`, or `unix:/path/of.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl(Place);

/// Where a service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp(Authority),
    Unix(PathBuf),
}

/// Why a text names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetUrlError {
    /// A scheme other than http.
    #[error(
        "its scheme is {0:?}, but only plain http services can be published; give http://host:port"
    )]
    Scheme(String),
    /// `user@` or `user:password@`.
    #[error("it has a user name in it; leave that out, visitors' own credentials are passed on")]
    Userinfo,
    /// Anything behind host and port but a single slash.
    #[error("it has a path in it, but a whole service is published; give only host and port")]
    Path,
    /// No port, where nothing else tells it.
    #[error("it has no port; give a port such as 3000, host:port, or http://host")]
    NoPort,
    /// Not 1 to 65535.
    #[error("{0:?} is no port; ports are 1 to 65535")]
    Port(String),
    /// No host, or one with characters that no host has.
    #[error("{0:?} is no host name or IP address (IPv6 in brackets)")]
    Host(String),
    /// A socket's path that does not begin at the root, or is longer than systems take.
    #[error("{0:?} is no path of a socket; give unix:/path/of.sock, of at most 107 bytes")]
    Socket(String),
}

impl TargetUrl {
    /// Host and port, as dialled; `None` for a socket in the file system.
    #[must_use]
    pub fn authority(&self) -> Option<&Authority> {
        match &self.0 {
            Place::Tcp(authority) => Some(authority),
            Place::Unix(_) => None,
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.0
    }
}

impl FromStr for TargetUrl {
    type Err = TargetUrlError;

    fn from_str(text: &str) -> Result<Self, TargetUrlError> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return build("localhost", port(text)?);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return socket(path);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        if let Some(scheme) = scheme.filter(|scheme| !scheme.eq_ignore_ascii_case("http")) {
            return Err(TargetUrlError::Scheme(scheme.to_owned()));
        }
        if rest.contains('@') {
            return Err(TargetUrlError::Userinfo);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '\\']) {
            return Err(TargetUrlError::Path);
        }
        match authority.rsplit_once(':') {
            // The colons of an IPv6 address are inside its brackets.
            Some((host, digits)) if !digits.contains(']') => build(host, port(digits)?),
            _ if scheme.is_some() => build(authority, 80),
            _ => Err(TargetUrlError::NoPort),
        }
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Tcp(authority) => write!(f, "http://{authority}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn port(digits: &str) -> Result<u16, TargetUrlError> {
    let number = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok());
    match number.flatten() {
        Some(number) if number > 0 => Ok(number),
        _ => Err(TargetUrlError::Port(digits.to_owned())),
    }
}

fn build(host: &str, port: u16) -> Result<TargetUrl, TargetUrlError> {
    let wrong = || TargetUrlError::Host(host.to_owned());
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let legal = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(name),
    };
    if !legal {
        return Err(wrong());
    }
    format!("{host}:{port}")
        .parse()
        .map(|authority| TargetUrl(Place::Tcp(authority)))
        .map_err(|_| wrong())
}

/// `unix:/path`, or `unix:///path` as a URL would have it.
fn socket(path: &str) -> Result<TargetUrl, TargetUrlError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    let legal = path.starts_with('/') && path.len() <= MAX_SOCKET && !path.contains('\0');
    if !legal {
        return Err(TargetUrlError::Socket(path.to_owned()));
    }
    Ok(TargetUrl(Place::Unix(path.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_a_host_with_a_port_and_a_url_name_a_target() {
        for (written, meant) in [
            ("3000", "http://localhost:3000"),
            ("127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("nas.home:80", "http://nas.home:80"),
            ("[::1]:3000", "http://[::1]:3000"),
            ("http://localhost:3000/", "http://localhost:3000"),
            ("HTTP://nas_2", "http://nas_2:80"),
            ("http://[fd00::1]", "http://[fd00::1]:80"),
            (" 8080 ", "http://localhost:8080"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
        ] {
            let target: TargetUrl = written
                .parse()
                .unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(target.to_string(), meant);
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_what_to_write_instead() {
        use TargetUrlError as Error;
        for (written, why) in [
            ("https://localhost:3000", Error::Scheme("https".to_owned())),
            ("ftp://localhost", Error::Scheme("ftp".to_owned())),
            ("http://me:pw@localhost", Error::Userinfo),
            ("http://localhost:3000/api", Error::Path),
            ("localhost:3000?x", Error::Path),
            ("localhost", Error::NoPort),
            ("", Error::NoPort),
            ("0", Error::Port("0".to_owned())),
            ("65536", Error::Port("65536".to_owned())),
            ("localhost:+80", Error::Port("+80".to_owned())),
            ("localhost:", Error::Port(String::new())),
            (":3000", Error::Host(String::new())),
            ("::1:3000", Error::Host("::1".to_owned())),
            ("[::x]:3000", Error::Host("[::x]".to_owned())),
            ("unix:app.sock", Error::Socket("app.sock".to_owned())),
            ("unix:", Error::Socket(String::new())),
            ("lo cal:3000", Error::Host("lo cal".to_owned())),
        ] {
            assert_eq!(written.parse::<TargetUrl>(), Err(why), "{written:?}");
        }
    }
}
