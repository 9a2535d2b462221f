//! Requests to a target that speaks HTTP/2 from the first byte (prior knowledge, RFC 9113 section 3.3), over as few
//! connections as carry them.
//!
//! The pool of the HTTP/1.1 side would not do: it lends a connection to one exchange at a time.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioTimer;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::dial::Dial;
use super::{deepest, headers};
use crate::{BoxError, Context, RequestBody, TargetBody, TargetError};

/// Requests at one time on one connection before another one is made: what servers commonly allow, and the least that
/// RFC 9113 section 6.5.2 recommends.
const MAX_STREAMS: usize = 100;
/// What a target may send on one stream before we have read it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// As much for all streams of a connection together: a visitor who does not read holds up no other.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 100;
/// Bytes of a request's body that one stream holds back inside the library.
const MAX_SEND_BUFFER: usize = 128 * 1024;
/// A connection with requests on it is asked for life after this silence, and given up after as much again.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Size of a response's headers, as HTTP/2 counts them: more than the protocol carries anyway.
const MAX_HEADER_LIST: u32 = 256 * 1024;

/// The connections to one target.
pub(super) struct H2c {
    dial: Dial,
    /// What stands for the public Host.
    host: Option<HeaderValue>,
    builder: Builder<Owned>,
    tasks: TaskTracker,
    /// Locked while one is made: those who come meanwhile wait for it instead of making more.
    connections: Mutex<Vec<Connection>>,
}

struct Connection {
    sender: SendRequest<RequestBody>,
    /// Held once here, and once by each request under way.
    load: Arc<Kept>,
}

impl H2c {
    pub(super) fn new(dial: Dial, host: Option<HeaderValue>, tasks: &TaskTracker) -> Self {
        let mut builder = Builder::new(Owned(tasks.clone()));
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(MAX_SEND_BUFFER)
            .max_header_list_size(MAX_HEADER_LIST)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        Self {
            dial,
            host,
            builder,
            tasks: tasks.clone(),
            connections: Mutex::default(),
        }
    }

    /// One request and the head of its answer. What was lost with a kept connection is tried once more, if it may be.
    pub(super) async fn call(
        &self,
        request: Request<RequestBody>,
        context: &Context,
    ) -> Result<Response<TargetBody>, TargetError> {
        let visitor = context.visitor.addr;
        let lost = match self.send(self.prepare(request)?, visitor).await? {
            Ok(response) => return Ok(response),
            Err(lost) => lost,
        };
        let again = if lost.unheard { context.again() } else { None };
        let Some(again) = again else {
            return Err(lost.why);
        };
        self.forget(&lost.load).await;
        tracing::debug!(request = %context.request_id, "the target let go of a kept connection; trying once more");
        let sent = self.send(self.prepare(again)?, visitor).await?;
        sent.map_err(|lost| lost.why)
    }

    /// The outer error: there is no connection. The inner one: it was lost, or the target refused on it.
    async fn send(
        &self,
        request: Request<RequestBody>,
        visitor: SocketAddr,
    ) -> Result<Result<Response<TargetBody>, Lost>, TargetError> {
        let (mut sender, load) = self.connection(visitor).await?;
        Ok(match sender.send_request(request).await {
            Ok(response) => {
                load.mark();
                Ok(response.map(|body| leased(body, load)))
            }
            Err(error) => Err(Lost::with(&error, load)),
        })
    }

    /// Gives no further request to that connection; those on it go on.
    async fn forget(&self, load: &Arc<Kept>) {
        let mut connections = self.connections.lock().await;
        connections.retain(|one| !Arc::ptr_eq(&one.load, load));
    }

    /// A connection with room for one request more, and the share in its load.
    async fn connection(
        &self,
        visitor: SocketAddr,
    ) -> Result<(SendRequest<RequestBody>, Arc<Kept>), TargetError> {
        if self.dial.owner(visitor).is_some() {
            // Not kept: nobody else may use it, and it would lie here for every visitor who ever came.
            let Connection { sender, load } = self.connect(visitor).await?;
            return Ok((sender, load));
        }
        let mut connections = self.connections.lock().await;
        connections.retain(|one| !one.sender.is_closed());
        let free = connections.iter().find(|one| one.streams() < MAX_STREAMS);
        if let Some(one) = free {
            let taken = (one.sender.clone(), one.load.clone());
            // What a rush has left over: the first ones with room get every request, so the last ones fall idle.
            if connections.last().is_some_and(|last| last.streams() == 0) && connections.len() > 1 {
                connections.pop();
            }
            return Ok(taken);
        }
        let one = self.connect(visitor).await?;
        let taken = (one.sender.clone(), one.load.clone());
        connections.push(one);
        Ok(taken)
    }

    async fn connect(&self, visitor: SocketAddr) -> Result<Connection, TargetError> {
        let io = self.dial.connect(visitor).await?;
        let shaken = self.builder.handshake(io).await;
        let (sender, driver) = shaken.map_err(|error| explain(&error))?;
        self.tasks.spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to the target ended");
            }
        });
        Ok(Connection {
            sender,
            load: Arc::default(),
        })
    }

    /// Makes a visitor's request one of this hop. The authority moves from Host to `:authority`, its place on HTTP/2;
    /// path and query join it as parts.
    fn prepare(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Request<RequestBody>, TargetError> {
        if let Some(host) = &self.host {
            request.headers_mut().insert(HOST, host.clone());
        }
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(authority(request.headers_mut())?);
        // With all three parts there is nothing to refuse; a later version of the library may differ.
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| {
            TargetError::BadResponse(format!("the path cannot be sent: {error}"))
        })?;
        *request.version_mut() = Version::HTTP_2;
        headers::prepare_h2c(request.headers_mut());
        Ok(request)
    }
}

impl Connection {
    fn streams(&self) -> usize {
        Arc::strong_count(&self.load) - 1
    }
}

fn authority(headers: &mut HeaderMap) -> Result<Authority, TargetError> {
    let host = headers.remove(HOST);
    host.and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .ok_or_else(|| TargetError::BadResponse("the public host cannot be sent".to_owned()))
}

/// A request that got no answer.
struct Lost {
    why: TargetError,
    /// Lost with a connection that had served others before, and not for what it said.
    unheard: bool,
    /// Names the connection.
    load: Arc<Kept>,
}

impl Lost {
    fn with(error: &hyper::Error, load: Arc<Kept>) -> Self {
        let refused = reset(error).is_some_and(|reason| reason == h2::Reason::REFUSED_STREAM);
        let judged = reset(error).is_some() && !refused;
        Self {
            why: explain(error),
            unheard: refused || (load.is_marked() && !judged),
            load,
        }
    }
}

/// The reason with which the target reset this very request.
fn reset(error: &hyper::Error) -> Option<h2::Reason> {
    library_error(error)
        .filter(|error| error.is_reset() && error.is_remote())
        .and_then(h2::Error::reason)
}

fn library_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// A sentence and a code for a failed call. The wire gets no addresses, only what happened.
fn explain(error: &hyper::Error) -> TargetError {
    let cause = deepest(error);
    if let Some(reason) = reset(error) {
        return TargetError::BadResponse(format!("the target reset the request: {reason}"));
    }
    if library_error(error).is_some_and(|error| error.is_library() && !error.is_io()) {
        return TargetError::BadResponse(format!(
            "the target does not speak HTTP/2 without TLS (h2c): {cause}"
        ));
    }
    TargetError::Unreachable(format!(
        "the target closed the HTTP/2 connection without an answer: {cause}"
    ))
}

/// A body that counts on its connection until it is gone.
fn leased(body: Incoming, load: Arc<Kept>) -> TargetBody {
    if body.is_end_stream() {
        return body.into();
    }
    TargetBody::boxed(Leased { body, _load: load })
}

struct Leased {
    body: Incoming,
    _load: Arc<Kept>,
}

impl Body for Leased {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
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

/// Whether a connection has answered a request before: then the next one finds it used, and perhaps closed.
#[derive(Debug, Default)]
struct Kept(AtomicBool);

impl Kept {
    fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_marked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs the library's connection tasks where their owner can wait for them.
#[derive(Clone)]
struct Owned(TaskTracker);

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

#[cfg(test)]
mod tests;
