//! The remote's response as the client gets it.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::Body as _;

use crate::body::{Body, empty};
use crate::error::{BareError, Code};
use crate::headers::fields::to_json;
use crate::headers::lists::Lists;
use crate::headers::split::{self, value};
use crate::headers::{HEADERS, STATUS, STATUS_TEXT};
use crate::remote::{Answer, Heard, is_of_the_hop};

/// Most bytes of a response's head: what a tunnel carries in one frame, less what is added on the way.
const MAX_HEAD: usize = 60 * 1024;

/// Whether `X-Bare-Headers` may be split: from version 2 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Splitting {
    Never,
    WhereLong,
}

/// # Errors
/// The remote's head is too large to be told.
pub(crate) fn respond(
    method: &Method,
    answer: Answer,
    lists: &Lists,
    splitting: Splitting,
) -> Result<Response<Body>, BareError> {
    let passed = lists
        .status
        .iter()
        .find(|status| **status == answer.heard.status);
    let status = passed.copied().unwrap_or(StatusCode::OK);
    let mut headers = HeaderMap::new();
    for name in &lists.pass {
        if !is_of_the_hop(name) && !headers.contains_key(name) {
            for value in answer.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
    }
    // What is in the visitor's own cache says all that there is to say.
    if status != StatusCode::NOT_MODIFIED {
        describe(&answer.heard, splitting, &mut headers);
    }
    if size(&headers) > MAX_HEAD {
        let why = "The remote's headers are too large.";
        return Err(BareError::internal(Code::Unknown, "response.headers", why));
    }
    let body = if has_no_body(status) {
        empty()
    } else {
        answer.body
    };
    if body.is_end_stream() && method != Method::HEAD {
        // It may tell of a body that another request would have got.
        headers.remove(CONTENT_LENGTH);
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Says what the remote said in the specification's headers.
pub(crate) fn describe(heard: &Heard, splitting: Splitting, headers: &mut HeaderMap) {
    let json = to_json(&heard.fields);
    match splitting {
        Splitting::Never => drop(headers.insert(HEADERS, value(json.into_bytes()))),
        Splitting::WhereLong => split::write(&json, headers),
    }
    headers.insert(STATUS, HeaderValue::from(heard.status));
    let reason = HeaderValue::from_str(&heard.reason);
    let reason = reason.unwrap_or_else(|_| HeaderValue::from_static(""));
    headers.insert(STATUS_TEXT, reason);
}

fn has_no_body(status: StatusCode) -> bool {
    [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::NOT_MODIFIED,
    ]
    .contains(&status)
}

fn size(headers: &HeaderMap) -> usize {
    let size = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    size.sum()
}
