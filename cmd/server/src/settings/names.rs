//! Names and addresses as an operator writes them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;
use ipnet::IpNet;
use runtime::config::Scalar;
use runtime::serde_as_a_word;

serde_as_a_word!(Listen, Advertise, Domain, PublicUrl, Proxy, BusUrl);

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen(pub(crate) SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| format!("{text:?} is not an address to listen on"))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for Listen {
    const WANTED: &'static str = SocketAddr::WANTED;
}

/// Where something is to be found: host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advertise(String);

impl Advertise {
    /// That host, at that port.
    pub(crate) fn of(host: &Domain, port: u16) -> Self {
        Self(format!("{}:{port}", host.0))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<SocketAddr> for Advertise {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl FromStr for Advertise {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not such a place");
        let authority: Authority = text.parse().map_err(|_| wrong())?;
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let is_address = address
            .parse()
            .is_ok_and(|address: IpAddr| !address.is_unspecified());
        if !is_address {
            host.parse::<Domain>().map_err(|_| wrong())?;
        }
        let port = authority.port_u16().filter(|port| *port != 0);
        if port.is_none() || text.contains('@') {
            return Err(wrong());
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Scalar for Advertise {
    const WANTED: &'static str = "host and port as agents reach them, such as tunnels.example:8443";
}

/// A DNS name: lower case, without a port or the root's dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domain(String);

impl Domain {
    pub(crate) fn localhost() -> Self {
        Self("localhost".to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = String;

    /// Case says nothing in a DNS name, so it is no error.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(letter)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // The last label of a name is never all digits: that is the form of an IP address, which has no names under it.
        let top = name.rsplit('.').next().unwrap_or_default();
        if name.len() <= 253
            && name.split('.').all(label)
            && !top.bytes().all(|byte| byte.is_ascii_digit())
        {
            Ok(Self(name))
        } else {
            Err(format!("{text:?} is not a domain name"))
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Scalar for Domain {
    const WANTED: &'static str = "a name such as tunnels.example, without scheme, port or wildcard";
}

/// How visitors reach the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    pub(crate) https: bool,
    pub(crate) host: String,
    /// `None` is the scheme's own.
    pub(crate) port: Option<u16>,
}

impl PublicUrl {
    /// Plain HTTP straight to the listener.
    pub(crate) fn plain(domain: &Domain, port: u16) -> Self {
        Self {
            https: false,
            host: domain.0.clone(),
            port: (port != 80).then_some(port),
        }
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not such a URL");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let authority = uri
            .authority()
            .filter(|authority| !authority.as_str().contains('@'))
            .ok_or_else(wrong)?;
        if uri.path() != "/" || uri.query().is_some() || text.contains('#') {
            return Err(format!("{text:?} has more than scheme, host and port"));
        }
        let host = authority.host().to_ascii_lowercase();
        let own_port = if https { 443 } else { 80 };
        Ok(Self {
            https,
            host,
            port: authority.port_u16().filter(|port| *port != own_port),
        })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            if self.https { "https" } else { "http" },
            self.host
        )?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Scalar for PublicUrl {
    const WANTED: &'static str =
        "scheme, domain and port as visitors see them, such as https://tunnels.example";
}

/// Networks whose forwarding headers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// This machine.
    Loopback,
    /// Networks that the internet does not route (RFC 1918, RFC 4193).
    Private,
    Network(IpNet),
}

impl Proxy {
    /// What it stands for.
    pub(crate) fn networks(self) -> Vec<IpNet> {
        let named: &[&str] = match self {
            Self::Loopback => &["127.0.0.0/8", "::1/128"],
            Self::Private => &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
            Self::Network(network) => return vec![network],
        };
        let network = |text: &&str| text.parse().expect("it is a network");
        named.iter().map(network).collect()
    }
}

impl FromStr for Proxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "loopback" => return Ok(Self::Loopback),
            "private" => return Ok(Self::Private),
            _ => {}
        }
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse()
            .or_else(|_| one())
            .map(Self::Network)
            .map_err(|_| format!("{text:?} is no IP address or network"))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("loopback"),
            Self::Private => f.write_str("private"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl Scalar for Proxy {
    const WANTED: &'static str =
        "loopback, private, an address such as 10.0.0.7 or a network such as 10.0.0.0/8";
}

/// What joins the nodes of a fleet. May hold a password: shown without it, and never logged.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BusUrl(String);

impl BusUrl {
    pub(crate) fn memory() -> Self {
        Self("memory".to_owned())
    }

    /// A fleet of one.
    pub(crate) fn is_memory(&self) -> bool {
        self.0.starts_with("memory")
    }

    /// The URL with whatever secret is in it: for the bus alone.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for BusUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rsplit_once('@') {
            Some((before, host)) => {
                let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
                write!(f, "{scheme}://[hidden]@{host}")
            }
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Scalar for BusUrl {
    const WANTED: &'static str = "memory";
}
