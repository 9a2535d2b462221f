//! What an agent publishes: the one trait that every kind of target implements, and what it answers with.

use std::error::Error;
use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use messages::{RequestHead, Reset, ResetCode, ResponseHead};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::http_target::LeasedBody;
use crate::{Context, RequestBody};

/// Any error of a body.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Answers the requests of visitors.
///
/// One call is one exchange. Dropping the returned future, or later the body of its response, is the order to stop
/// working: the visitor has left.
pub trait Target: Send + Sync + 'static {
    /// Answers one HTTP request.
    ///
    /// The request's URI is origin form (or `*`), exactly as the visitor sent it; `Host` is the public authority.
    /// Neither may ever choose where a target dials. A response may be given before the request's body was read; what
    /// is left of the body is then no longer asked for.
    fn http(
        &self,
        request: Request<RequestBody>,
        context: Context,
    ) -> BoxFuture<'_, Result<Response<TargetBody>, TargetError>>;

    /// Answers one WebSocket upgrade. The head is that of [`Target::http`]'s request, without the fields that each hop
    /// negotiates anew (key, version, extensions). A target that speaks no WebSocket keeps this: 501.
    fn socket(
        &self,
        head: RequestHead,
        context: Context,
    ) -> BoxFuture<'_, Result<SocketAnswer, TargetError>> {
        drop((head, context));
        let mut response = Response::new(TargetBody::full(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        ready(Ok(SocketAnswer::Refused(response))).boxed()
    }
}

/// A byte stream both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// A target's answer to a WebSocket upgrade.
pub enum SocketAnswer {
    /// It speaks WebSocket from now on.
    Accepted {
        /// Status 101 and the headers of its answer.
        head: ResponseHead,
        /// The connection, after the handshake.
        socket: Pin<Box<dyn Duplex>>,
    },
    /// It answered with a response instead.
    Refused(Response<TargetBody>),
}

impl fmt::Debug for SocketAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted { .. } => "Accepted",
            Self::Refused(_) => "Refused",
        })
    }
}

/// Why a target has no answer. The sentence travels to the edge's log, so it names no local address.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The target cannot be reached, or the connection to it was lost before it answered.
    #[error("{0}")]
    Unreachable(String),
    /// What it answered is not HTTP that can be passed on.
    #[error("{0}")]
    BadResponse(String),
    /// It took longer than this target is given.
    #[error("{0}")]
    TimedOut(String),
}

impl TargetError {
    /// How the server is told.
    #[must_use]
    pub fn reset(&self) -> Reset {
        let code = match self {
            Self::Unreachable(_) => ResetCode::TargetUnreachable,
            Self::BadResponse(_) => ResetCode::BadResponse,
            Self::TimedOut(_) => ResetCode::TimedOut,
        };
        Reset::new(code, self.to_string())
    }
}

/// The body of a target's response.
#[derive(Debug)]
pub struct TargetBody(Kind);

#[derive(Debug)]
enum Kind {
    /// The usual case, without an allocation of its own.
    Http(LeasedBody),
    Full(Bytes),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

impl TargetBody {
    /// A body that is here already.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Full(bytes.into()))
    }

    /// Any other body. An error in it cuts the response: it is never passed off as a whole one.
    pub fn boxed(body: impl Body<Data = Bytes, Error = BoxError> + Send + 'static) -> Self {
        Self(Kind::Boxed(UnsyncBoxBody::new(body)))
    }
}

impl From<hyper::body::Incoming> for TargetBody {
    fn from(body: hyper::body::Incoming) -> Self {
        LeasedBody::from(body).into()
    }
}

impl From<LeasedBody> for TargetBody {
    fn from(body: LeasedBody) -> Self {
        Self(Kind::Http(body))
    }
}

impl Body for TargetBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Http(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Kind::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Boxed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Http(body) => body.is_end_stream(),
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Http(body) => body.size_hint(),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}
