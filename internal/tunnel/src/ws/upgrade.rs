//! The server's side of the opening handshake (RFC 6455 section 4.2), as one function from a request to a response.
//!
//! By hand rather than by the library, because hyper owns the connection and has parsed the request already; and
//! because a person who opens the address in a browser deserves a sentence.

use std::fmt;

use data_encoding::BASE64;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::SUBPROTOCOL;

/// The only version of the WebSocket protocol there is (RFC 6455 section 4.1, point 9).
const WEBSOCKET_VERSION: &str = "13";

/// Why a request cannot become a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeRefused {
    /// Any method but GET.
    #[error("agents connect here with GET")]
    Method,
    /// HTTP/1.0 cannot upgrade; HTTP/2 would by another way (RFC 8441), which is not offered.
    #[error("a WebSocket is opened over HTTP/1.1")]
    HttpVersion,
    /// No `Upgrade: websocket` or no `Connection: upgrade`: a browser or a health check, or a proxy that removed them.
    #[error(
        "this address is for agents, which connect with a WebSocket upgrade; if one did, a proxy in between removed it"
    )]
    NoUpgrade,
    /// `Sec-WebSocket-Version` other than 13.
    #[error("only WebSocket version 13 is spoken here")]
    WebSocketVersion,
    /// `Sec-WebSocket-Key` missing, repeated, or not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    /// `adit.v1` is not among the offered subprotocols.
    #[error(
        "the subprotocol {SUBPROTOCOL} must be offered; agent and server are of different versions"
    )]
    Subprotocol,
}

impl UpgradeRefused {
    /// The status to answer with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoUpgrade | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::HttpVersion | Self::Key | Self::Subprotocol => StatusCode::BAD_REQUEST,
        }
    }

    /// The whole answer: status, the headers that the status asks for, and the reason in a line of text.
    #[must_use]
    pub fn response(self) -> Response<String> {
        let mut response = Response::new(format!("{self}\n"));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if self == Self::Method {
            headers.insert(ALLOW, HeaderValue::from_static("GET"));
        }
        if self.status() == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110 section 15.5.22 asks for the first two, RFC 6455 section 4.4 for the third.
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(
                SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static(WEBSOCKET_VERSION),
            );
        }
        response
    }
}

/// Judges a request on [`CONNECT_PATH`](super::CONNECT_PATH) and gives the 101 to answer it with; the upgraded
/// connection then goes to [`server`](super::server). The path is the caller's to check.
///
/// # Errors
/// The first rule that is broken, with the response that says so.
pub fn upgrade_response<B>(request: &Request<B>) -> Result<Response<()>, UpgradeRefused> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(UpgradeRefused::Method);
    }
    if request.version() != Version::HTTP_11 {
        return Err(UpgradeRefused::HttpVersion);
    }
    if !has_token(headers, UPGRADE, Case::Ignored("websocket"))
        || !has_token(headers, CONNECTION, Case::Ignored("upgrade"))
    {
        return Err(UpgradeRefused::NoUpgrade);
    }
    if single(headers, SEC_WEBSOCKET_VERSION) != Some(WEBSOCKET_VERSION) {
        return Err(UpgradeRefused::WebSocketVersion);
    }
    let key = single(headers, SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key))
        .ok_or(UpgradeRefused::Key)?;
    if !has_token(headers, SEC_WEBSOCKET_PROTOCOL, Case::Exact(SUBPROTOCOL)) {
        return Err(UpgradeRefused::Subprotocol);
    }
    Ok(switching_protocols(key))
}

fn switching_protocols(key: &str) -> Response<()> {
    let accept =
        HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a header value");
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    // One token in this spelling: strict clients compare the whole value.
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    response
}

/// How a token is compared: options of HTTP without regard to case, subprotocols exactly.
#[derive(Clone, Copy)]
enum Case<'a> {
    Ignored(&'a str),
    Exact(&'a str),
}

fn has_token(headers: &HeaderMap, name: HeaderName, wanted: Case<'_>) -> bool {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|token| match wanted {
            Case::Ignored(text) => token.eq_ignore_ascii_case(text),
            Case::Exact(text) => token == text,
        })
}

/// The value of a header that must not be repeated.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim())
}

fn is_key(key: &str) -> bool {
    // 16 bytes make 24 characters; longer ones need not be decoded to be refused.
    key.len() == 24
        && BASE64
            .decode(key.as_bytes())
            .is_ok_and(|bytes| bytes.len() == 16)
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Ignored(text) | Self::Exact(text)) = self;
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 6455 section 1.3, offering this protocol.
    fn handshake() -> Request<()> {
        Request::get(super::super::CONNECT_PATH)
            .header("host", "server.example.com")
            .header("upgrade", "websocket")
            .header("connection", "keep-alive, Upgrade")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "chat, adit.v1")
            .header("sec-websocket-version", "13")
            .body(())
            .unwrap()
    }

    fn refused(change: impl FnOnce(&mut Request<()>)) -> UpgradeRefused {
        let mut request = handshake();
        change(&mut request);
        upgrade_response(&request).unwrap_err()
    }

    fn refused_with(name: &'static str, value: &'static str) -> UpgradeRefused {
        refused(|request| {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        })
    }

    #[test]
    fn the_sample_handshake_of_the_rfc_is_accepted() {
        let response = upgrade_response(&handshake()).unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(
            response.headers()["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(response.headers()["sec-websocket-protocol"], "adit.v1");
        assert_eq!(response.headers()["upgrade"], "websocket");
        assert_eq!(response.headers()["connection"], "Upgrade");
    }

    #[test]
    fn only_get_over_http_1_1_upgrades() {
        assert_eq!(
            refused(|request| *request.method_mut() = Method::POST),
            UpgradeRefused::Method
        );
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(
                refused(|request| *request.version_mut() = version),
                UpgradeRefused::HttpVersion
            );
        }
        let response = UpgradeRefused::Method.response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &HeaderValue::from_static("GET"))
        );
    }

    #[test]
    fn a_browser_is_told_what_the_address_is_for() {
        let plain = refused(|request| drop(request.headers_mut().remove("upgrade")));
        assert_eq!(plain, UpgradeRefused::NoUpgrade);
        assert_eq!(refused_with("upgrade", "h2c"), UpgradeRefused::NoUpgrade);
        assert_eq!(
            refused_with("connection", "keep-alive"),
            UpgradeRefused::NoUpgrade
        );
        assert_eq!(
            refused_with("connection", "not-upgrade"),
            UpgradeRefused::NoUpgrade
        );
        let response = plain.response();
        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()["upgrade"], "websocket");
        assert!(response.body().contains("for agents"));
    }

    #[test]
    fn another_websocket_version_is_told_the_right_one() {
        for version in ["8", "12", "13, 8", ""] {
            assert_eq!(
                refused_with("sec-websocket-version", version),
                UpgradeRefused::WebSocketVersion
            );
        }
        let response = UpgradeRefused::WebSocketVersion.response();
        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()["sec-websocket-version"], "13");
    }

    #[test]
    fn the_key_is_sixteen_bytes_of_base64_and_there_is_one() {
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZV==",
            "not base64 not base64 !!",
            "AAAA",
        ] {
            assert_eq!(
                refused_with("sec-websocket-key", key),
                UpgradeRefused::Key,
                "{key:?}"
            );
        }
        let twice = refused(|request| {
            let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
            request.headers_mut().append("sec-websocket-key", key);
        });
        assert_eq!(twice, UpgradeRefused::Key);
    }

    #[test]
    fn an_agent_of_another_protocol_version_is_refused() {
        for offered in ["chat", "adit.v2", "ADIT.V1", ""] {
            assert_eq!(
                refused_with("sec-websocket-protocol", offered),
                UpgradeRefused::Subprotocol,
                "{offered:?}"
            );
        }
        assert_eq!(UpgradeRefused::Subprotocol.status(), 400);
    }
}
