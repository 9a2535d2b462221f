//! The WebSocket handshake with a local service (RFC 6455, 4.1), on a connection of its own.

use std::pin::{Pin, pin};
use std::task::{Context as Poller, Poll};

use bytes::Bytes;
use exchange::socket::{derive_accept_key, generate_key};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;
use messages::{RequestHead, ResponseHead};

use super::dial::Dial;
use super::headers;
use crate::{BoxError, SocketAnswer, TargetBody, TargetError};

/// The driver of a connection, polled beside what it carries.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// What the service said.
enum Said {
    Yes(ResponseHead, OnUpgrade),
    No(Response<Incoming>),
}

/// Asks for a WebSocket. Dropping the future closes the connection.
pub(super) async fn open(
    dial: Dial,
    host: Option<HeaderValue>,
    head: RequestHead,
) -> Result<SocketAnswer, TargetError> {
    let io = dial.connect(head.visitor.addr).await?;
    let (mut client, connection) = http1::handshake(io).await.map_err(|error| broken(&error))?;
    let mut driver: Driver = Box::pin(connection.with_upgrades());
    let key = key(&head.headers);
    let asking = async {
        let mut response = client
            .send_request(request(head, host, &key))
            .await
            .map_err(|error| broken(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Said::No(response));
        }
        check(response.headers(), &key)?;
        let upgrade = on(&mut response);
        Ok(Said::Yes(accepted(&response), upgrade))
    };
    // The connection's driver may end first: an upgrade is its end. The answer is there then.
    let mut asking = pin!(asking);
    let said = tokio::select! {
        biased;
        said = &mut asking => said?,
        _ = &mut driver => return taken(asking.await?, None).await,
    };
    taken(said, Some(driver)).await
}

async fn taken(said: Said, driver: Option<Driver>) -> Result<SocketAnswer, TargetError> {
    match said {
        Said::Yes(head, upgrade) => {
            let driving = async {
                if let Some(driver) = driver {
                    // How it ended shows in the upgrade.
                    drop(driver.await);
                }
            };
            let (upgraded, ()) = tokio::join!(upgrade, driving);
            let socket = Box::pin(TokioIo::new(upgraded.map_err(|error| broken(&error))?));
            Ok(SocketAnswer::Accepted { head, socket })
        }
        Said::No(response) => Ok(SocketAnswer::Refused(refusal(response, driver))),
    }
}

fn request(head: RequestHead, host: Option<HeaderValue>, key: &str) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::from(head.target);
    let host = host.unwrap_or_else(|| {
        HeaderValue::try_from(head.authority).expect("an authority has only visible characters")
    });
    let mut fields = head.headers;
    headers::strip(&mut fields);
    fields.insert(HOST, host);
    fields.remove(SEC_WEBSOCKET_EXTENSIONS);
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    fields.insert(
        SEC_WEBSOCKET_KEY,
        HeaderValue::from_str(key).expect("base64 is a header value"),
    );
    *request.headers_mut() = fields;
    request
}

/// The visitor's own key, which the edge has checked; a fresh one where he had none (RFC 8441).
fn key(fields: &HeaderMap) -> String {
    let visitors = fields
        .get(SEC_WEBSOCKET_KEY)
        .and_then(|key| key.to_str().ok());
    visitors.map_or_else(generate_key, str::to_owned)
}

/// The accept key proves that the service understood; it cannot choose extensions, as none were offered.
fn check(fields: &HeaderMap, key: &str) -> Result<(), TargetError> {
    let accept = fields.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(TargetError::BadResponse(
            "the target's Sec-WebSocket-Accept is wrong".to_owned(),
        ));
    }
    if fields.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        let why = "the target chose a WebSocket extension that was not offered".to_owned();
        return Err(TargetError::BadResponse(why));
    }
    Ok(())
}

fn accepted(response: &Response<Incoming>) -> ResponseHead {
    let mut fields = response.headers().clone();
    headers::strip(&mut fields);
    fields.remove(SEC_WEBSOCKET_ACCEPT);
    fields.remove(CONTENT_LENGTH);
    ResponseHead {
        status: StatusCode::SWITCHING_PROTOCOLS,
        headers: fields,
    }
}

/// The service's own answer, its body driven along by whoever reads it.
fn refusal(response: Response<Incoming>, driver: Option<Driver>) -> Response<TargetBody> {
    let (mut parts, body) = response.into_parts();
    headers::strip(&mut parts.headers);
    Response::from_parts(parts, TargetBody::boxed(Driven { body, driver }))
}

struct Driven {
    body: Incoming,
    driver: Option<Driver>,
}

impl Body for Driven {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            self.driver = None;
        }
        Pin::new(&mut self.body)
            .poll_frame(cx)
            .map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn broken(error: &hyper::Error) -> TargetError {
    TargetError::BadResponse(format!("the target broke the upgrade off: {error}"))
}
