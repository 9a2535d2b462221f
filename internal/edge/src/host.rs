//! Whom a request is for. Decided once, from the request target and the Host
//! field (RFC 9110, 7.2; RFC 9112, 3.2), before anything else is looked at.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::{
    Method, Request, Uri, Version,
    header::{HOST, HeaderValue},
    uri::Authority,
};
use identity::{granted_host_id, wildcard_host_id};
use messages::TunnelId;

use crate::{config::Config, failure::Failure, forwarded::Claims, ws};

/// Longest host name in the DNS (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;

/// Where a request goes, as far as the name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A key's label under the domain: this tunnel and no other.
    Tunnel(TunnelId),
    /// A name that an operator may have granted.
    Granted {
        /// To whom holds exactly this name.
        exact: TunnelId,
        /// Else to whom holds all names beside it.
        wildcard: Option<TunnelId>,
    },
    /// The base domain: the root tunnel while it is live, else Adit's own pages.
    Base(TunnelId),
    /// Another name of the server itself, or an IP address: Adit's own pages.
    Own,
    /// A name that cannot be a tunnel.
    Unknown,
}

/// Whom a request names, and what is written of that for the next hop.
#[derive(Debug)]
pub(crate) struct Addressed {
    pub(crate) destination: Destination,
    /// Lower case, without port and final dot: one spelling for each host.
    pub(crate) name: String,
    /// As the visitor spelled it, with its port.
    pub(crate) authority: Authority,
    /// The authority as a field's value.
    pub(crate) host: HeaderValue,
    /// What the next hop is told of the first visitor who asked for this.
    pub(crate) claims: OnceLock<Claims>,
}

/// What the last request of a connection named. The next one nearly always names
/// the same, and then nothing is parsed, checked, decoded or formatted again:
/// that was a sixth of the instructions of a small request.
#[derive(Debug, Default)]
pub(crate) struct LastHost(Mutex<Option<Arc<Addressed>>>);

impl LastHost {
    fn get(&self) -> Option<Arc<Addressed>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, addressed: &Arc<Addressed>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(addressed.clone());
    }
}

/// Decides the host and leaves it as the only `Host` of the request: an
/// authority in the target replaces the field.
pub(crate) fn decide<B>(
    request: &mut Request<B>,
    config: &Config,
    last: &LastHost,
) -> Result<Arc<Addressed>, Failure> {
    refuse_connect(request)?;
    if let Some(same) = last.get().filter(|last| names_again(request, &last.host)) {
        if request.version() == Version::HTTP_2 {
            request.headers_mut().insert(HOST, same.host.clone());
        }
        return Ok(same);
    }
    let authority = authority(request)?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad_host())?;
    request.headers_mut().insert(HOST, host.clone());
    let name = canonical(authority.host()).ok_or_else(bad_host)?;
    let addressed = Arc::new(Addressed {
        destination: destination(&name, config),
        name,
        authority,
        host,
        claims: OnceLock::new(),
    });
    last.set(&addressed);
    Ok(addressed)
}

/// True when this very value is all that names a host: as the one Host field, or
/// as the authority of HTTP/2.
fn names_again<B>(request: &Request<B>, host: &HeaderValue) -> bool {
    let mut fields = request.headers().get_all(HOST).iter();
    match (request.uri().authority(), fields.next(), fields.next()) {
        (None, Some(field), None) => field == host,
        (Some(authority), None, None) => {
            request.version() == Version::HTTP_2 && authority.as_str() == host
        }
        _ => false,
    }
}

/// True for a name as this module compares them.
pub(crate) fn is_canonical(name: &str) -> bool {
    canonical(name).is_some_and(|same| same == name)
}

fn refuse_connect<B>(request: &Request<B>) -> Result<(), Failure> {
    if *request.method() == Method::CONNECT && !ws::is_extended_connect(request) {
        return Err(Failure::BadRequest(
            "CONNECT is not a request for an origin server; this is not a forward proxy",
        ));
    }
    Ok(())
}

fn authority<B>(request: &Request<B>) -> Result<Authority, Failure> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Failure::BadRequest("a request has one Host field"));
    }
    let field = field.map(parse_field).transpose()?;
    match (request.uri().authority(), field) {
        (Some(target), Some(field))
            if request.version() == Version::HTTP_2 && !same(target, &field) =>
        {
            Err(Failure::BadRequest("Host differs from :authority"))
        }
        (Some(target), _) => checked(target.clone()),
        (None, Some(field)) => Ok(field),
        (None, None) => Err(Failure::BadRequest("the request names no host")),
    }
}

fn parse_field(value: &HeaderValue) -> Result<Authority, Failure> {
    let authority = Authority::try_from(value.as_bytes()).map_err(|_| bad_host())?;
    checked(authority)
}

/// Userinfo and ports that are not numbers never name an origin.
fn checked(authority: Authority) -> Result<Authority, Failure> {
    let text = authority.as_str();
    let port = text.strip_prefix(authority.host()).unwrap_or("");
    let good_port = match port.strip_prefix(':') {
        Some(digits) => {
            digits.is_empty()
                || (digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok())
        }
        None => port.is_empty(),
    };
    if text.contains('@') || authority.host().is_empty() || !good_port {
        return Err(bad_host());
    }
    Ok(authority)
}

fn same(a: &Authority, b: &Authority) -> bool {
    a.as_str().eq_ignore_ascii_case(b.as_str())
}

fn bad_host() -> Failure {
    Failure::BadRequest("the Host is not a host name with an optional port")
}

/// Lower case, without the root's dot. `None` for what is neither a name nor an
/// IP address.
fn canonical(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let name =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_' || b == b'.';
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let fine = match bracketed {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.len() <= MAX_NAME
                && host.bytes().all(name)
                && host
                    .split('.')
                    .all(|label| !label.is_empty() && label.len() <= 63)
        }
    };
    fine.then_some(host)
}

fn destination(name: &str, config: &Config) -> Destination {
    let domain = config.domain.as_str();
    if name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Destination::Own;
    }
    if name == domain {
        return granted_host_id(name).map_or(Destination::Own, Destination::Base);
    }
    // Agents of this very machine dial it without an entry.
    if name == "localhost" || config.own_names.iter().any(|own| own == name) {
        return Destination::Own;
    }
    name.strip_suffix(domain)
        .and_then(|rest| rest.strip_suffix('.'))
        .and_then(|label| TunnelId::from_label(label).ok())
        .map_or_else(|| granted(name), Destination::Tunnel)
}

/// The ids of what was granted are hashes of host names, and how is the identity's
/// to say: an edge that made them up itself could disagree with what agents sign.
fn granted(name: &str) -> Destination {
    let Ok(exact) = granted_host_id(name) else {
        return Destination::Unknown;
    };
    let parent = name.split_once('.').map(|(_, parent)| parent);
    Destination::Granted {
        exact,
        wildcard: parent.and_then(|parent| wildcard_host_id(parent).ok()),
    }
}

/// The origin form of a target: what the agent gets. Scheme and authority of an
/// absolute form are gone; they never choose where an agent dials.
pub(crate) fn origin_form(uri: &Uri, method: &Method) -> Result<http::uri::PathAndQuery, Failure> {
    let path = uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    match path.as_str() {
        "*" if *method == Method::OPTIONS => Ok(path),
        text if text.starts_with('/') => Ok(path),
        // `?query` of an absolute form without a path (RFC 9112, 3.2.1).
        text if text.starts_with('?') => format!("/{text}").try_into().map_err(|_| bad_target()),
        _ => Err(bad_target()),
    }
}

fn bad_target() -> Failure {
    Failure::BadRequest("the request target is neither a path nor a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn config() -> Config {
        Config {
            domain: "adit.example".to_owned(),
            own_names: vec!["eu.adit.example".to_owned()],
            ..Config::default()
        }
    }

    fn granted_to(exact: &str, wildcard: &str) -> Destination {
        Destination::Granted {
            exact: granted_host_id(exact).unwrap(),
            wildcard: wildcard_host_id(wildcard).ok(),
        }
    }

    fn asked(target: &str, hosts: &[&str]) -> Result<Destination, Failure> {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let mut request = request.body(()).unwrap();
        decide(&mut request, &config(), &LastHost::default()).map(|addressed| addressed.destination)
    }

    fn tunnel() -> Destination {
        Destination::Tunnel(TunnelId([0; 32]))
    }

    #[test]
    fn a_label_under_the_domain_is_a_tunnel_however_it_is_spelled() {
        for host in [
            format!("{KEY}.adit.example"),
            format!("{KEY}.ADIT.example:8080"),
            format!("{}.adit.example.", KEY.to_uppercase()),
        ] {
            assert_eq!(asked("/", &[&host]).unwrap(), tunnel(), "{host}");
        }
    }

    #[test]
    fn a_label_counts_only_right_below_the_domain() {
        for (host, parent) in [
            (format!("{KEY}.evil.example"), "evil.example".to_owned()),
            (format!("{KEY}xadit.example"), "example".to_owned()),
            (
                format!("x.{KEY}.adit.example"),
                format!("{KEY}.adit.example"),
            ),
        ] {
            assert_eq!(asked("/", &[&host]).unwrap(), granted_to(&host, &parent));
        }
    }

    #[test]
    fn any_other_name_may_have_been_granted_itself_or_by_one_wildcard_above_it() {
        for (host, name, parent) in [
            (
                "Blog.adit.example:8080",
                "blog.adit.example",
                "adit.example",
            ),
            (
                "en.blog.adit.example.",
                "en.blog.adit.example",
                "blog.adit.example",
            ),
            ("app.example.org", "app.example.org", "example.org"),
        ] {
            assert_eq!(asked("/", &[host]).unwrap(), granted_to(name, parent));
        }
        // 52 characters, and no label: its spare bits are not zero.
        let unlike = format!("{}.adit.example", "a".repeat(51) + "b");
        let expected = granted_to(&unlike, "adit.example");
        assert_eq!(asked("/", &[&unlike]).unwrap(), expected);
        let alone = Destination::Granted {
            exact: granted_host_id("intranet").unwrap(),
            wildcard: None,
        };
        assert_eq!(asked("/", &["intranet"]).unwrap(), alone);
    }

    #[test]
    fn what_is_no_host_name_of_the_internet_was_granted_to_nobody() {
        for host in ["a_b.adit.example", "-a.adit.example", "a.example.1"] {
            assert_eq!(asked("/", &[host]).unwrap(), Destination::Unknown, "{host}");
        }
    }

    #[test]
    fn the_base_domain_may_be_somebodys_and_our_other_names_are_nobodys() {
        let root = Destination::Base(granted_host_id("adit.example").unwrap());
        for host in ["adit.example", "ADIT.example:443", "adit.example."] {
            assert_eq!(asked("/", &[host]).unwrap(), root, "{host}");
        }
        for host in [
            "127.0.0.1:80",
            "[::1]:80",
            "eu.adit.example",
            "localhost:8080",
        ] {
            assert_eq!(asked("/", &[host]).unwrap(), Destination::Own, "{host}");
        }
    }

    #[test]
    fn an_authority_in_the_target_decides_and_replaces_host() {
        let target = format!("http://{KEY}.adit.example/x");
        let mut request = Request::builder()
            .uri(&target)
            .header(HOST, "evil.invalid")
            .body(())
            .unwrap();
        let addressed = decide(&mut request, &config(), &LastHost::default()).unwrap();
        assert_eq!(addressed.destination, tunnel());
        assert_eq!(request.headers()[HOST], format!("{KEY}.adit.example"));
        assert_eq!(
            asked("http://evil.invalid/x", &[&format!("{KEY}.adit.example")]).unwrap(),
            granted_to("evil.invalid", "invalid")
        );
    }

    #[test]
    fn a_connection_remembers_its_last_host_and_nothing_else() {
        let last = LastHost::default();
        let ask = |target: &str, host: &str| {
            let request = Request::builder().uri(target).header(HOST, host);
            let mut request = request.body(()).unwrap();
            let addressed = decide(&mut request, &config(), &last);
            addressed.map(|addressed| (addressed.destination, addressed.host.clone()))
        };
        let label = format!("{KEY}.adit.example");
        assert_eq!(ask("/", &label).unwrap().0, tunnel());
        assert_eq!(ask("/again", &label).unwrap().0, tunnel());
        assert_eq!(ask("/", "127.0.0.1").unwrap().0, Destination::Own);
        assert!(ask("/", "a b").is_err());
        assert_eq!(ask("/", "127.0.0.1").unwrap().0, Destination::Own);
        let elsewhere = ask("http://other.invalid/", "adit.example").unwrap();
        assert_eq!(
            elsewhere,
            (
                granted_to("other.invalid", "invalid"),
                HeaderValue::from_static("other.invalid")
            )
        );
        let mut doubled = Request::builder()
            .header(HOST, "adit.example")
            .header(HOST, "adit.example")
            .body(())
            .unwrap();
        ask("/", "adit.example").unwrap();
        assert!(decide(&mut doubled, &config(), &last).is_err());
    }

    #[test]
    fn odd_hosts_are_refused() {
        let doubled = ["adit.example", "evil.invalid"];
        assert!(asked("/", &doubled).is_err());
        for host in [
            "",
            "a b",
            " ",
            "a\tb",
            "a/b",
            "u@adit.example",
            "adit.example:99999x",
            "adit.example:70000",
            "a,b",
            "[::1",
            "a..b",
            ".",
        ] {
            assert!(asked("/", &[host]).is_err(), "{host:?}");
        }
        assert!(asked("/", &[]).is_err());
    }
}
