//! The PROXY protocol, with which a service behind the agent learns who really called (haproxy.org, proxy-protocol.txt).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use ppp::{v1, v2};

/// A version of the protocol. Its header opens each connection to the service and holds for all of it, so that a
/// connection then serves one visitor's address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// A text that names no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version of the PROXY protocol; write v1 or v2")]
pub struct ProxyProtocolError(String);

impl ProxyProtocol {
    /// The header of a connection made for `visitor`. The protocol wants one family for both addresses; where the
    /// service's differs it is left unspecified, as it is known to the service anyhow.
    pub(super) fn header(self, visitor: SocketAddr, service: Option<SocketAddr>) -> Vec<u8> {
        let visitor = SocketAddr::new(visitor.ip().to_canonical(), visitor.port());
        let service = destination(visitor, service);
        match self {
            Self::V1 => v1(visitor, service).to_string().into_bytes(),
            Self::V2 => {
                let command = v2::Version::Two | v2::Command::Proxy;
                let addresses = (visitor, service);
                v2::Builder::with_addresses(command, v2::Protocol::Stream, addresses)
                    .build()
                    .expect("two addresses fit into a header")
            }
        }
    }
}

/// The service's address in the visitor's family.
fn destination(visitor: SocketAddr, service: Option<SocketAddr>) -> SocketAddr {
    let port = service.map_or(0, |service| service.port());
    let ip = match (
        visitor.ip(),
        service.map(|service| service.ip().to_canonical()),
    ) {
        (IpAddr::V4(_), Some(IpAddr::V4(ip))) => IpAddr::V4(ip),
        (IpAddr::V6(_), Some(IpAddr::V6(ip))) => IpAddr::V6(ip),
        (IpAddr::V6(_), Some(IpAddr::V4(ip))) => IpAddr::V6(ip.to_ipv6_mapped()),
        (IpAddr::V4(_), _) => Ipv4Addr::UNSPECIFIED.into(),
        (IpAddr::V6(_), None) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, port)
}

fn v1(visitor: SocketAddr, service: SocketAddr) -> v1::Addresses {
    let (from, to) = (visitor.port(), service.port());
    match (visitor.ip(), service.ip()) {
        (IpAddr::V4(visitor), IpAddr::V4(service)) => {
            v1::Addresses::new_tcp4(visitor, service, from, to)
        }
        (IpAddr::V6(visitor), IpAddr::V6(service)) => {
            v1::Addresses::new_tcp6(visitor, service, from, to)
        }
        _ => v1::Addresses::Unknown,
    }
}

impl FromStr for ProxyProtocol {
    type Err = ProxyProtocolError;

    fn from_str(text: &str) -> Result<Self, ProxyProtocolError> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            _ => Err(ProxyProtocolError(text.to_owned())),
        }
    }
}

impl fmt::Display for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(visitor: &str, service: Option<&str>) -> String {
        let service = service.map(|service| service.parse().unwrap());
        let header = ProxyProtocol::V1.header(visitor.parse().unwrap(), service);
        String::from_utf8(header).unwrap()
    }

    #[test]
    fn both_addresses_are_of_the_visitors_family() {
        for (visitor, service, expected) in [
            (
                "192.0.2.1:4711",
                Some("127.0.0.1:3000"),
                "PROXY TCP4 192.0.2.1 127.0.0.1 4711 3000\r\n",
            ),
            (
                "[2001:db8::7]:4711",
                Some("[::1]:3000"),
                "PROXY TCP6 2001:db8::7 ::1 4711 3000\r\n",
            ),
            (
                "[2001:db8::7]:4711",
                Some("127.0.0.1:3000"),
                "PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 4711 3000\r\n",
            ),
            (
                "[::ffff:192.0.2.1]:4711",
                Some("[::1]:3000"),
                "PROXY TCP4 192.0.2.1 0.0.0.0 4711 3000\r\n",
            ),
            ("192.0.2.1:1", None, "PROXY TCP4 192.0.2.1 0.0.0.0 1 0\r\n"),
        ] {
            assert_eq!(line(visitor, service), expected);
        }
    }

    /// Bytes by hand, after section 2.2 of the specification.
    #[test]
    fn the_binary_header_is_the_one_that_is_specified() {
        let visitor = "192.0.2.1:4711".parse().unwrap();
        let service = "127.0.0.1:3000".parse().unwrap();
        let header = ProxyProtocol::V2.header(visitor, Some(service));
        let signature = b"\r\n\r\n\0\r\nQUIT\n";
        let rest = [
            0x21, 0x11, 0, 12, 192, 0, 2, 1, 127, 0, 0, 1, 0x12, 0x67, 0x0b, 0xb8,
        ];
        assert_eq!(header, [&signature[..], &rest].concat());
    }

    #[test]
    fn a_version_is_written_as_it_is_read() {
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert!("3".parse::<ProxyProtocol>().is_err());
    }
}
