//! A visitor's request body as a target reads it.
//!
//! Over the exchange's own body there is one rule more: with `Expect: 100-continue` the server sends nothing before it
//! is given credit, and credit is given when the target has asked for the body, or has said nothing for a second.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use exchange::body::{Incoming, IncomingError};
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a target may be silent about an expected body before it is sent anyway (RFC 9110 section 10.1.1: a client
/// should not wait for an indefinite time).
const EXPECT_PATIENCE: Duration = Duration::from_secs(1);

/// Why a request body ended early.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// It was cut, or was not what its head had announced.
    #[error(transparent)]
    Incoming(#[from] IncomingError),
    /// The target answered without asking for it, and the answer has been sent.
    #[error("the body was never asked for")]
    NotWanted,
}

/// Where a request with `Expect: 100-continue` stands. When the sender of this is gone, the exchange is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// The target has not spoken.
    Open,
    /// The target said `100 Continue`.
    Wanted,
    /// The target gave its final answer instead.
    Answered,
}

/// A request's body. Each chunk that is taken is credit for the visitor to send as much again.
pub struct RequestBody {
    /// `None`: there is none, and HTTP/1.1 can be told so.
    incoming: Option<Incoming>,
    /// Resolves with whether the body is wanted.
    wanted: Option<BoxFuture<'static, bool>>,
}

impl RequestBody {
    /// No body at all.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            incoming: None,
            wanted: None,
        }
    }

    pub(crate) fn following(
        incoming: Incoming,
        expectation: Option<watch::Receiver<Expectation>>,
    ) -> Self {
        Self {
            incoming: Some(incoming),
            wanted: expectation
                .map(|state| -> BoxFuture<'static, bool> { Box::pin(wanted(state)) }),
        }
    }

    /// Whether there is no body: such a request may be sent twice.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.incoming.is_none()
    }
}

/// Waits for the target's word. A body that is not wanted is withheld until the answer has gone out whole: an error in
/// it would end the connection that the answer is still being read from.
async fn wanted(mut state: watch::Receiver<Expectation>) -> bool {
    let decided = state.wait_for(|state| *state != Expectation::Open);
    match timeout(EXPECT_PATIENCE, decided).await {
        Err(_) => return true,
        Ok(Ok(state)) if *state == Expectation::Wanted => return true,
        Ok(_) => {}
    }
    while state.changed().await.is_ok() {}
    false
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Self { incoming, wanted } = &mut *self;
        let Some(incoming) = incoming else {
            return Poll::Ready(None);
        };
        if let Some(waiting) = wanted {
            if !ready!(waiting.as_mut().poll(cx)) {
                return Poll::Ready(Some(Err(RequestBodyError::NotWanted)));
            }
            *wanted = None;
            incoming.receiver().open_window();
        }
        Pin::new(incoming)
            .poll_frame(cx)
            .map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
