//! One word of the handshake at a time: how either end says one and hears one, within its time.

use futures_util::{SinkExt, StreamExt};
use messages::{DecodeError, Disconnect, Frame, FrameError, Message};
use tokio::time::{Instant, timeout_at};

use crate::text::printable;
use crate::{Transport, TransportError};

/// Frames of unknown kinds that are skipped while waiting for a word; a later version may send some, a hostile peer many.
pub(super) const MAX_SKIPPED: usize = 16;

/// What went wrong before a word of the conversation was understood.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The other side said nothing, or took nothing, in time.
    #[error("nothing came in time")]
    TimedOut,
    /// The other side closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Bytes that are no frame.
    #[error("malformed frame: {0}")]
    Frame(#[from] FrameError),
    /// A frame that is no message.
    #[error("malformed message: {0}")]
    Decode(#[from] DecodeError),
    /// A message, but not the one whose turn it is.
    #[error("a message out of turn")]
    OutOfTurn,
    /// The other side says goodbye instead.
    #[error("the other side disconnects: {}", .0.reason)]
    Disconnected(Disconnect),
}

pub(super) async fn say<T: Transport>(
    transport: &mut T,
    frame: Frame,
    deadline: Instant,
) -> Result<(), HandshakeError> {
    Ok(timeout_at(deadline, transport.send(frame))
        .await
        .map_err(|_| HandshakeError::TimedOut)??)
}

pub(super) async fn hear<T: Transport>(
    transport: &mut T,
    deadline: Instant,
) -> Result<Message, HandshakeError> {
    for _ in 0..=MAX_SKIPPED {
        let next = timeout_at(deadline, transport.next())
            .await
            .map_err(|_| HandshakeError::TimedOut)?;
        let frame = Frame::decode(next.ok_or(HandshakeError::Closed)??)?;
        match Message::decode(&frame) {
            Ok(Message::Disconnect(mut disconnect)) => {
                disconnect.reason = printable(&disconnect.reason);
                return Err(HandshakeError::Disconnected(disconnect));
            }
            Err(DecodeError::Unknown(tag)) => {
                tracing::debug!(tag, "skipped a frame of an unknown kind");
            }
            other => return Ok(other?),
        }
    }
    Err(HandshakeError::OutOfTurn)
}
