//! The server's side of the WebSocket handshake (RFC 6455, 4.2).

use exchange::hop;
use exchange::socket::derive_accept_key;
use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};

use crate::local::{LocalBody, full};

/// Whether a request asks for a WebSocket.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    hop::lists(headers, &UPGRADE, "websocket") && hop::lists(headers, &CONNECTION, "upgrade")
}

/// The accept key to the request's key, or how a request that breaks the rules is answered.
pub(super) fn check<B>(request: &Request<B>) -> Result<HeaderValue, Box<Response<LocalBody>>> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            "a WebSocket is asked for with GET",
        ));
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        let mut response = refusal(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version is 13");
        let spoken = HeaderValue::from_static("13");
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, spoken);
        return Err(response);
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_nonce(key) => {
            let accept = derive_accept_key(key.as_bytes());
            Ok(HeaderValue::try_from(accept).expect("base64 is a header value"))
        }
        _ => Err(refusal(
            StatusCode::BAD_REQUEST,
            "Sec-WebSocket-Key is 16 bytes in base64, once",
        )),
    }
}

fn is_nonce(key: &HeaderValue) -> bool {
    data_encoding::BASE64
        .decode(key.as_bytes())
        .is_ok_and(|nonce| nonce.len() == 16)
}

/// The response that turns the connection into a WebSocket.
pub(super) fn accepted(head: Response<()>, accept: HeaderValue) -> Response<LocalBody> {
    let mut response = head.map(|()| full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

fn refusal(status: StatusCode, why: &'static str) -> Box<Response<LocalBody>> {
    let mut response = Box::new(Response::new(full(why)));
    *response.status_mut() = status;
    response
}
