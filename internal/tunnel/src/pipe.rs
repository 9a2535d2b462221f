//! A transport without a network, for tests: two ends in memory, bounded, obeying paused time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream};
use messages::Frame;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use crate::{Transport, TransportError};

/// Messages that wait in each direction of a [`pair`] before the writer is held up.
pub const CAPACITY: usize = 64;

/// One end of an in-memory transport. Dropping it is what a cut connection looks like to the other end.
#[derive(Debug)]
pub struct Pipe {
    outgoing: PollSender<Bytes>,
    incoming: mpsc::Receiver<Bytes>,
    heard: u64,
}

/// Gives the two ends of a pipe that holds up to [`CAPACITY`] messages each way.
#[must_use]
pub fn pair() -> (Pipe, Pipe) {
    pair_holding(CAPACITY)
}

/// Gives the two ends of a pipe that holds up to `capacity` messages each way (at least one).
#[must_use]
pub fn pair_holding(capacity: usize) -> (Pipe, Pipe) {
    let (to_right, from_left) = mpsc::channel(capacity.max(1));
    let (to_left, from_right) = mpsc::channel(capacity.max(1));
    (
        Pipe::new(to_right, from_right),
        Pipe::new(to_left, from_left),
    )
}

impl Pipe {
    fn new(outgoing: mpsc::Sender<Bytes>, incoming: mpsc::Receiver<Bytes>) -> Self {
        Self {
            outgoing: PollSender::new(outgoing),
            incoming,
            heard: 0,
        }
    }

    /// Sends bytes as they are, whether or not they are a frame: what a hostile peer would do.
    ///
    /// # Errors
    /// The other end is gone.
    pub async fn send_raw(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.outgoing.send(message).await.map_err(|_| gone())
    }
}

impl Transport for Pipe {
    fn bytes_heard(&self) -> u64 {
        self.heard
    }
}

impl Stream for Pipe {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = ready!(self.incoming.poll_recv(cx));
        if let Some(message) = &message {
            self.heard += message.len() as u64;
        }
        Poll::Ready(message.map(Ok))
    }
}

impl Sink<Frame> for Pipe {
    type Error = TransportError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.outgoing.poll_reserve(cx).map_err(|_| gone())
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        self.outgoing
            .send_item(frame.to_bytes())
            .map_err(|_| gone())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        // A slot that was reserved and not used would keep the other end waiting.
        self.outgoing.abort_send();
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

fn gone() -> TransportError {
    TransportError::Io(io::ErrorKind::BrokenPipe.into())
}
