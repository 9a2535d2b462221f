//! Services that `adit` itself answers with, and the two ways to them: through a tunnel ([`Published`]), or on a
//! listener of this machine ([`listen`]).
//!
//! The crates that hold such services know nothing of tunnels; what they speak is said here once, in the types of `http`.

pub(crate) mod listen;
mod published;
#[cfg(test)]
mod tests;

use std::future::ready;
use std::net::IpAddr;
use std::pin::Pin;

use agent::{BoxError, Duplex};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

pub(crate) use self::published::Published;

/// The body of a request, or of a response. An error in it cuts the message: it is never passed off as a whole one.
pub(crate) type LocalBody = UnsyncBoxBody<Bytes, BoxError>;

/// A connection after its WebSocket handshake: frames as RFC 6455 has them, those from the visitor masked.
pub(crate) type Socket = Pin<Box<dyn Duplex>>;

/// What serves an accepted WebSocket. It ends when this is done, or soon after the visitor has left.
pub(crate) type Run = Box<dyn FnOnce(Socket) -> BoxFuture<'static, ()> + Send>;

/// A service that `adit` itself answers with.
///
/// Dropping a returned future, or later the body of its response, is the order to stop working: the visitor has left.
pub(crate) trait Local: Send + Sync + 'static {
    /// Answers one HTTP request. Its URI is in origin form (or `*`); `Host` is the authority the visitor asked for.
    fn http(
        &self,
        request: Request<LocalBody>,
        visitor: Visitor,
    ) -> BoxFuture<'_, Response<LocalBody>>;

    /// Answers one WebSocket upgrade, whose handshake has been checked. Through a tunnel the request lacks what each hop
    /// negotiates anew (version, extensions); the key is the visitor's own, or missing where he has none (RFC 8441).
    /// A service without WebSockets keeps this: 501.
    fn socket(&self, request: Request<()>, visitor: Visitor) -> BoxFuture<'_, Upgrade> {
        drop((request, visitor));
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        ready(Upgrade::Refused(response)).boxed()
    }

    /// What a URL of this service begins with where there is no TLS.
    fn scheme(&self) -> &'static str {
        "http"
    }

    /// The listener is going down: WebSockets should end, and are cut when they do not.
    fn close(&self) {}
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// His address: of the connection, or through a tunnel the one that the edge found behind the proxies it trusts.
    /// Never what a field of the request claims.
    pub(crate) addr: IpAddr,
}

/// A service's answer to a WebSocket upgrade.
pub(crate) enum Upgrade {
    /// It speaks WebSocket from now on.
    Accepted {
        /// 101 and what the service has to add: a subprotocol that was offered, cookies. `Upgrade`, `Connection` and
        /// `Sec-WebSocket-Accept` are written by those who know the visitor's connection.
        head: Response<()>,
        /// What serves it.
        run: Run,
    },
    /// It answered with a response instead.
    Refused(Response<LocalBody>),
}

/// A body that is here already.
pub(crate) fn full(bytes: impl Into<Bytes>) -> LocalBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}
