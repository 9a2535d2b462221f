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
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Via entries beyond which a request is going round in circles.
const MAX_HOPS: usize = 8;

/// What the connection tells of the visitor, and what trusted proxies added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visitor {
    pub(crate) addr: SocketAddr,
    pub(crate) scheme: Scheme,
}

/// The visitor behind `peer`: the right-most address that no trusted proxy
/// vouches for, as `X-Forwarded-For` tells or else `Forwarded`, or where neither
/// can be read the one of `X-Real-IP`. They are read only when `peer` itself is
/// trusted, and up to the first entry that is no address: who wrote what is left
/// of it is not known.
pub(crate) fn visitor(headers: &HeaderMap, peer: SocketAddr, trusted: &[IpNet]) -> Visitor {
    if !is_trusted(peer.ip(), trusted) {
        return Visitor {
            addr: peer,
            scheme: Scheme::Http,
        };
    }
    let forwarded = || hop::tokens(headers, &FORWARDED);
    let mut entries: Vec<&str> = hop::tokens(headers, &FOR).collect();
    if entries.is_empty() {
        entries = forwarded().map(|element| param(element, "for")).collect();
    }
    let (addr, depth) = behind(peer, &entries, trusted);
    let mut schemes: Vec<&str> = hop::tokens(headers, &PROTO).collect();
    if schemes.is_empty() {
        schemes = forwarded().map(|element| param(element, "proto")).collect();
    }
    Visitor {
        addr: match depth {
            0 => real_ip(headers).unwrap_or(peer),
            _ => addr,
        },
        scheme: scheme(&schemes, depth),
    }
}

/// The right-most entry that is not trusted, or the left-most that can be read; and
/// how many entries that took.
fn behind(peer: SocketAddr, entries: &[&str], trusted: &[IpNet]) -> (SocketAddr, usize) {
    let (mut addr, mut depth) = (peer, 0);
    for entry in entries.iter().rev() {
        let Some(read) = parse_hop(entry) else { break };
        (addr, depth) = (read, depth + 1);
        if !is_trusted(read.ip(), trusted) {
            break;
        }
    }
    (addr, depth)
}

/// What was said by the proxy that named the visitor, where proxies add to the list
/// as they add addresses; where they do not, the left-most.
fn scheme(schemes: &[&str], depth: usize) -> Scheme {
    let at = schemes.len().saturating_sub(depth.max(1));
    match schemes.get(at) {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
        _ => Scheme::Http,
    }
}

/// A parameter of one element of `Forwarded` (RFC 7239, 4); empty without it.
fn param<'a>(element: &'a str, wanted: &str) -> &'a str {
    element
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
        .map_or("", |(_, value)| value.trim().trim_matches('"'))
}

fn real_ip(headers: &HeaderMap) -> Option<SocketAddr> {
    hop::tokens(headers, &REAL_IP).find_map(parse_hop)
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
    // Names that are seldom there: to ask the map for each would cost a hash.
    while let Some(claim) = headers.keys().find(|name| is_other_claim(name)).cloned() {
        headers.remove(claim);
    }
    let claims = Claims::of(visitor, addressed);
    headers.insert(FOR, claims.for_);
    headers.insert(HOST, addressed.host.clone());
    headers.insert(PROTO, HeaderValue::from_static(visitor.scheme.as_str()));
    headers.insert(FORWARDED, claims.forwarded);
    headers.append(VIA, HeaderValue::from_static(via(version)));
    Ok(())
}

/// A claim about the visitor that this hop neither makes nor lets through.
fn is_other_claim(name: &HeaderName) -> bool {
    name == PORT || name == REAL_IP
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

/// True for an address that may speak for others.
pub(crate) fn is_trusted(ip: IpAddr, trusted: &[IpNet]) -> bool {
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
            name: authority.to_owned(),
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

    /// As a proxy at 10.0.0.1 tells it, which is trusted like all of its network.
    fn told(fields: &[(HeaderName, &'static str)]) -> Visitor {
        let headers = fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect();
        visitor(
            &headers,
            addr("10.0.0.1"),
            &["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        )
    }

    fn seen(ip: &str, scheme: Scheme) -> Visitor {
        Visitor {
            addr: addr(ip),
            scheme,
        }
    }

    #[test]
    fn where_all_are_trusted_the_first_of_them_asks() {
        let told = told(&[(FOR, "10.0.0.9, 10.0.0.3")]);
        assert_eq!(told, seen("10.0.0.9", Scheme::Http));
    }

    #[test]
    fn nothing_is_believed_beyond_an_entry_that_cannot_be_read() {
        let told = told(&[(FOR, "6.6.6.6, unknown, 10.0.0.3")]);
        assert_eq!(told, seen("10.0.0.3", Scheme::Http));
    }

    #[test]
    fn forwarded_is_read_where_there_is_no_x_forwarded_for() {
        let element = r#"for=6.6.6.6;proto=http, for="[2001:db8::7]:4711";Proto=HTTPS, for=10.0.0.3;proto=http"#;
        assert_eq!(
            told(&[(FORWARDED, element)]),
            Visitor {
                addr: "[2001:db8::7]:4711".parse().unwrap(),
                scheme: Scheme::Https
            }
        );
        let both = [(FORWARDED, element), (FOR, "198.51.100.7")];
        assert_eq!(told(&both).addr, addr("198.51.100.7"));
        let hidden = [(FORWARDED, "for=_hidden;proto=https")];
        assert_eq!(told(&hidden), seen("10.0.0.1", Scheme::Https));
    }

    #[test]
    fn x_real_ip_is_believed_where_nothing_else_can_be_read() {
        assert_eq!(
            told(&[(REAL_IP, "198.51.100.7")]).addr,
            addr("198.51.100.7")
        );
        let both = [(REAL_IP, "6.6.6.6"), (FOR, "198.51.100.7")];
        assert_eq!(told(&both).addr, addr("198.51.100.7"));
        let unread = [(REAL_IP, "198.51.100.7"), (FOR, "unknown")];
        assert_eq!(told(&unread).addr, addr("198.51.100.7"));
        assert_eq!(told(&[(REAL_IP, "nobody")]).addr, addr("10.0.0.1"));
    }

    #[test]
    fn the_scheme_is_that_of_the_hop_that_named_the_visitor() {
        let chain = (FOR, "6.6.6.6, 198.51.100.7, 10.0.0.3");
        for (schemes, expected) in [
            ("https", Scheme::Https),
            ("https, http", Scheme::Https),
            ("https, http, http", Scheme::Http),
            ("http, https, http", Scheme::Https),
            ("gopher", Scheme::Http),
        ] {
            let told = told(&[chain.clone(), (PROTO, schemes)]);
            assert_eq!(told, seen("198.51.100.7", expected), "{schemes}");
        }
    }

    #[test]
    fn ipv4_that_comes_as_ipv6_is_trusted_as_what_it_is() {
        let told = visitor(
            &with("::ffff:198.51.100.7"),
            "[::ffff:10.0.0.1]:80".parse().unwrap(),
            &["10.0.0.0/8".parse().unwrap()],
        );
        assert_eq!(told.addr.ip().to_canonical(), addr("198.51.100.7").ip());
    }

    #[test]
    fn inbound_claims_are_replaced() {
        let mut headers = with("6.6.6.6");
        headers.insert(REAL_IP, HeaderValue::from_static("6.6.6.6"));
        headers.insert(PORT, HeaderValue::from_static("666"));
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
        assert!(!headers.contains_key(REAL_IP) && !headers.contains_key(PORT));
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
