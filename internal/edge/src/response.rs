//! An agent's response as a visitor may see it. What an agent sends is as
//! hostile as what a visitor sends.

use exchange::hop;
use http::{
    HeaderMap, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
};
use messages::ResponseHead;

use crate::{config::Config, failure::Failure, headers};

/// A checked head and what its body must keep to.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) response: Response<()>,
    pub(crate) has_body: bool,
    pub(crate) length: Option<u64>,
    /// `None` for an event stream, or when the operator lifted the limit.
    pub(crate) max: Option<u64>,
}

/// Checks and cleans a final response head.
pub(crate) fn check(
    head: ResponseHead,
    method: &Method,
    config: &Config,
) -> Result<Checked, Failure> {
    let ResponseHead {
        status,
        mut headers,
    } = head;
    // RFC 9110, 15: three digits, of which the first is 1 to 5.
    if !(200..600).contains(&status.as_u16()) || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Failure::BadResponse);
    }
    let has_body = *method != Method::HEAD
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED;
    let announced = hop::content_length(&headers).map_err(|_| Failure::BadResponse)?;
    let max = if is_event_stream(&headers) {
        None
    } else {
        config.max_body
    };
    if let (true, Some(length), Some(max)) = (has_body, announced, max)
        && length > max
    {
        return Err(Failure::ResponseTooLarge(Some(max)));
    }
    headers::strip(&mut headers);
    headers::keep_cookies_at_home(&mut headers, &config.domain);
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(Checked {
        response,
        has_body,
        length: announced.filter(|_| has_body),
        max,
    })
}

/// An event stream has no end, hence no size limit.
fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .split(';')
                .next()
                .unwrap_or("")
                .trim()
                .eq_ignore_ascii_case("text/event-stream")
        })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn head(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        ResponseHead {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
        }
    }

    fn checked(head: ResponseHead) -> Result<Checked, Failure> {
        check(head, &Method::GET, &Config::default())
    }

    #[test]
    fn framing_of_the_agents_own_is_refused() {
        for bad in [
            head(200, &[("transfer-encoding", "chunked")]),
            head(200, &[("content-length", "3"), ("content-length", "4")]),
            head(200, &[("content-length", "3"), ("content-length", "3")]),
            head(200, &[("content-length", "+3")]),
            head(200, &[("content-length", "")]),
            head(200, &[("content-length", "99999999999999999999999")]),
            head(101, &[("upgrade", "websocket")]),
            head(600, &[]),
            head(799, &[("content-length", "2")]),
        ] {
            assert_eq!(checked(bad).unwrap_err(), Failure::BadResponse);
        }
    }

    #[test]
    fn an_oversize_response_is_refused_where_its_length_tells() {
        assert_eq!(
            checked(head(200, &[("content-length", "512001")])).unwrap_err(),
            Failure::ResponseTooLarge(Some(512_000))
        );
        assert_eq!(
            checked(head(200, &[("content-length", "512000")]))
                .unwrap()
                .length,
            Some(512_000)
        );
    }

    #[test]
    fn event_streams_have_no_size_limit_and_statuses_without_body_no_length_rule() {
        assert_eq!(
            checked(head(
                200,
                &[("content-type", "text/event-stream; charset=utf-8")]
            ))
            .unwrap()
            .max,
            None
        );
        let not_modified = checked(head(304, &[("content-length", "600000")])).unwrap();
        assert!(!not_modified.has_body && not_modified.length.is_none());
        assert!(
            !checked(head(204, &[("content-length", "0")]))
                .unwrap()
                .response
                .headers()
                .contains_key(CONTENT_LENGTH)
        );
    }
}
