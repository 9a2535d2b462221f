//! What an edge response carries.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use exchange::body::Incoming;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

use crate::io::{Busy, ConnectionState};

/// What a body of a reserved page may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response to a visitor. Dropping it before its end cancels the
/// exchange behind it.
pub struct Body {
    inner: Inner,
    /// The connection is in the middle of a request until this is gone.
    busy: Option<Busy>,
}

enum Inner {
    Empty,
    Full(Option<Bytes>),
    Exchange(Relayed),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

/// An agent's body on its way to the visitor.
struct Relayed {
    incoming: Incoming,
    connection: Arc<ConnectionState>,
    /// Nothing but the end of the connection ends this body (HTTP/1.0), so that
    /// a cut must not look like an end.
    close_delimited: bool,
    /// An error waits one turn, so that what came before it is written first.
    error: Option<io::Error>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::from(Inner::Empty)
    }

    /// These bytes.
    #[must_use]
    pub fn full(bytes: Bytes) -> Self {
        Self::from(Inner::Full(Some(bytes)))
    }

    /// Any other body, for the pages a server adds under its own names.
    pub fn boxed<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::from(Inner::Boxed(body.map_err(Into::into).boxed_unsync()))
    }

    pub(crate) fn relayed(
        incoming: Incoming,
        connection: Arc<ConnectionState>,
        close_delimited: bool,
    ) -> Self {
        Self::from(Inner::Exchange(Relayed {
            incoming,
            connection,
            close_delimited,
            error: None,
        }))
    }

    /// Keeps the connection marked busy until the body is gone.
    pub(crate) fn keeping(mut self, busy: Busy) -> Self {
        self.busy = Some(busy);
        self
    }

    fn from(inner: Inner) -> Self {
        Self { inner, busy: None }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.inner {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Exchange(relayed) => relayed.poll_frame(cx),
            Inner::Boxed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Empty => true,
            Inner::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Inner::Exchange(relayed) => relayed.error.is_none() && relayed.incoming.is_end_stream(),
            Inner::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Inner::Exchange(relayed) => relayed.incoming.size_hint(),
            Inner::Boxed(body) => body.size_hint(),
        }
    }
}

impl Relayed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error.into())));
        }
        match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Err(error)) => {
                if self.close_delimited {
                    self.connection.cut();
                }
                self.error = Some(io::Error::other(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            other => Poll::Ready(other.map(|frame| frame.map_err(Into::into))),
        }
    }
}
