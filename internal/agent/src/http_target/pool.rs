//! Connections of HTTP/1.1 that wait for their next request.
//!
//! A connection is lent to one exchange at a time. It comes back by itself when the body of its response has been read
//! to the end; an exchange that breaks off keeps it, and drops it, which closes it: HTTP/1.1 has no other way to cancel.
//!
//! Here instead of in the library's own client for speed: of the agent's 70,000 instructions for a small request on a kept
//! connection that one took 10,000, for finding the pool of the authority, for a race between a kept connection and a new
//! one, and for a task per request that waits for the connection's return.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::RequestBody;

/// A connection as its user holds it. Dropped, it closes the connection.
pub(super) type Connection = SendRequest<RequestBody>;

/// The idle connections to one target.
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    idle: Mutex<Idle>,
    max_idle: usize,
    idle_timeout: Duration,
    tasks: TaskTracker,
    /// Ends the sweep with the pool.
    gone: CancellationToken,
    _ends: DropGuard,
}

#[derive(Default)]
struct Idle {
    /// The one that came back last is at the back.
    connections: VecDeque<Resting>,
    /// Whether a task looks after them.
    swept: bool,
}

struct Resting {
    connection: Connection,
    /// The one visitor it is for, where it is not for all.
    owner: Option<SocketAddr>,
    since: Instant,
}

impl Pool {
    /// At most `max_idle` connections, none idle for longer than `idle_timeout`. While there are any, one task of
    /// `tasks` sees to that.
    pub(super) fn new(max_idle: usize, idle_timeout: Duration, tasks: &TaskTracker) -> Self {
        let gone = CancellationToken::new();
        Self(Arc::new(Shared {
            idle: Mutex::default(),
            max_idle,
            idle_timeout,
            tasks: tasks.clone(),
            _ends: gone.clone().drop_guard(),
            gone,
        }))
    }

    /// The ready connection of this owner that was used last: the others may fall idle and go. Those that have closed are dropped on
    /// the way; those on which a request is still being sent, after its answer, are passed over.
    pub(super) fn take(&self, owner: Option<SocketAddr>) -> Option<Connection> {
        let connections = &mut self.0.lock().connections;
        for at in (0..connections.len()).rev() {
            let resting = &connections[at];
            let connection = &resting.connection;
            if resting.owner == owner && connection.is_ready() {
                return connections.remove(at).map(|resting| resting.connection);
            }
            if connection.is_closed() {
                connections.remove(at);
            }
        }
        None
    }

    /// The response with a body that gives the connection back at its end.
    pub(super) fn lend(
        &self,
        connection: Connection,
        owner: Option<SocketAddr>,
        response: Response<Incoming>,
    ) -> Response<LeasedBody> {
        let lease = Lease {
            connection,
            owner,
            pool: self.0.clone(),
        };
        response.map(|body| LeasedBody::new(body, lease))
    }
}

impl Shared {
    /// Keeps a connection, and lets the oldest go when there are too many.
    fn keep(self: &Arc<Self>, connection: Connection, owner: Option<SocketAddr>) {
        if connection.is_closed() || self.max_idle == 0 {
            return;
        }
        let mut idle = self.lock();
        if idle.connections.len() >= self.max_idle {
            idle.connections.pop_front();
        }
        idle.connections.push_back(Resting {
            connection,
            owner,
            since: Instant::now(),
        });
        if !idle.swept {
            idle.swept = true;
            self.tasks
                .spawn(sweep(Arc::downgrade(self), self.gone.clone()));
        }
    }

    /// Drops the connections that have been idle too long. When the next one will have been; `None` when none is left.
    fn expire(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut idle = self.lock();
        let left = loop {
            let Some(oldest) = idle.connections.front() else {
                break None;
            };
            let left = self.idle_timeout.checked_sub(now - oldest.since);
            match left.filter(|left| !left.is_zero()) {
                Some(left) => break Some(left),
                None => drop(idle.connections.pop_front()),
            }
        };
        idle.swept = left.is_some();
        left
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        // Nothing panics while it is held.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One timer for all idle connections: it is set once per `idle_timeout` however many requests pass.
async fn sweep(pool: Weak<Shared>, gone: CancellationToken) {
    loop {
        let Some(left) = pool.upgrade().and_then(|pool| pool.expire()) else {
            return;
        };
        if gone.run_until_cancelled(sleep(left)).await.is_none() {
            return;
        }
    }
}

/// A connection with the way back to its pool.
struct Lease {
    connection: Connection,
    owner: Option<SocketAddr>,
    pool: Arc<Shared>,
}

impl Lease {
    fn give_back(self) {
        self.pool.keep(self.connection, self.owner);
    }
}

/// A response's body, with the connection it comes from. Dropped before its end it closes that connection.
pub(crate) struct LeasedBody {
    body: Incoming,
    lease: Option<Lease>,
}

impl LeasedBody {
    fn new(body: Incoming, lease: Lease) -> Self {
        let lease = Some(lease);
        let mut leased = Self { body, lease };
        leased.settle();
        leased
    }

    /// At the end of the body the connection goes back. It may not be ready yet, where the request is still being sent;
    /// the pool sees to that.
    fn settle(&mut self) {
        if self.body.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl From<Incoming> for LeasedBody {
    /// A body whose connection is looked after elsewhere.
    fn from(body: Incoming) -> Self {
        Self { body, lease: None }
    }
}

impl Body for LeasedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => self.settle(),
            // Trailers are the end as much as the end is.
            Poll::Ready(Some(Ok(_)) | None) => self.give_back(),
            Poll::Ready(Some(Err(_))) => self.lease = None,
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for LeasedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedBody")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
