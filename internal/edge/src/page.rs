//! Failures as people and programs read them: an HTML page for browsers,
//! problem+json (RFC 9457) for everyone else.

use bytes::Bytes;
use exchange::hop;
use http::{
    HeaderMap, HeaderValue, Request, Response, Version,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER,
        SEC_WEBSOCKET_VERSION, WWW_AUTHENTICATE,
    },
};
use messages::RequestId;

use crate::{
    body::Body,
    failure::{Answer, Failure},
};

/// What a page must know of the request it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) id: RequestId,
    pub(crate) html: bool,
    pub(crate) version: Version,
}

impl Asked {
    pub(crate) fn of<B>(request: &Request<B>, id: RequestId) -> Self {
        Self {
            id,
            html: accepts_html(request.headers()),
            version: request.version(),
        }
    }
}

/// The response for a failure.
pub(crate) fn render(failure: &Failure, asked: Asked) -> Response<Body> {
    let answer = failure.answer();
    let (kind, text) = if asked.html {
        ("text/html; charset=utf-8", html(&answer, asked.id))
    } else {
        ("application/problem+json", problem(&answer, asked.id))
    };
    let mut response = Response::new(Body::full(Bytes::from(text)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("adit-error", HeaderValue::from_static(answer.code));
    headers.insert("adit-request-id", id_value(asked.id));
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    explain(failure, headers);
    // After a failure in mid-body the rest of it is not read: the connection ends.
    if failure.leaves_body_unread() && asked.version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The fields that some statuses must have (RFC 9110, 15).
fn explain(failure: &Failure, headers: &mut HeaderMap) {
    match failure {
        Failure::WebSocketVersion => {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        Failure::MethodNotAllowed => {
            let methods = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        Failure::PasswordRequired => {
            let challenge = "Basic realm=\"adit\", charset=\"UTF-8\"";
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        // No registered scheme: it says what is missing to whoever reads it.
        Failure::WebhookUnverified(_) => {
            let challenge = "Webhook realm=\"adit\"";
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        Failure::OverRate(excess) => excess.explain(headers),
        Failure::HttpsOnly { location, .. } => {
            headers.insert(LOCATION, location.clone());
        }
        _ => {}
    }
}

/// The request id as a header value.
pub(crate) fn id_value(id: RequestId) -> HeaderValue {
    HeaderValue::try_from(id.to_string()).expect("hex digits are a header value")
}

/// True when the client lists HTML, as browsers do; `*/*` alone is a program.
fn accepts_html(headers: &HeaderMap) -> bool {
    hop::tokens(headers, &ACCEPT).any(|range| {
        let kind = range.split(';').next().unwrap_or("").trim();
        kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
    })
}

fn problem(answer: &Answer, id: RequestId) -> String {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": answer.title,
        "status": answer.status.as_u16(),
        "detail": answer.detail,
        "code": answer.code,
        "hop": answer.hop.as_str(),
        "request_id": id.to_string(),
    });
    format!("{body}\n")
}

/// A page without scripts or outside resources. Everything in it is ours: no
/// byte of the request is repeated.
fn html(answer: &Answer, id: RequestId) -> String {
    let way = ["request", "server", "tunnel", "service"]
        .map(|hop| {
            let class = if hop == answer.hop.as_str() {
                " class=\"broken\""
            } else {
                ""
            };
            format!("<li{class}>{hop}</li>")
        })
        .join("");
    format!(
        include_str!("page.html"),
        status = answer.status.as_u16(),
        title = answer.title,
        detail = answer.detail,
        code = answer.code,
        way = way,
        id = id,
    )
}
