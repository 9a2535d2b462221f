//! One WebSocket: the handshake with the visitor, answered only after the target
//! has accepted, and the splice of his socket with the exchange.

use exchange::{
    Event, Receiver, Sender, hop,
    socket::{Socket, derive_accept_key, splice_until},
};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use hyper::{
    body::Incoming,
    ext::Protocol,
    upgrade::{OnUpgrade, on},
};
use hyper_util::rt::TokioIo;
use messages::{RequestHead, ResetCode, ResponseHead};
use tokio::time::timeout;

use crate::{
    body::Body,
    failure::Failure,
    headers,
    relay::{Opener, Relay},
    route::Offers,
};

/// True for a request that asks for a WebSocket: an Upgrade on HTTP/1.1 (RFC
/// 6455), an extended CONNECT on HTTP/2 (RFC 8441).
pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    if request.version() == Version::HTTP_2 {
        return is_extended_connect(request);
    }
    hop::lists(request.headers(), &UPGRADE, "websocket")
        && hop::lists(request.headers(), &CONNECTION, "upgrade")
}

/// CONNECT that names WebSocket as its protocol.
pub(crate) fn is_extended_connect<B>(request: &Request<B>) -> bool {
    *request.method() == Method::CONNECT
        && request
            .extensions()
            .get::<Protocol>()
            .is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// A WebSocket that a visitor asks for, by the rules of the opening handshake.
#[derive(Debug)]
pub(crate) struct Upgrade {
    on: OnUpgrade,
    /// What an HTTP/1.1 answer says to his key.
    accept: Option<HeaderValue>,
}

impl Upgrade {
    /// Checks the request and takes from it what is negotiated on each hop anew.
    /// The visitor's key goes along, so that the target proves itself to the one
    /// who asked.
    pub(crate) fn take(request: &mut Request<Incoming>) -> Result<Self, Failure> {
        let accept = check(request)?;
        for name in [
            SEC_WEBSOCKET_VERSION,
            SEC_WEBSOCKET_EXTENSIONS,
            CONTENT_LENGTH,
        ] {
            request.headers_mut().remove(name);
        }
        let on = on(request);
        Ok(Self { on, accept })
    }
}

/// Asks the target for the WebSocket, and answers the visitor as the target
/// answered: 101 (200 on HTTP/2) after it accepted, else its refusal.
pub(crate) async fn relay(
    relay: &Relay<'_>,
    head: RequestHead,
    upgrade: Upgrade,
    offers: &mut Offers,
) -> Result<Response<Body>, Failure> {
    let offered = head.headers.clone();
    let (sender, mut receiver) = relay.offer(offers, &head, &Opener::Socket).await?;
    let limit = relay.edge.config.head_timeout;
    let answer = timeout(limit, answer(&mut receiver)).await.map_err(|_| {
        receiver.abort(ResetCode::TimedOut, "no answer to the upgrade in time");
        Failure::TargetTimeout(limit)
    })?;
    match answer {
        Ok(Event::Upgraded(head)) => {
            let response = accepted(relay, *head, &offered, upgrade.accept)?;
            start(relay, upgrade.on, sender, receiver);
            Ok(response)
        }
        Ok(Event::Response(head)) => relay.respond(*head, receiver),
        Ok(_) => Err(Failure::BadResponse),
        Err(reset) => Err(Failure::from_reset(
            &reset,
            relay.edge.config.max_body,
            limit,
        )),
    }
}

/// The first word that is not an interim head.
async fn answer(receiver: &mut Receiver) -> Result<Event, messages::Reset> {
    loop {
        match receiver.recv().await? {
            Event::Response(head) if head.status.is_informational() => {}
            event => return Ok(event),
        }
    }
}

/// The rules of the opening handshake (RFC 6455, 4.2.1); what breaks them never
/// crosses the tunnel. Gives the accept key an HTTP/1.1 answer needs.
fn check<B>(request: &Request<B>) -> Result<Option<HeaderValue>, Failure> {
    let headers = request.headers();
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(Failure::WebSocketVersion);
    }
    if request.version() == Version::HTTP_2 {
        return Ok(None);
    }
    if *request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err(Failure::BadRequest(
            "a WebSocket is asked for with GET and HTTP/1.1",
        ));
    }
    if headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length != "0")
    {
        return Err(Failure::BadRequest(
            "a WebSocket's upgrade request has no body",
        ));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_nonce(key) => {
            Ok(HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok())
        }
        _ => Err(Failure::BadRequest(
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
fn accepted(
    relay: &Relay<'_>,
    head: ResponseHead,
    offered: &HeaderMap,
    accept: Option<HeaderValue>,
) -> Result<Response<Body>, Failure> {
    let mut fields = head.headers;
    check_protocol(&fields, offered)?;
    headers::strip(&mut fields);
    headers::keep_cookies_at_home(&mut fields, &relay.edge.config.domain);
    for name in [
        SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_EXTENSIONS,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
    ] {
        fields.remove(name);
    }
    let mut response = Response::new(Body::empty());
    if let Some(accept) = accept {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    *response.headers_mut() = fields;
    Ok(response)
}

/// A target chooses at most one of the subprotocols that were offered.
fn check_protocol(answer: &HeaderMap, offered: &HeaderMap) -> Result<(), Failure> {
    let mut chosen = answer.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    match (chosen.next(), chosen.next()) {
        (None, _) => Ok(()),
        (Some(chosen), None)
            if hop::tokens(offered, &SEC_WEBSOCKET_PROTOCOL)
                .any(|token| token.as_bytes() == chosen.as_bytes()) =>
        {
            Ok(())
        }
        _ => Err(Failure::BadResponse),
    }
}

/// Splices the socket in a task of its own once hyper lets go of it.
fn start(relay: &Relay<'_>, upgrade: OnUpgrade, sender: Sender, receiver: Receiver) {
    // The connection is in use for as long as the socket lives.
    let busy = relay.connection.state.begin();
    let max = relay.edge.config.max_body;
    let closing = relay.edge.closing.clone();
    let parting = relay.edge.parting.clone();
    relay.edge.tasks.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let socket = Socket::server(TokioIo::new(upgraded), max).await;
                let ended = splice_until(socket, sender, receiver, parting.cancelled_owned());
                tokio::select! {
                    ended = ended => tracing::debug!(?ended, "a WebSocket ended"),
                    () = closing.cancelled() => {}
                }
            }
            Err(error) => tracing::debug!(%error, "a visitor left during the upgrade"),
        }
        drop(busy);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder()
            .uri("/")
            .header("connection", "keep-alive, UPGRADE")
            .header("upgrade", "WebSocket");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn the_handshake_of_rfc_6455_is_accepted_and_its_key_derived() {
        let request = upgrade(&[
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]);
        assert!(is_upgrade(&request));
        assert_eq!(
            check(&request).unwrap().unwrap(),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn malformed_upgrades_never_cross_the_tunnel() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let version = ("sec-websocket-version", "13");
        assert_eq!(check(&upgrade(&[key])), Err(Failure::WebSocketVersion));
        assert_eq!(
            check(&upgrade(&[key, ("sec-websocket-version", "12")])),
            Err(Failure::WebSocketVersion)
        );
        for bad in [
            upgrade(&[version]),
            upgrade(&[version, key, key]),
            upgrade(&[version, ("sec-websocket-key", "c2hvcnQ=")]),
            upgrade(&[version, key, ("content-length", "3")]),
        ] {
            assert!(matches!(check(&bad), Err(Failure::BadRequest(_))));
        }
        let mut post = upgrade(&[version, key]);
        *post.method_mut() = Method::POST;
        assert!(matches!(check(&post), Err(Failure::BadRequest(_))));
    }

    #[test]
    fn a_target_chooses_only_what_was_offered() {
        let field = |value: &'static str| {
            HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value))])
        };
        assert!(check_protocol(&field("b"), &field("a, b")).is_ok());
        assert!(check_protocol(&HeaderMap::new(), &field("a, b")).is_ok());
        assert_eq!(
            check_protocol(&field("c"), &field("a, b")),
            Err(Failure::BadResponse)
        );
        assert_eq!(
            check_protocol(&field("a, b"), &field("a, b")),
            Err(Failure::BadResponse)
        );
    }
}
