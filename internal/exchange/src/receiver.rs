//! The peer's direction of an exchange, as events.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use messages::{RequestHead, Reset, ResetCode, ResponseHead, Teardown};

use crate::{mailbox::CutSignal, shared::Shared};

/// What the peer said, in order.
#[derive(Debug)]
pub enum Event {
    /// The request head; first and once, at the agent.
    Request(Box<RequestHead>),
    /// An interim (1xx) or the final response head, at the edge.
    Response(Box<ResponseHead>),
    /// Body bytes; never empty.
    Data(Bytes),
    /// Trailers; the end follows.
    Trailers(HeaderMap),
    /// A WebSocket's upgrade request; first and once, at the agent.
    Upgrade(Box<RequestHead>),
    /// The target accepted the WebSocket; at the edge.
    Upgraded(Box<ResponseHead>),
    /// A WebSocket message or a fragment of one.
    Message {
        /// Its bytes; may be empty.
        data: Bytes,
        /// Text, not binary.
        text: bool,
        /// Further fragments of this message follow.
        more: bool,
    },
    /// The peer's WebSocket is over; the end follows.
    Teardown(Teardown),
    /// The peer's direction ended whole. Repeats when asked again.
    End,
}

impl Event {
    pub(crate) fn is_content(&self) -> bool {
        !matches!(self, Self::End)
    }
}

/// Receives one direction of an exchange. What dropping it early means is
/// decided by [`crate::Role`].
pub struct Receiver {
    shared: Arc<Shared>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Receiver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The next event. Cancel safe.
    ///
    /// # Errors
    /// Why the exchange was cut, after everything that arrived before the cut.
    pub async fn recv(&mut self) -> Result<Event, Reset> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// [`Receiver::recv`] for hand-written futures.
    pub fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Result<Event, Reset>> {
        self.shared.poll_event(cx)
    }

    /// Tells that `cost` bytes of credit ([`messages::cost`]) were
    /// written to the next hop, so that the peer may send as much again.
    pub fn consumed(&mut self, cost: u32) {
        self.shared.consumed(cost, None);
    }

    /// The same where it is known how many bytes of the body are `to_come` after it: no credit is granted, and no frame
    /// sent, that they do not need.
    pub fn consumed_of(&mut self, cost: u32, to_come: Option<u64>) {
        self.shared.consumed(cost, to_come);
    }

    /// Opens a window that started at zero; without effect on one that is open.
    pub fn open_window(&mut self) {
        self.shared.open_window();
    }

    /// True when everything has been received and the peer's direction ended
    /// whole: [`Receiver::recv`] would say [`Event::End`] at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.is_finished()
    }

    /// Gives the direction up without cancelling it: all that was announced has
    /// come.
    pub fn satisfied(&mut self) {
        self.shared.satisfied();
    }

    /// Resolves when the exchange is cut.
    #[must_use]
    pub fn cut_signal(&self) -> CutSignal {
        CutSignal::new(self.shared.clone())
    }

    /// Ends the whole exchange early and tells the peer why.
    pub fn abort(&mut self, code: ResetCode, reason: &str) {
        self.shared.abort(Reset::new(code, reason));
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.unwanted();
    }
}
