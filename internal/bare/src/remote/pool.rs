//! Connections that wait for their next request. They are kept for the visitor who made them: some remotes log a
//! connection in, and what one visitor is logged in as is nothing for another.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use url::Host;

use super::Ask;
use super::connection::Connection;
use crate::body::BoxError;

/// Connections that are kept in all.
const MAX_IDLE: usize = 256;

/// Whose a connection is, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    visitor: IpAddr,
    tls: bool,
    host: Host,
    port: u16,
}

impl Key {
    pub(super) fn of(ask: &Ask) -> Self {
        Self {
            visitor: ask.visitor,
            tls: ask.target.tls,
            host: ask.target.host.clone(),
            port: ask.target.port,
        }
    }
}

/// The idle connections.
#[derive(Default)]
pub(super) struct Pool(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    by_key: HashMap<Key, VecDeque<Connection>>,
    count: usize,
}

impl Pool {
    /// The ready connection that was used last.
    pub(super) fn take(&self, key: &Key) -> Option<Connection> {
        let mut idle = self.lock();
        let Idle { by_key, count } = &mut *idle;
        let kept = by_key.get_mut(key)?;
        let mut found = None;
        while let Some(connection) = kept.pop_back() {
            *count -= 1;
            if connection.is_ready() {
                found = Some(connection);
                break;
            }
        }
        if kept.is_empty() {
            by_key.remove(key);
        }
        if let Some(connection) = &found {
            connection.rest(false);
        }
        found
    }

    /// A response's body, at whose end the connection comes back.
    pub(super) fn lend(self: &Arc<Self>, connection: Connection, key: Key, body: Incoming) -> Lent {
        let mut lent = Lent {
            body,
            lease: Some((connection, key)),
            pool: self.clone(),
        };
        lent.settle();
        lent
    }

    fn keep(&self, connection: Connection, key: Key) {
        if connection.is_closed() {
            return;
        }
        let mut idle = self.lock();
        if idle.count >= MAX_IDLE {
            idle.forget_closed();
        }
        if idle.count >= MAX_IDLE {
            return;
        }
        connection.rest(true);
        idle.by_key.entry(key).or_default().push_back(connection);
        idle.count += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn forget_closed(&mut self) {
        let mut count = 0;
        self.by_key.retain(|_, kept| {
            kept.retain(|connection| !connection.is_closed());
            count += kept.len();
            !kept.is_empty()
        });
        self.count = count;
    }
}

/// A response's body with the connection it comes from. Dropped before its end it closes that connection.
pub(super) struct Lent {
    body: Incoming,
    lease: Option<(Connection, Key)>,
    pool: Arc<Pool>,
}

impl Lent {
    fn settle(&mut self) {
        if self.body.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some((connection, key)) = self.lease.take() {
            self.pool.keep(connection, key);
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => self.settle(),
            Poll::Ready(Some(Ok(_)) | None) => self.give_back(),
            Poll::Ready(Some(Err(_))) => self.lease = None,
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
