//! What belongs to one hop ends at it (RFC 9110 section 7.6.1), on the way to the target and back.
//!
//! The edge has done the same already. It is done again because this end speaks HTTP/1.1, where a header decides how
//! many bytes a message has.

pub(super) use exchange::hop::strip;
use exchange::hop::tokens;
use http::Request;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING};

use crate::{RequestBody, TargetError};

/// Makes a visitor's headers those of a request over HTTP/1.1.
pub(super) fn prepare_http1(request: &mut Request<RequestBody>) {
    let has_body = !request.body().is_empty();
    let headers = request.headers_mut();
    if strip_request(headers) {
        // TE is of this hop, so Connection must say so (RFC 9110 section 10.1.4).
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if has_body && !headers.contains_key(CONTENT_LENGTH) {
        // Said aloud: the library sends a body of unknown length with POST, but with GET it would leave it out.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Makes a visitor's headers those of a request over HTTP/2, which has no headers of a hop but `TE: trailers`
/// (RFC 9113 section 8.2.2) and frames bodies by itself.
pub(super) fn prepare_h2c(headers: &mut HeaderMap) {
    strip_request(headers);
}

/// Removes the headers of the hop behind, but says a wish for trailers anew; whether there is one.
fn strip_request(headers: &mut HeaderMap) -> bool {
    let wants_trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    strip(headers);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    wants_trailers
}

/// Makes a target's headers those of a response, whose body has `exact` bytes where that is known.
///
/// # Errors
/// The body is encoded in a way that nobody asked for: passed on without the header it would be garbage.
pub(super) fn clean_response(
    headers: &mut HeaderMap,
    exact: Option<u64>,
) -> Result<(), TargetError> {
    if headers.contains_key(TRANSFER_ENCODING) {
        let only_chunked =
            tokens(headers, &TRANSFER_ENCODING).all(|token| token.eq_ignore_ascii_case("chunked"));
        if !only_chunked {
            let why = "the target uses a transfer coding that was not asked for".to_owned();
            return Err(TargetError::BadResponse(why));
        }
        // Both at once is one too many, and the chunks are what was read (RFC 9112 section 6.3).
        headers.remove(CONTENT_LENGTH);
    }
    one_length(headers, exact);
    strip(headers);
    Ok(())
}

/// The library has refused lengths that differ; equal ones become one.
fn one_length(headers: &mut HeaderMap, exact: Option<u64>) {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return;
    };
    if lengths.next().is_none() && !first.as_bytes().contains(&b',') {
        return;
    }
    let first = first.clone();
    let one = match exact.filter(|exact| *exact > 0) {
        Some(exact) => HeaderValue::from(exact),
        // No body follows (HEAD, 304): the length is only told.
        None => {
            let text = first.to_str().unwrap_or_default();
            let number = text.split(',').next().unwrap_or_default().trim();
            HeaderValue::from_str(number).unwrap_or(first)
        }
    };
    headers.insert(CONTENT_LENGTH, one);
}

#[cfg(test)]
mod tests {
    use http::header::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect::<Vec<_>>()
            .into_iter()
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_wish_for_trailers_is_said_anew_on_this_hop() {
        let mut request = Request::new(RequestBody::empty());
        *request.headers_mut() = headers(&[("te", "gzip, trailers")]);
        prepare_http1(&mut request);
        let map = request.headers();
        assert_eq!(
            (&map[TE], &map[CONNECTION]),
            (&"trailers".parse().unwrap(), &"te".parse().unwrap())
        );
        let mut map = headers(&[("te", "trailers"), ("connection", "te")]);
        prepare_h2c(&mut map);
        assert_eq!(names(&map), ["te"]);
    }

    #[test]
    fn chunks_win_over_a_length_and_other_codings_are_refused() {
        let mut both = headers(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
        clean_response(&mut both, None).unwrap();
        assert!(both.is_empty());
        for coding in ["gzip, chunked", "gzip"] {
            let mut map = headers(&[("transfer-encoding", coding)]);
            assert!(clean_response(&mut map, None).is_err(), "{coding}");
        }
    }

    #[test]
    fn lengths_that_say_the_same_become_one() {
        for (pairs, exact) in [
            (
                &[("content-length", "5"), ("content-length", "5")][..],
                Some(5),
            ),
            (&[("content-length", "5, 5")][..], Some(5)),
            (&[("content-length", "5, 5")][..], None),
            (&[("content-length", "5")][..], Some(0)),
        ] {
            let mut map = headers(pairs);
            clean_response(&mut map, exact).unwrap();
            let lengths: Vec<_> = map.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(lengths, ["5"], "{pairs:?}");
        }
    }
}
