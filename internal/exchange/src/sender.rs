//! Our direction of an exchange: heads at once, bodies under credit.

use std::{fmt, future::poll_fn, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;
use messages::{EncodeError, Frame, RequestHead, Reset, ResetCode, ResponseHead, Teardown};

use crate::{mailbox::UNASSIGNED, shared::Shared, socket::FRAGMENT};

/// Sends one direction of an exchange. Dropped before the end, it resets the
/// exchange: half a body is never passed off as a whole one.
pub struct Sender {
    shared: Arc<Shared>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends a response head with the first bytes of its body; `end` when they
    /// are all of it. `body` must fit [`messages::MAX_INLINE_BODY`] and the
    /// credit at hand: ask [`Sender::fits_inline`] first.
    ///
    /// # Errors
    /// When the head exceeds the limits of SPEC.md; nothing was sent then.
    pub fn response(
        &mut self,
        head: &ResponseHead,
        body: &[u8],
        end: bool,
    ) -> Result<(), EncodeError> {
        let frame = head.encode(UNASSIGNED, body, end)?;
        self.shared.emit(frame, end);
        Ok(())
    }

    /// The same for a request head.
    ///
    /// # Errors
    /// When the head exceeds the limits of SPEC.md; nothing was sent then.
    pub fn request(
        &mut self,
        head: &RequestHead,
        body: &[u8],
        end: bool,
    ) -> Result<(), EncodeError> {
        let frame = head.encode(UNASSIGNED, body, end)?;
        self.shared.emit(frame, end);
        Ok(())
    }

    /// Pays for `len` bytes that will go inline with the head; false when the
    /// credit does not cover them.
    #[must_use]
    pub fn fits_inline(&mut self, len: usize) -> bool {
        len <= messages::MAX_INLINE_BODY && self.shared.take_inline(len)
    }

    /// Sends body bytes, waiting for credit as often as it takes; the last
    /// frame carries the end when `end`. Not cancel safe: a cancelled call may
    /// have sent some of the bytes.
    ///
    /// # Errors
    /// Why the exchange, or this direction of it, is over.
    pub async fn data(&mut self, mut data: Bytes, end: bool) -> Result<(), Reset> {
        if data.is_empty() {
            if end {
                self.end();
            }
            return Ok(());
        }
        while !data.is_empty() {
            let wanted = data.len();
            let chunk = poll_fn(|cx| self.shared.poll_credit(wanted, cx)).await?;
            let piece = data.split_to(chunk);
            let last = end && data.is_empty();
            self.shared.emit(Frame::body(UNASSIGNED, piece, last), last);
        }
        Ok(())
    }

    /// Ends this direction.
    pub fn end(&mut self) {
        self.shared
            .emit(Frame::body(UNASSIGNED, Bytes::new(), true), true);
    }

    /// Ends this direction with trailers, when there is credit for them; without,
    /// when they cannot be carried. Cancel safe: nothing is sent before the end.
    ///
    /// # Errors
    /// Why the exchange, or this direction of it, is over.
    pub async fn trailers(&mut self, trailers: &HeaderMap) -> Result<(), Reset> {
        match Frame::trailers(UNASSIGNED, trailers) {
            Ok(frame) => {
                poll_fn(|cx| self.shared.poll_pay(frame.cost(), cx)).await?;
                self.shared.emit(frame, true);
            }
            Err(error) => self.abort(ResetCode::TooLarge, &error.to_string()),
        }
        Ok(())
    }

    /// Sends a WebSocket's upgrade request.
    ///
    /// # Errors
    /// When the head exceeds the limits of SPEC.md; nothing was sent then.
    pub fn upgrade(&mut self, head: &RequestHead) -> Result<(), EncodeError> {
        self.shared.emit(head.encode_upgrade(UNASSIGNED)?, false);
        Ok(())
    }

    /// Accepts a WebSocket.
    ///
    /// # Errors
    /// When the head exceeds the limits of SPEC.md; nothing was sent then.
    pub fn accept(&mut self, head: &ResponseHead) -> Result<(), EncodeError> {
        self.shared.emit(head.encode_accepted(UNASSIGNED)?, false);
        Ok(())
    }

    /// Sends a WebSocket message in fragments of at most [`crate::socket::FRAGMENT`]
    /// bytes, waiting for credit before each; `more` says that the message goes
    /// on after `data`. Not cancel safe.
    ///
    /// # Errors
    /// Why the exchange is over.
    pub async fn message(&mut self, mut data: Bytes, text: bool, more: bool) -> Result<(), Reset> {
        loop {
            let piece = data.split_to(data.len().min(FRAGMENT));
            let more = more || !data.is_empty();
            poll_fn(|cx| self.shared.poll_pay(messages::cost(piece.len()), cx)).await?;
            self.shared
                .emit(Frame::ws_message(UNASSIGNED, piece, text, more), false);
            if data.is_empty() {
                return Ok(());
            }
        }
    }

    /// Ends this direction of a WebSocket.
    pub fn teardown(&mut self, teardown: &Teardown) {
        self.shared
            .emit(Frame::ws_teardown(UNASSIGNED, teardown), true);
    }

    /// Waits until there is any credit: the sign that an `Expect: 100-continue`
    /// body is wanted. Cancel safe.
    ///
    /// # Errors
    /// Why the exchange, or this direction of it, is over.
    pub async fn writable(&mut self) -> Result<(), Reset> {
        poll_fn(|cx| self.shared.poll_writable(cx)).await
    }

    /// Ends the whole exchange early, both directions, and tells the peer why.
    pub fn abort(&mut self, code: ResetCode, reason: &str) {
        self.shared.abort(Reset::new(code, reason));
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.shared.is_sending() {
            self.abort(ResetCode::Cancelled, "the sender gave up before the end");
        }
    }
}
