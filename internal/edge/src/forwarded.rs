//! Who asked: `X-Forwarded-*`, `Forwarded` (RFC 7239) and `Via` (RFC 9110,
//! 7.6.3), written afresh on every request.

use exchange::hop;
use std::net::{IpAddr, SocketAddr};

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{FORWARDED, VIA},
    uri::Authority,
};
use ipnet::IpNet;
use messages::Scheme;

use crate::{failure::Failure, host::Addressed};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Via entries beyond which a request is going round in circles.
const MAX_HOPS: usize = 8;

/// What the connection tells of the visitor, and what trusted proxies added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visitor {
    pub(crate) addr: SocketAddr,
    pub(crate) scheme: Scheme,
}

/// The visitor behind `peer`: the right-most address that no trusted proxy
/// vouches for. Inbound headers are read only when `peer` itself is trusted.
pub(crate) fn visitor(headers: &HeaderMap, peer: SocketAddr, trusted: &[IpNet]) -> Visitor {
    let direct = Visitor {
        addr: peer,
        scheme: Scheme::Http,
    };
    if !is_trusted(peer.ip(), trusted) {
        return direct;
    }
    let chain: Vec<&str> = hop::tokens(headers, &FOR).collect();
    let mut addr = peer;
    for hop in chain.iter().rev() {
        let Some(ip) = parse_hop(hop) else { break };
        addr = ip;
        if !is_trusted(ip.ip(), trusted) {
            break;
        }
    }
    let https = hop::tokens(headers, &PROTO)
        .last()
        .is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    Visitor {
        addr,
        scheme: if https { Scheme::Https } else { Scheme::Http },
    }
}

/// What the next hop is told of a visitor, as fields of its request.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    of: Visitor,
    for_: HeaderValue,
    forwarded: HeaderValue,
}

impl Claims {
    fn new(of: Visitor, authority: &Authority) -> Self {
        let ip = of.addr.ip().to_canonical();
        let forwarded = format!(
            "for={};host=\"{authority}\";proto={}",
            node(ip),
            of.scheme.as_str()
        );
        Self {
            of,
            for_: text(ip.to_string()),
            forwarded: text(forwarded),
        }
    }

    /// Those of this visitor: remembered, unless a proxy brings another one over
    /// the same connection.
    fn of(visitor: Visitor, addressed: &Addressed) -> Self {
        let first = addressed
            .claims
            .get_or_init(|| Self::new(visitor, &addressed.authority));
        if first.of == visitor {
            first.clone()
        } else {
            Self::new(visitor, &addressed.authority)
        }
    }
}

/// Removes every inbound claim and writes what this hop knows.
pub(crate) fn write(
    headers: &mut HeaderMap,
    visitor: Visitor,
    addressed: &Addressed,
    version: Version,
) -> Result<(), Failure> {
    check_hops(headers)?;
    headers.remove(PORT);
    let claims = Claims::of(visitor, addressed);
    headers.insert(FOR, claims.for_);
    headers.insert(HOST, addressed.host.clone());
    headers.insert(PROTO, HeaderValue::from_static(visitor.scheme.as_str()));
    headers.insert(FORWARDED, claims.forwarded);
    headers.append(VIA, HeaderValue::from_static(via(version)));
    Ok(())
}

fn check_hops(headers: &HeaderMap) -> Result<(), Failure> {
    if hop::tokens(headers, &VIA).count() > MAX_HOPS {
        Err(Failure::Loop)
    } else {
        Ok(())
    }
}

/// This hop's entry for a message of that version.
pub(crate) fn via(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2 adit",
        Version::HTTP_10 => "1.0 adit",
        _ => "1.1 adit",
    }
}

fn is_trusted(ip: IpAddr, trusted: &[IpNet]) -> bool {
    let ip = ip.to_canonical();
    trusted.iter().any(|net| net.contains(&ip))
}

fn parse_hop(hop: &str) -> Option<SocketAddr> {
    let bare = hop.trim_matches(['[', ']']);
    bare.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, 0))
        .or_else(|_| hop.parse())
        .ok()
}

/// IPv6 is quoted and bracketed (RFC 7239, 6).
fn node(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("\"[{ip}]\""),
    }
}

fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).expect("addresses and checked authorities are visible ASCII")
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::host::Destination;

    fn with(for_: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(FOR, HeaderValue::from_str(for_).unwrap());
        headers.insert(PROTO, HeaderValue::from_static("https"));
        headers
    }

    fn addr(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 0)
    }

    fn addressed(authority: &'static str) -> Addressed {
        Addressed {
            destination: Destination::Unknown,
            authority: Authority::from_static(authority),
            host: HeaderValue::from_static(authority),
            claims: OnceLock::new(),
        }
    }

    #[test]
    fn a_stranger_cannot_say_who_he_is() {
        let seen = visitor(
            &with("6.6.6.6"),
            addr("203.0.113.9"),
            &["10.0.0.0/8".parse().unwrap()],
        );
        assert_eq!(
            seen,
            Visitor {
                addr: addr("203.0.113.9"),
                scheme: Scheme::Http
            }
        );
    }

    #[test]
    fn trusted_proxies_are_read_right_to_left() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let seen = visitor(
            &with("6.6.6.6, 198.51.100.7, 10.0.0.3"),
            addr("10.0.0.1"),
            &trusted,
        );
        assert_eq!(
            seen,
            Visitor {
                addr: addr("198.51.100.7"),
                scheme: Scheme::Https
            }
        );
    }

    #[test]
    fn inbound_claims_are_replaced() {
        let mut headers = with("6.6.6.6");
        headers.insert(FORWARDED, HeaderValue::from_static("for=6.6.6.6"));
        let who = Visitor {
            addr: addr("2001:db8::1"),
            scheme: Scheme::Http,
        };
        let asked = addressed("a.example:80");
        write(&mut headers, who, &asked, Version::HTTP_11).unwrap();
        assert_eq!(headers[FOR], "2001:db8::1");
        assert_eq!(
            headers[FORWARDED],
            "for=\"[2001:db8::1]\";host=\"a.example:80\";proto=http"
        );
        assert_eq!(headers[VIA], "1.1 adit");
    }

    #[test]
    fn a_proxy_that_brings_many_visitors_is_told_of_each() {
        let asked = addressed("a.example");
        for ip in ["192.0.2.1", "192.0.2.2", "192.0.2.1"] {
            let mut headers = HeaderMap::new();
            let who = Visitor {
                addr: addr(ip),
                scheme: Scheme::Https,
            };
            write(&mut headers, who, &asked, Version::HTTP_2).unwrap();
            assert_eq!(headers[FOR], ip);
            assert_eq!(
                headers[FORWARDED],
                format!("for={ip};host=\"a.example\";proto=https")
            );
        }
    }

    #[test]
    fn a_ninth_hop_is_a_loop() {
        let mut headers = HeaderMap::new();
        headers.insert(
            VIA,
            HeaderValue::from_static(
                "1.1 a, 1.1 b, 1.1 c, 1.1 d, 1.1 e, 1.1 f, 1.1 g, 1.1 h, 1.1 i",
            ),
        );
        assert_eq!(check_hops(&headers), Err(Failure::Loop));
    }
}
