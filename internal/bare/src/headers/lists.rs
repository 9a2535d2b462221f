//! The lists beside `X-Bare-Headers`: which of the client's headers go to the remote, which of the remote's come back, and
//! which statuses do.
//!
//! Where the specification's pages contradict each other about forbidden names (one ignores them, the page of errors has a
//! code for them), the code is what is answered: a client hears of its mistake.

use http::header::{HeaderMap, HeaderName};
use http::{StatusCode, Uri};

use super::{FORWARD_HEADERS, PASS_HEADERS, PASS_STATUS, text};
use crate::error::BareError;

/// What may not be forwarded by a list, from version 2 on.
const FORBIDDEN_FORWARD: [&str; 5] = [
    "connection",
    "transfer-encoding",
    "host",
    "origin",
    "referer",
];

/// What may not be passed back, from version 2 on.
const FORBIDDEN_PASS: [&str; 9] = [
    "vary",
    "connection",
    "transfer-encoding",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-request-headers",
    "access-control-request-method",
];

/// What is always forwarded, from version 2 on.
const FORWARD: [&str; 2] = ["accept-encoding", "accept-language"];
/// … with a cache key in the query.
const FORWARD_CACHED: [&str; 3] = ["if-modified-since", "if-none-match", "cache-control"];
/// … with a WebSocket, in version 2.
pub(crate) const FORWARD_SOCKET: [&str; 3] = [
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
];
/// What is always passed back, from version 2 on.
const PASS: [&str; 3] = ["content-encoding", "content-length", "last-modified"];
/// … with a cache key in the query.
const PASS_CACHED: [&str; 2] = ["cache-control", "etag"];

/// The lists of one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Lists {
    pub(crate) forward: Vec<HeaderName>,
    pub(crate) pass: Vec<HeaderName>,
    pub(crate) status: Vec<StatusCode>,
}

impl Lists {
    /// Reads the lists of versions 2 and 3 (RFC 8941, 3.1) above their base values.
    ///
    /// # Errors
    /// A name that is none or forbidden, a status that is none.
    pub(crate) fn read(headers: &HeaderMap, uri: &Uri) -> Result<Self, BareError> {
        let mut lists = Self::base(has_cache_key(uri));
        for name in members(headers, PASS_HEADERS) {
            lists.pass.push(passable(&name)?);
        }
        for name in members(headers, FORWARD_HEADERS) {
            if FORBIDDEN_FORWARD.contains(&&*name) {
                let why = "A forbidden header was forwarded.";
                return Err(BareError::forbidden(FORWARD_HEADERS, why));
            }
            lists.forward.push(header_name(FORWARD_HEADERS, &name)?);
        }
        for member in members(headers, PASS_STATUS) {
            lists.status.push(status(&member)?);
        }
        Ok(lists)
    }

    /// The base values, to which a request's own add.
    fn base(cached: bool) -> Self {
        let mut lists = Self {
            forward: names(&FORWARD),
            pass: names(&PASS),
            status: Vec::new(),
        };
        if cached {
            lists.forward.extend(names(&FORWARD_CACHED));
            lists.pass.extend(names(&PASS_CACHED));
            lists.status.push(StatusCode::NOT_MODIFIED);
        }
        lists
    }
}

/// Well-known names.
pub(crate) fn names(names: &[&'static str]) -> Vec<HeaderName> {
    names
        .iter()
        .map(|name| HeaderName::from_static(name))
        .collect()
}

/// A name that is to come back.
pub(crate) fn passable(name: &str) -> Result<HeaderName, BareError> {
    let why = "A forbidden header was passed.";
    if name.eq_ignore_ascii_case("host") {
        // The page of errors has a status of its own for this one.
        let forbidden = BareError::forbidden(PASS_HEADERS, why);
        return Err(BareError {
            status: StatusCode::UNAUTHORIZED,
            ..forbidden
        });
    }
    if FORBIDDEN_PASS
        .iter()
        .any(|forbidden| forbidden.eq_ignore_ascii_case(name))
    {
        return Err(BareError::forbidden(PASS_HEADERS, why));
    }
    header_name(PASS_HEADERS, name)
}

/// Any name, in a list of this header.
pub(crate) fn header_name(list: &str, name: &str) -> Result<HeaderName, BareError> {
    name.parse()
        .map_err(|_| BareError::invalid(list, "The list contains what is no name of a header."))
}

/// A status that is to come back as it is.
pub(crate) fn status(text: &str) -> Result<StatusCode, BareError> {
    let status = text.parse().ok().and_then(|number: u16| {
        let final_status = (200..=599).contains(&number);
        StatusCode::from_u16(number).ok().filter(|_| final_status)
    });
    status.ok_or_else(|| {
        BareError::invalid(
            PASS_STATUS,
            "The list contains what is no status of a response.",
        )
    })
}

/// The members of a list, in lower case; members may be quoted.
fn members(headers: &HeaderMap, name: &str) -> Vec<String> {
    let list = text(headers, name).unwrap_or_default();
    let members = list
        .split(',')
        .map(|member| member.trim().trim_matches('"').to_ascii_lowercase());
    members.filter(|member| !member.is_empty()).collect()
}

/// Whether the query has a key `cache`, whatever its value.
fn has_cache_key(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "cache")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &str)], uri: &str) -> Result<Lists, (u16, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        Lists::read(&headers, &uri.parse().unwrap())
            .map_err(|error| (error.status.as_u16(), error.id))
    }

    #[test]
    fn the_base_values_are_those_of_the_specification_and_a_cache_key_adds_to_them() {
        let plain = read(&[], "/v3/").unwrap();
        assert_eq!(plain.forward, names(&FORWARD));
        assert_eq!(plain.pass, names(&PASS));
        assert!(plain.status.is_empty());
        for uri in ["/v3/?cache=abc", "/v3/?a=b&cache"] {
            let cached = read(&[], uri).unwrap();
            assert!(cached.forward.contains(&"if-none-match".parse().unwrap()));
            assert!(cached.pass.contains(&"etag".parse().unwrap()));
            assert_eq!(cached.status, [304]);
        }
        assert!(read(&[], "/v3/?nocache=1").unwrap().status.is_empty());
    }

    #[test]
    fn a_requests_lists_add_to_the_base_values_over_several_lines_in_any_case() {
        let lists = read(
            &[
                ("x-bare-forward-headers", "X-One,  \"x-two\""),
                ("x-bare-forward-headers", "x-three"),
                ("x-bare-pass-status", "204, 404"),
            ],
            "/v2/",
        )
        .unwrap();
        let added = names(&["x-one", "x-two", "x-three"]);
        assert_eq!(lists.forward[2..], added);
        assert_eq!(lists.status, [204, 404]);
    }

    #[test]
    fn forbidden_names_and_what_is_none_are_told_by_their_own_list() {
        for (name, value, status) in [
            ("x-bare-forward-headers", "Connection", 403),
            ("x-bare-forward-headers", "host", 403),
            ("x-bare-forward-headers", "a, Origin", 403),
            ("x-bare-forward-headers", "a b", 400),
            ("x-bare-pass-headers", "Vary", 403),
            ("x-bare-pass-headers", "access-control-max-age", 403),
            ("x-bare-pass-headers", "host", 401),
            ("x-bare-pass-headers", "a b", 400),
            ("x-bare-pass-status", "304, x", 400),
            ("x-bare-pass-status", "101", 400),
            ("x-bare-pass-status", "3040", 400),
        ] {
            let told = read(&[(name, value)], "/v2/").unwrap_err();
            assert_eq!(told, (status, format!("request.headers.{name}")), "{value}");
        }
    }
}
