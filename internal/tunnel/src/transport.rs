//! The seam between a link and what carries it.
//!
//! A transport moves whole messages; framing inside a byte stream, masking and closing handshakes are its own
//! affair. A new one gives this trait, a way to dial and a way to accept: handshake and link do not change.

use std::io;

use bytes::Bytes;
use futures_util::future::Either;
use futures_util::{Sink, Stream};
use messages::Frame;

/// Carries the frames of one link, both ways.
///
/// Each item read is one whole message: the bytes of one frame, not yet decoded and at most
/// [`messages::MAX_FRAME`] long. Frames that are fed between two flushes leave in as few writes as possible.
pub trait Transport:
    Stream<Item = Result<Bytes, TransportError>> + Sink<Frame, Error = TransportError> + Unpin + Send
{
    /// Counts the bytes that have come in so far, of whole messages or of parts of one.
    ///
    /// Keepalive reads it after polling: a large message on a thin line proves life long before it is whole.
    fn bytes_heard(&self) -> u64;
}

/// One of two transports: for whoever learns only when it connects which it will be.
impl<A: Transport, B: Transport> Transport for Either<A, B> {
    fn bytes_heard(&self) -> u64 {
        match self {
            Self::Left(transport) => transport.bytes_heard(),
            Self::Right(transport) => transport.bytes_heard(),
        }
    }
}

/// Why a transport can no longer carry frames.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The connection underneath failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The peer announced a message longer than any frame may be.
    #[error("a message of {len} bytes arrived, the longest frame has {max}")]
    TooLarge {
        /// Length that was announced, bytes.
        len: usize,
        /// Longest that is taken, bytes.
        max: usize,
    },
    /// The peer broke the rules of the transport itself.
    #[error("the peer broke the transport's protocol: {0}")]
    Protocol(String),
}
