//! What belongs to one hop, or to Adit itself, and must not travel on
//! (RFC 9110, 7.6.1).

use exchange::hop;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{COOKIE, SET_COOKIE, TE, TRAILER},
};

/// Prefix of headers that only Adit's own hops may write.
const INTERNAL: &str = "adit-";

/// Removes hop-by-hop headers, those that Connection names, and Adit's own.
pub(crate) fn strip(headers: &mut HeaderMap) {
    hop::strip(headers);
    remove_where(headers, |name| name.as_str().starts_with(INTERNAL));
}

/// The same for a request, in which `TE: trailers` survives: trailers do travel
/// (RFC 9110, 10.1.4).
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    let wants_trailers = hop::lists(headers, &TE, "trailers");
    strip(headers);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn remove_where(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| unwanted(name))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// Removes what trailers must not carry: framing, routing, authentication and
/// control of the request (RFC 9110, 6.5.1).
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    const FORBIDDEN: [&str; 20] = [
        "age",
        "authorization",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "expect",
        "expires",
        "forwarded",
        "host",
        "location",
        "max-forwards",
        "proxy-authorization",
        "range",
        "set-cookie",
        "trailer",
        "www-authenticate",
    ];
    strip(trailers);
    trailers.remove(TRAILER);
    for name in FORBIDDEN {
        trailers.remove(name);
    }
    remove_where(trailers, hop::is_protected);
}

/// Makes one field of the crumbs that HTTP/2 cuts cookies into: behind this hop
/// may be HTTP/1.1, which has one (RFC 9113, 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let crumbs = headers.get_all(COOKIE);
    let crumbs: Vec<&[u8]> = crumbs.iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
    headers.insert(
        COOKIE,
        joined.expect("values with \"; \" between are a value"),
    );
}

/// Removes cookies set for the server's own domain or above it: sibling tunnels
/// would receive them (RFC 6265, 4.1.2.3).
pub(crate) fn keep_cookies_at_home(headers: &mut HeaderMap, domain: &str) {
    if !headers
        .get_all(SET_COOKIE)
        .iter()
        .any(|cookie| reaches(cookie, domain))
    {
        return;
    }
    let kept: Vec<HeaderValue> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter(|cookie| !reaches(cookie, domain))
        .cloned()
        .collect();
    headers.remove(SET_COOKIE);
    for cookie in kept {
        headers.append(SET_COOKIE, cookie);
    }
}

/// True when any Domain attribute of the cookie equals the domain or is a
/// parent of it. The last one counts for a browser; a hostile agent gets no
/// benefit of the doubt.
fn reaches(cookie: &HeaderValue, domain: &str) -> bool {
    cookie
        .as_bytes()
        .split(|byte| *byte == b';')
        .skip(1)
        .any(|attribute| {
            let attribute = String::from_utf8_lossy(attribute);
            let Some((name, value)) = attribute.split_once('=') else {
                return false;
            };
            let value = value
                .trim()
                .trim_matches('"')
                .trim_start_matches('.')
                .trim_end_matches('.')
                .to_ascii_lowercase();
            name.trim().eq_ignore_ascii_case("domain")
                && !value.is_empty()
                && (domain == value
                    || domain
                        .strip_suffix(value.as_str())
                        .is_some_and(|rest| rest.ends_with('.')))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    #[test]
    fn what_connection_names_goes_but_never_what_decides_routing_or_trust() {
        let mut map = headers(&[
            ("connection", "X-Hop, Host , x-forwarded-for"),
            ("connection", "Authorization,, Cookie"),
            ("x-hop", "1"),
            ("host", "h"),
            ("x-forwarded-for", "1.2.3.4"),
            ("authorization", "Basic x"),
            ("cookie", "a=b"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers, deflate"),
            ("upgrade", "foo"),
            ("adit-node", "forged"),
        ]);
        strip_request(&mut map);
        let mut left: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["authorization", "cookie", "host", "te", "x-forwarded-for"]
        );
        assert_eq!(map[TE], "trailers");
    }

    #[test]
    fn cookies_for_the_shared_domain_are_removed_and_the_others_kept_in_order() {
        let mut map = headers(&[
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2; Domain=adit.example"),
            ("set-cookie", "c=3; path=/; DOMAIN = .Example"),
            ("set-cookie", "d=4; Domain=label.adit.example"),
            ("set-cookie", "e=5; Domain=dit.example"),
            ("set-cookie", "f=6; domain=\"adit.example.\""),
        ]);
        keep_cookies_at_home(&mut map, "adit.example");
        let left: Vec<_> = map
            .get_all(SET_COOKIE)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect();
        assert_eq!(
            left,
            [
                "a=1",
                "d=4; Domain=label.adit.example",
                "e=5; Domain=dit.example"
            ]
        );
    }

    #[test]
    fn the_crumbs_of_a_cookie_become_one_field() {
        let mut map = headers(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3")]);
        join_cookies(&mut map);
        assert_eq!(
            map.get_all(COOKIE).iter().collect::<Vec<_>>(),
            ["a=1; b=2; c=3"]
        );
    }

    #[test]
    fn trailers_carry_no_framing_routing_or_credentials() {
        let mut map = headers(&[
            ("grpc-status", "0"),
            ("content-length", "3"),
            ("host", "evil"),
            ("set-cookie", "a=b"),
            ("x-forwarded-for", "1.1.1.1"),
            ("transfer-encoding", "chunked"),
        ]);
        clean_trailers(&mut map);
        assert_eq!(
            map.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["grpc-status"]
        );
    }
}
