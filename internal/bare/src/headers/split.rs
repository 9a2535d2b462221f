//! `X-Bare-Headers` in pieces: web servers refuse long values, so from version 2 on a value has 3072 bytes at most, and
//! a longer one travels as `X-Bare-Headers-0`, `-1` and so on, each behind a semicolon that keeps blanks from getting lost.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::{HEADERS, latin1, text};
use crate::error::BareError;

/// Most bytes of one piece, without its semicolon.
pub(crate) const MAX_PIECE: usize = 3072;

/// Most bytes of all pieces together.
const MAX_JOINED: usize = 64 * 1024;

/// The whole value.
///
/// npm's clients mean to split and never do (they drop what they have split), so an operator can let a value be `long`.
///
/// # Errors
/// There is none; a piece breaks the rules; or a value is longer than the specification allows.
pub(crate) fn join(headers: &HeaderMap, long: bool) -> Result<String, BareError> {
    if !headers.contains_key(format!("{HEADERS}-0")) {
        let whole = text(headers, HEADERS).ok_or_else(|| BareError::missing(HEADERS))?;
        let most = if long { MAX_JOINED } else { MAX_PIECE };
        if whole.len() > most {
            return Err(BareError::invalid(HEADERS, TOO_LONG));
        }
        return Ok(whole);
    }
    let mut pieces = BTreeMap::new();
    for (name, value) in headers {
        let Some(number) = name.as_str().strip_prefix(HEADERS) else {
            continue;
        };
        let value = value.as_bytes().strip_prefix(b";").ok_or_else(|| {
            BareError::invalid(name.as_str(), "Value didn't begin with semi-colon.")
        })?;
        if value.len() > MAX_PIECE {
            return Err(BareError::invalid(name.as_str(), TOO_LONG));
        }
        let number = number
            .strip_prefix('-')
            .and_then(|id| id.parse::<u16>().ok());
        let known = number.map(|number| pieces.insert(number, latin1(value)));
        if known != Some(None) {
            return Err(BareError::invalid(
                name.as_str(),
                "No number of a piece, or one twice.",
            ));
        }
    }
    let joined: String = pieces.into_values().collect();
    if joined.len() > MAX_JOINED {
        return Err(BareError::invalid(HEADERS, TOO_LONG));
    }
    Ok(joined)
}

const TOO_LONG: &str = "The value is longer than the specification allows.";

/// Writes the value, which is ASCII, in pieces where it must be.
pub(crate) fn write(json: &str, headers: &mut HeaderMap) {
    if json.len() <= MAX_PIECE {
        headers.insert(HEADERS, value(json.as_bytes().to_vec()));
        return;
    }
    for (number, piece) in json.as_bytes().chunks(MAX_PIECE).enumerate() {
        let name = format!("{HEADERS}-{number}");
        let name = HeaderName::try_from(name).expect("a number ends a name");
        headers.insert(name, value([b";", piece].concat()));
    }
}

pub(crate) fn value(ascii: Vec<u8>) -> HeaderValue {
    HeaderValue::try_from(ascii).expect("JSON in ASCII is a value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    }

    fn id(pairs: &[(&'static str, &str)]) -> String {
        let error = join(&headers(pairs), false).unwrap_err();
        format!("{} {}", error.code.as_str(), error.id)
    }

    #[test]
    fn pieces_are_joined_by_their_numbers_and_keep_their_blanks() {
        let pairs = [
            ("x-bare-headers-10", ";z"),
            ("x-bare-headers-2", "; b "),
            ("x-bare-headers-0", ";a"),
        ];
        // The server's own HTTP takes trailing blanks away; those in front are kept.
        assert_eq!(join(&headers(&pairs), false).unwrap(), "a b z");
        assert_eq!(
            join(&headers(&[("x-bare-headers", "{}")]), false).unwrap(),
            "{}"
        );
    }

    #[test]
    fn pieces_that_break_the_rules_are_told_by_their_own_name() {
        let long = "x".repeat(MAX_PIECE + 1);
        let piece = format!(";{long}");
        for (pairs, wanted) in [
            (
                &[][..],
                "MISSING_BARE_HEADER request.headers.x-bare-headers",
            ),
            (
                &[("x-bare-headers-1", ";{}")],
                "MISSING_BARE_HEADER request.headers.x-bare-headers",
            ),
            (
                &[("x-bare-headers-0", "{}")],
                "INVALID_BARE_HEADER request.headers.x-bare-headers-0",
            ),
            (
                &[("x-bare-headers-0", ";{"), ("x-bare-headers-1", "}")],
                "INVALID_BARE_HEADER request.headers.x-bare-headers-1",
            ),
            (
                &[("x-bare-headers-0", ";{}"), ("x-bare-headers-a", ";")],
                "INVALID_BARE_HEADER request.headers.x-bare-headers-a",
            ),
            (
                &[("x-bare-headers-0", &piece)],
                "INVALID_BARE_HEADER request.headers.x-bare-headers-0",
            ),
            (
                &[("x-bare-headers", &long)],
                "INVALID_BARE_HEADER request.headers.x-bare-headers",
            ),
        ] {
            assert_eq!(id(pairs), wanted);
        }
    }

    #[test]
    fn what_is_written_in_pieces_is_read_as_it_was() {
        for len in [0, 1, MAX_PIECE, MAX_PIECE + 1, 3 * MAX_PIECE + 7] {
            let json = "j".repeat(len);
            let mut map = HeaderMap::new();
            write(&json, &mut map);
            assert_eq!(map.contains_key(HEADERS), len <= MAX_PIECE);
            assert_eq!(join(&map, false).unwrap(), json);
        }
    }
}
