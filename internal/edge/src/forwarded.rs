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

use crate::failure::Failure;

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

/// Removes every inbound claim and writes what this hop knows.
pub(crate) fn write(
    headers: &mut HeaderMap,
    visitor: Visitor,
    authority: &Authority,
    version: Version,
) -> Result<(), Failure> {
    check_hops(headers)?;
    headers.remove(PORT);
    let ip = visitor.addr.ip().to_canonical();
    let host = HeaderValue::from_str(authority.as_str())
        .map_err(|_| Failure::BadRequest("the Host cannot be forwarded"))?;
    let proto = visitor.scheme.as_str();
    headers.insert(FOR, text(ip.to_string()));
    headers.insert(HOST, host);
    headers.insert(PROTO, HeaderValue::from_static(proto));
    headers.insert(
        FORWARDED,
        text(format!(
            "for={};host=\"{}\";proto={proto}",
            node(ip),
            authority.as_str()
        )),
    );
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
    use super::*;

    fn with(for_: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(FOR, HeaderValue::from_str(for_).unwrap());
        headers.insert(PROTO, HeaderValue::from_static("https"));
        headers
    }

    fn addr(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 0)
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
        write(
            &mut headers,
            who,
            &Authority::from_static("a.example:80"),
            Version::HTTP_11,
        )
        .unwrap();
        assert_eq!(headers[FOR], "2001:db8::1");
        assert_eq!(
            headers[FORWARDED],
            "for=\"[2001:db8::1]\";host=\"a.example:80\";proto=http"
        );
        assert_eq!(headers[VIA], "1.1 adit");
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
