//! A transport whose first word is heard twice: once by the agent, for the server's domain, and then by the handshake.
//!
//! An agent that asks for a label under the server's domain must say the whole host when it registers, and knows the
//! domain only from Hello.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream, StreamExt as _};
use messages::{DecodeError, Frame, Message};
use tokio::time::{Instant, timeout_at};
use tunnel::handshake::HandshakeError;
use tunnel::{Transport, TransportError};

use crate::error::printable;

/// Frames of unknown kinds before Hello that are put up with, as many as the handshake skips.
const MAX_SKIPPED: usize = 16;

/// A transport until its handshake is over.
pub(super) struct Opening<'a, T> {
    transport: &'a mut T,
    /// What was heard and is still to be heard by the handshake.
    heard: VecDeque<Bytes>,
}

impl<'a, T: Transport> Opening<'a, T> {
    /// `heard` is what has come already.
    pub(super) fn new(transport: &'a mut T, heard: Option<Bytes>) -> Self {
        Self {
            transport,
            heard: heard.into_iter().collect(),
        }
    }

    /// The domain that the server's Hello tells. Nothing has been said to the server then.
    ///
    /// # Errors
    /// What the handshake would say: no Hello came within `patience`.
    pub(super) async fn domain(&mut self, patience: Duration) -> Result<String, HandshakeError> {
        let deadline = Instant::now() + patience;
        for looked_at in 0..=MAX_SKIPPED {
            let bytes = match self.heard.get(looked_at) {
                Some(bytes) => bytes.clone(),
                None => {
                    let next = timeout_at(deadline, self.transport.next());
                    let next = next.await.map_err(|_| HandshakeError::TimedOut)?;
                    let bytes = next.ok_or(HandshakeError::Closed)??;
                    self.heard.push_back(bytes.clone());
                    bytes
                }
            };
            match Message::decode(&Frame::decode(bytes)?) {
                Ok(Message::Hello(hello)) => return Ok(hello.domain),
                Ok(Message::Disconnect(mut last)) => {
                    last.reason = printable(&last.reason);
                    return Err(HandshakeError::Disconnected(last));
                }
                Ok(_) => return Err(HandshakeError::OutOfTurn),
                Err(DecodeError::Unknown(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(HandshakeError::OutOfTurn)
    }
}

impl<T: Transport> Transport for Opening<'_, T> {
    fn bytes_heard(&self) -> u64 {
        self.transport.bytes_heard()
    }
}

impl<T: Transport> Stream for Opening<'_, T> {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.heard.pop_front() {
            Some(bytes) => Poll::Ready(Some(Ok(bytes))),
            None => Pin::new(&mut *self.transport).poll_next(cx),
        }
    }
}

impl<T: Transport> Sink<Frame> for Opening<'_, T> {
    type Error = TransportError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut *self.transport).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        Pin::new(&mut *self.transport).start_send(frame)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut *self.transport).poll_flush(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut *self.transport).poll_close(cx)
    }
}
