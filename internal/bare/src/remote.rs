//! The remote request: to the remote exactly as the client wrote it, and back what the remote exactly said.
//!
//! Nothing is added, followed, decoded or encoded. Whoever drops an answer, or its body, ends the request at the remote.

mod cased;
mod connect;
mod connection;
mod pool;
mod sent;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::task::TaskTracker;

use crate::body::{Body, empty};
use crate::config::{Config, Timeouts};
use crate::error::{BareError, Code};
use crate::headers::fields::Fields;
use crate::target::Target;

pub(crate) use cased::Heard;
use connect::Dialler;
use connection::Connection;
use pool::{Key, Pool};
use sent::{Progress, Sent};

/// The connections to all remotes.
pub(crate) struct Remotes {
    dialler: Dialler,
    pool: Arc<Pool>,
    timeouts: Timeouts,
    /// What is left of the connections that there may be.
    room: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// Connections to remotes at a time, of all kinds.
const MAX_CONNECTIONS: usize = 4096;

/// What a client wants of a remote.
pub(crate) struct Ask {
    pub(crate) visitor: IpAddr,
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) fields: Fields,
}

/// A remote's response.
pub(crate) struct Answer {
    pub(crate) heard: Heard,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// A remote's WebSocket after its handshake, with whatever came right behind that.
pub(crate) struct Socket {
    pub(crate) io: TokioIo<Upgraded>,
    /// Its place among all connections.
    pub(crate) room: OwnedSemaphorePermit,
}

impl Remotes {
    pub(crate) fn new(config: &Config, tasks: &TaskTracker) -> Self {
        Self {
            dialler: Dialler::new(config),
            pool: Arc::default(),
            timeouts: config.timeouts,
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            tasks: tasks.clone(),
        }
    }

    /// Asks the remote. Dropping the future, or later the body, closes the connection.
    ///
    /// # Errors
    /// Why there is no response.
    pub(crate) async fn request(&self, mut ask: Ask, body: Body) -> Result<Answer, BareError> {
        self.dialler.check(&ask.target)?;
        // Of this hop: bodies are framed anew.
        for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            ask.fields.remove(&name);
        }
        let body = if [Method::GET, Method::HEAD].contains(&ask.method) {
            empty()
        } else {
            body
        };
        let key = Key::of(&ask);
        let repeatable = body.is_end_stream() && ask.method.is_idempotent();
        let (map, names) = std::mem::take(&mut ask.fields).into_map();
        if let Some(mut kept) = self.pool.take(&key) {
            let request = request(&ask, map.clone(), if repeatable { empty() } else { body });
            match self.exchange(&mut kept, request, names.clone()).await {
                Ok((heard, response)) => return self.answer(kept, key, heard, response),
                // A kept connection may have closed in the very moment it was used.
                Err(error) if repeatable && error.code == Code::ConnectionReset => {}
                Err(error) => return Err(error),
            }
            return self.anew(&ask, key, (map, names), empty()).await;
        }
        self.anew(&ask, key, (map, names), body).await
    }

    /// The same on a new connection.
    async fn anew(
        &self,
        ask: &Ask,
        key: Key,
        (map, names): (HeaderMap, Vec<String>),
        body: Body,
    ) -> Result<Answer, BareError> {
        let mut connection = self.connect(&ask.target).await?;
        let request = request(ask, map, body);
        let (heard, response) = self.exchange(&mut connection, request, names).await?;
        self.answer(connection, key, heard, response)
    }

    async fn connect(&self, target: &Target) -> Result<Connection, BareError> {
        let room = self.room.clone().try_acquire_owned();
        let room = room.map_err(|_| BareError::overloaded("Too many connections to remotes."))?;
        let connecting = async {
            let io = self.dialler.dial(target).await?;
            Connection::open(io, room, &self.tasks).await
        };
        timeout(self.timeouts.connect, connecting)
            .await
            .unwrap_or_else(|_| Err(timed_out("The remote could not be reached in time.")))
    }

    /// Sends the request and waits for the response's head: for as long as the request's body moves, and then for the time
    /// that a head may take.
    async fn exchange(
        &self,
        connection: &mut Connection,
        request: Request<Body>,
        names: Vec<String>,
    ) -> Result<(Heard, Response<Incoming>), BareError> {
        let progress = Progress::default();
        let request = request.map(|body| Sent::new(body, &progress).boxed_unsync());
        let mut answering = pin!(connection.send(request, names));
        loop {
            let before = progress.seen();
            match timeout(self.timeouts.head, answering.as_mut()).await {
                Ok(answer) => return answer,
                Err(_) if progress.seen() != before => {}
                Err(_) => return Err(timed_out("The remote did not respond in time.")),
            }
        }
    }

    fn answer(
        &self,
        connection: Connection,
        key: Key,
        heard: Heard,
        response: Response<Incoming>,
    ) -> Result<Answer, BareError> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let why = "The remote switched protocols without being asked to.";
            return Err(BareError::internal(Code::Unknown, "response", why));
        }
        let (parts, body) = response.into_parts();
        Ok(Answer {
            heard,
            headers: parts.headers,
            body: self.pool.lend(connection, key, body).boxed_unsync(),
        })
    }

    /// Asks the remote for a WebSocket, and gives the connection once it has agreed.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn upgrade(&self, mut ask: Ask) -> Result<(Heard, Socket), BareError> {
        self.dialler.check(&ask.target)?;
        let accept = prepare_upgrade(&mut ask.fields)?;
        let mut connection = self.connect(&ask.target).await?;
        let (map, names) = std::mem::take(&mut ask.fields).into_map();
        let request = request(&ask, map, empty());
        let (heard, response) = self.exchange(&mut connection, request, names).await?;
        let proof = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if response.status() != StatusCode::SWITCHING_PROTOCOLS
            || proof.is_none_or(|proof| proof.as_bytes() != accept.as_bytes())
        {
            let why = "The remote did not upgrade the WebSocket.";
            return Err(BareError::internal(Code::Unknown, "response", why));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|_| reset())?;
        let socket = Socket {
            io: TokioIo::new(upgraded),
            room: connection.into_room(),
        };
        Ok((heard, socket))
    }
}

fn request(ask: &Ask, headers: HeaderMap, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = ask.target.path.clone().into();
    *request.headers_mut() = headers;
    request
}

/// Makes the fields those of an upgrade: what they say stays in its own case and order, what they lack is added. The accept
/// key that proves the remote understood.
fn prepare_upgrade(fields: &mut Fields) -> Result<String, BareError> {
    fields.remove(&CONTENT_LENGTH);
    fields.remove(&TRANSFER_ENCODING);
    for (name, written, value) in [
        (CONNECTION, "Connection", "Upgrade"),
        (UPGRADE, "Upgrade", "websocket"),
    ] {
        let said = fields
            .get(&name)
            .map(|said| said.as_bytes().to_ascii_lowercase());
        let wanted = value.to_ascii_lowercase();
        let says = |said: Vec<u8>| {
            said.windows(wanted.len())
                .any(|part| part == wanted.as_bytes())
        };
        if !said.is_some_and(says) {
            fields.set(name, written, HeaderValue::from_static(value));
        }
    }
    let version = HeaderValue::from_static("13");
    fields.default_to(&SEC_WEBSOCKET_VERSION, "Sec-WebSocket-Version", version);
    let key = HeaderValue::try_from(generate_key()).expect("base64 is a value");
    fields.default_to(&SEC_WEBSOCKET_KEY, "Sec-WebSocket-Key", key);
    let key = fields.get(&SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| BareError::illegal_header("Sec-WebSocket-Key"))?;
    Ok(derive_accept_key(key.as_bytes()))
}

/// What belongs to one hop (RFC 9110, 7.6.1): it is never passed back, whatever a list says.
pub(crate) fn is_of_the_hop(name: &HeaderName) -> bool {
    const NAMES: [&str; 8] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "proxy-authenticate",
    ];
    NAMES.contains(&name.as_str())
}

fn timed_out(why: &'static str) -> BareError {
    BareError::internal(Code::ConnectionTimeout, "response", why)
}

fn reset() -> BareError {
    let why = "The request was forcibly closed.";
    BareError::internal(Code::ConnectionReset, "response", why)
}

/// How long nothing may happen between two requests on a kept connection: below the 5 s after which Node closes one.
const IDLE: Duration = Duration::from_secs(4);
