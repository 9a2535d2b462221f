//! What ends at each hop of HTTP, and how its list fields read (RFC 9110, 5.6.1 and 7.6.1).
//!
//! Both ends of a stream are hops, and both are attacked: the edge by visitors, the agent by whatever speaks for its
//! target. They follow the same rules, written once.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH},
};

/// Headers that end at each hop. `Trailer` goes on: the trailers it announces do.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// True for headers that end at each hop, whatever Connection says.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(&name.as_str())
}

/// True for names that a Connection header cannot remove: they decide routing, framing or trust.
#[must_use]
pub fn is_protected(name: &HeaderName) -> bool {
    let name = name.as_str();
    [
        "host",
        "content-length",
        "authorization",
        "cookie",
        "forwarded",
    ]
    .contains(&name)
        || name.starts_with("x-forwarded-")
}

/// Removes the headers of the hop behind, and those that its Connection names.
///
/// A walk over the names that are there finds them: to ask the map for each costs a hash and a probe, present or not.
pub fn strip(headers: &mut HeaderMap) {
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    while let Some(name) = headers.keys().find(|name| is_hop_by_hop(name)).cloned() {
        headers.remove(name);
    }
}

/// What Connection names beyond what ends here anyway.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let known = |token: &str| {
        let mut usual = HOP_BY_HOP.iter().chain(&["close"]);
        usual.any(|name| name.eq_ignore_ascii_case(token))
    };
    tokens(headers, &CONNECTION)
        .filter(|token| !known(token))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| !is_protected(name))
        .collect()
}

/// The comma-separated members of every field of that name, trimmed.
pub fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim_matches([' ', '\t']))
        .filter(|token| !token.is_empty())
}

/// True when a list field has that member, in any case and with any parameters.
#[must_use]
pub fn lists(headers: &HeaderMap, name: &HeaderName, member: &str) -> bool {
    tokens(headers, name).any(|token| {
        let token = token.split(';').next().unwrap_or(token).trim_end();
        token.eq_ignore_ascii_case(member)
    })
}

/// More than one Content-Length, or one that is no number in digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Content-Length is not one number")]
pub struct BadLength;

/// The one Content-Length, in its one spelling (RFC 9110, 8.6).
///
/// # Errors
/// [`BadLength`]: such a message could be read in two ways.
pub fn content_length(headers: &HeaderMap) -> Result<Option<u64>, BadLength> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (number(value), values.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(BadLength),
    }
}

fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use http::header::TE;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn what_belongs_to_the_hop_behind_ends_here() {
        let mut map = headers(&[
            ("connection", "x-hop, Host, X-Forwarded-For"),
            ("connection", "cookie,, Content-Length"),
            ("x-hop", "1"),
            ("host", "a.example"),
            ("content-length", "3"),
            ("x-forwarded-for", "192.0.2.1"),
            ("cookie", "a=b"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
        ]);
        strip(&mut map);
        let mut left: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["content-length", "cookie", "host", "x-forwarded-for"]
        );
    }

    #[test]
    fn a_length_is_one_number_in_digits() {
        assert_eq!(content_length(&headers(&[])), Ok(None));
        assert_eq!(
            content_length(&headers(&[("content-length", "42")])),
            Ok(Some(42))
        );
        for bad in [
            &["1", "2"][..],
            &["1", "1"],
            &["1, 1"],
            &["+1"],
            &["-1"],
            &[""],
            &["0x1"],
            &["99999999999999999999"],
        ] {
            let pairs: Vec<_> = bad.iter().map(|value| ("content-length", *value)).collect();
            assert_eq!(content_length(&headers(&pairs)), Err(BadLength), "{bad:?}");
        }
    }

    #[test]
    fn list_members_are_found_in_any_case_and_place() {
        let map = headers(&[("te", "gzip;q=0.5, Trailers"), ("te", "deflate")]);
        assert!(
            lists(&map, &TE, "trailers") && lists(&map, &TE, "gzip") && lists(&map, &TE, "deflate")
        );
        assert!(!lists(&map, &TE, "trail"));
    }
}
