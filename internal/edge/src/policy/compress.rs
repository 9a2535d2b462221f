//! Responses that a visitor takes compressed are compressed (`compress`).
//!
//! The coding itself, and which one a visitor prefers, are tower-http's; what may
//! be coded at all is decided here. Coded bytes go out whenever the service
//! pauses, so a slow response is not held back.

use std::{convert::Infallible, future::ready, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, ETAG,
    },
};
use http_body_util::BodyExt;
use messages::Policy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::compression::CompressionLayer;

use super::layer::{Answer, Next, Rule};
use crate::{body::Body, request::Call};

/// Below this a response fits into one packet as it is.
const WORTH_IT: u64 = 1024;

/// Types beside `text/*` and those with a structured suffix (RFC 6839) that get
/// smaller.
const COMPRESSIBLE: [&str; 10] = [
    "application/graphql-response",
    "application/javascript",
    "application/json",
    "application/manifest",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xml",
    "font/ttf",
    "image/bmp",
];

/// Digests of the very bytes that are sent: another coding makes them wrong
/// (RFC 9530, 2; RFC 1864).
const DIGESTS: [HeaderName; 2] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
];

/// Responses of a node that are being compressed at one time; those beyond go out
/// as they are. Each takes memory for as long as its visitor reads, 1.7 MiB with
/// brotli: visitors who read slowly must not make that any sum they like.
const MAX_CODERS: usize = 64;

/// The rule.
#[derive(Debug)]
pub(super) struct Compress {
    coders: Coders,
}

/// Who compresses, for all tunnels.
#[derive(Debug, Clone)]
pub(super) struct Coders(Arc<Semaphore>);

impl Coders {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CODERS)))
    }

    fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}

impl Compress {
    pub(super) fn of(policy: &Policy, coders: &Coders) -> Option<Self> {
        policy.compress.then(|| Self {
            coders: coders.clone(),
        })
    }
}

impl Rule for Compress {
    async fn apply<S: Next>(&self, call: Call, next: S) -> Answer {
        // HTTP/1.0 ends what has no length with the connection, which then could
        // not be told from a cut.
        let may = *call.method() != Method::HEAD
            && call.body().socket.is_none()
            && call.version() > Version::HTTP_10;
        let wanted = call.headers().get_all(ACCEPT_ENCODING).iter().cloned();
        let wanted: Vec<HeaderValue> = wanted.collect();
        let response = next.oneshot(call).await?;
        if !may || !may_change(response.status(), response.headers()) {
            return Ok(response);
        }
        let Some(coder) = self.coders.take() else {
            return Ok(response);
        };
        let coded = compress(response, wanted).await;
        if !coded.headers().contains_key(CONTENT_ENCODING) {
            return Ok(coded);
        }
        // Free again when the last of it is written, or the visitor has left.
        Ok(coded.map(|body| {
            Body::boxed(body.map_frame(move |frame| {
                let _still_at_work = &coder;
                frame
            }))
        }))
    }
}

/// Lets the library code a response as the visitor's `Accept-Encoding` wants it.
async fn compress(response: Response<Body>, wanted: Vec<HeaderValue>) -> Response<Body> {
    let mut request = Request::new(());
    for value in wanted {
        request.headers_mut().append(ACCEPT_ENCODING, value);
    }
    let status = response.status();
    let etag = response.headers().get(ETAG).cloned();
    let mut response = Some(response);
    let give = service_fn(move |_: Request<()>| {
        // Asked once.
        ready(Ok::<_, Infallible>(
            response
                .take()
                .unwrap_or_else(|| Response::new(Body::empty())),
        ))
    });
    // What may be compressed has been decided.
    let any = |_: StatusCode, _: Version, _: &HeaderMap, _: &http::Extensions| true;
    let coding = CompressionLayer::new().compress_when(any).layer(give);
    let Ok(coded) = coding.oneshot(request).await;
    let mut coded = coded.map(Body::boxed);
    // A visitor who takes no coding whatever gets the response as it is: 406 would
    // be an answer of our own that helps nobody (RFC 9110, 12.5.3).
    *coded.status_mut() = status;
    if coded.headers().contains_key(CONTENT_ENCODING)
        && let Some(weak) = etag.as_ref().and_then(weaken)
    {
        coded.headers_mut().insert(ETAG, weak);
    }
    coded
}

/// A strong validator names the very bytes (RFC 9110, 8.8.1); these are others.
fn weaken(etag: &HeaderValue) -> Option<HeaderValue> {
    let text = etag.as_bytes();
    if text.starts_with(b"W/") {
        return None;
    }
    HeaderValue::from_bytes(&[b"W/", text].concat()).ok()
}

/// True for a response whose bytes may be other ones, and are worth it.
fn may_change(status: StatusCode, headers: &HeaderMap) -> bool {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let bodiless = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::PARTIAL_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    !bodiless.contains(&status)
        && length.is_none_or(|length| length >= WORTH_IT)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !DIGESTS.iter().any(|name| headers.contains_key(name))
        && !exchange::hop::lists(headers, &CACHE_CONTROL, "no-transform")
        && is_compressible(headers)
}

fn is_compressible(headers: &HeaderMap) -> bool {
    let Some(kind) = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
    else {
        return false;
    };
    let kind = kind
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    let text = kind.starts_with("text/") && kind != "text/event-stream";
    let suffixed = kind.ends_with("+json") || kind.ends_with("+xml");
    text || suffixed || COMPRESSIBLE.contains(&kind.as_str())
}

#[cfg(test)]
mod tests;
