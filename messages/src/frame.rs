//! One frame: six bytes that say what it is and whose, then a payload up to the end of the transport's message.
//!
//! Everything that can be checked without looking into the payload is checked here, because a violation at this level means
//! that the two ends no longer agree on the framing and the link must go. The payload is never copied.

use std::fmt;
use std::ops::BitOr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;

use crate::credit;
use crate::error::EncodeError;
use crate::head;
use crate::headers;
use crate::ids::StreamId;
use crate::reset::Reset;
use crate::tag::{Charge, MAX_BODY_FRAME, MAX_HEAD_PAYLOAD, Tag};

/// Bytes before the payload: tag, flags, stream id.
pub const HEADER_LEN: usize = 6;

/// The largest legal frame in bytes, header and payload; a transport refuses longer messages before it buffers them.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "constants, added at compile time"
)]
pub const MAX_FRAME: usize = HEADER_LEN + MAX_HEAD_PAYLOAD;

/// The second byte of a frame. Bits without a name are 0 when sent and ignored when received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The sender has nothing more to say on this stream.
    pub const END: Self = Self(0x01);
    /// On Body only: the payload is a header block, and the stream's direction ends with it.
    pub const TRAILERS: Self = Self(0x02);
    /// On `WsMessage` only: text, not binary. The same on every fragment of a message.
    pub const TEXT: Self = Self(0x04);
    /// On `WsMessage` only: further fragments of the message follow.
    pub const MORE: Self = Self(0x08);
    /// A receiver that does not know the tag must end the link; without it the frame is skipped.
    pub const CRITICAL: Self = Self(0x80);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// END if `end`, else nothing.
    pub(crate) const fn end_if(end: bool) -> Self {
        if end { Self::END } else { Self::NONE }
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({:#04x})", self.0)
    }
}

/// A frame as it travels. Cloning it shares the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The tag byte, known or not.
    pub tag: u8,
    /// The flag bits, as received.
    pub flags: Flags,
    /// The stream, or [`StreamId::LINK`].
    pub stream: StreamId,
    /// The rest of the message, at most [`Tag::max_payload`] bytes.
    pub payload: Bytes,
}

/// Bytes that are no legal frame. Each of them ends the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than the header.
    #[error("a frame has at least a 6-byte header")]
    Short,
    /// Payload above the tag's limit.
    #[error("payload of {len} bytes is above the limit of {max} for tag {tag:#04x}")]
    TooLarge {
        /// The tag byte.
        tag: u8,
        /// Payload length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A tag that this side does not know, marked as one it must know.
    #[error("unknown tag {0:#04x} has the CRITICAL flag")]
    UnknownCritical(u8),
    /// A message that belongs to a stream came with stream 0.
    #[error("{0:?} belongs to a stream, but its stream id is 0")]
    StreamZero(Tag),
    /// A message that belongs to the link came with a stream id.
    #[error("{0:?} belongs to the link, but its stream id is not 0")]
    StreamNonZero(Tag),
}

impl Frame {
    /// A frame of these parts. The caller keeps the payload within [`Tag::max_payload`] and the stream id to
    /// [`Tag::on_stream`]; the constructors of single messages do.
    pub fn new(tag: Tag, flags: Flags, stream: StreamId, payload: Bytes) -> Self {
        debug_assert!(
            payload.len() <= tag.max_payload(),
            "{tag:?} of {} bytes",
            payload.len()
        );
        debug_assert_eq!(
            tag.on_stream(),
            stream != StreamId::LINK,
            "{tag:?} on stream {stream}"
        );
        Self {
            tag: tag.as_u8(),
            flags,
            stream,
            payload,
        }
    }

    /// The six bytes that precede the payload.
    pub fn header(&self) -> [u8; HEADER_LEN] {
        let [a, b, c, d] = self.stream.0.to_be_bytes();
        [self.tag, self.flags.0, a, b, c, d]
    }

    /// The frame as one contiguous message, for transports and buses that cannot write header and payload apart. Copies.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_LEN.saturating_add(self.payload.len()));
        out.put_slice(&self.header());
        out.put_slice(&self.payload);
        out.freeze()
    }

    /// Reads one whole transport message. The payload is a slice of it.
    ///
    /// # Errors
    /// Any [`FrameError`] ends the link. An unknown tag without CRITICAL is a frame whose [`tag`](Self::tag) is `None`: count
    /// it and skip it.
    pub fn decode(mut message: Bytes) -> Result<Self, FrameError> {
        let Some([tag, flags, a, b, c, d]) = message.first_chunk::<HEADER_LEN>().copied() else {
            return Err(FrameError::Short);
        };
        // Not `split_off`: two owners of one buffer need a counter, memory of its own for each small frame.
        message.advance(HEADER_LEN);
        let frame = Self {
            tag,
            flags: Flags(flags),
            stream: StreamId(u32::from_be_bytes([a, b, c, d])),
            payload: message,
        };
        let len = frame.payload.len();
        let max = frame.tag().map_or(MAX_HEAD_PAYLOAD, Tag::max_payload);
        match frame.tag() {
            None if frame.flags.contains(Flags::CRITICAL) => Err(FrameError::UnknownCritical(tag)),
            _ if len > max => Err(FrameError::TooLarge { tag, len, max }),
            Some(tag) if tag.on_stream() && frame.stream == StreamId::LINK => {
                Err(FrameError::StreamZero(tag))
            }
            Some(tag) if !tag.on_stream() && frame.stream != StreamId::LINK => {
                Err(FrameError::StreamNonZero(tag))
            }
            None | Some(_) => Ok(frame),
        }
    }

    /// The tag, if this version knows it.
    pub fn tag(&self) -> Option<Tag> {
        Tag::from_u8(self.tag)
    }

    /// Whether the sender's side of the stream ends with this frame without a Reset.
    pub fn is_end(&self) -> bool {
        self.tag().is_some_and(|tag| tag.ends(self.flags))
    }

    /// What the frame takes from its stream's credit: payload + 64 for Body (trailers too) and `WsMessage`, inline body + 64
    /// for a head that carries one, else 0. A Body that is nothing but an end is free.
    pub fn cost(&self) -> u32 {
        match self.tag().map_or(Charge::Nothing, Tag::charge) {
            Charge::Nothing => 0,
            // The bare end is sent once a direction: it stores nothing, and must not wait for credit.
            Charge::Payload if self.payload.is_empty() && self.is_end() => 0,
            Charge::Payload => credit::cost(self.payload.len()),
            Charge::InlineBody => match head::inline_body_len(&self.payload) {
                0 => 0,
                len => credit::cost(len),
            },
        }
    }

    /// Bytes of a body, at most [`MAX_BODY_FRAME`] of them: slice them by [`crate::SendCredit::chunk`].
    pub fn body(stream: StreamId, data: Bytes, end: bool) -> Self {
        debug_assert!(
            data.len() <= MAX_BODY_FRAME,
            "body frame of {} bytes",
            data.len()
        );
        Self::new(Tag::Body, Flags::end_if(end), stream, data)
    }

    /// The trailers that end a body.
    ///
    /// # Errors
    /// When they break a limit of [`crate::MAX_HEADERS`], [`crate::MAX_HEADER_NAME`] or [`crate::MAX_TRAILERS`].
    pub fn trailers(stream: StreamId, trailers: &HeaderMap) -> Result<Self, EncodeError> {
        let payload = headers::encode_trailers(trailers)?;
        Ok(Self::new(
            Tag::Body,
            Flags::END | Flags::TRAILERS,
            stream,
            payload,
        ))
    }

    /// Grants `credit` more bytes (1 to 2³¹ − 1) on a stream.
    pub fn window(stream: StreamId, credit: u32) -> Self {
        let payload = Bytes::copy_from_slice(&credit.to_be_bytes());
        Self::new(Tag::Window, Flags::NONE, stream, payload)
    }

    /// Ends a stream. A reason longer than [`crate::MAX_REASON`] is cut.
    pub fn reset(stream: StreamId, reset: &Reset) -> Self {
        Self::new(Tag::Reset, Flags::NONE, stream, reset.to_payload())
    }

    /// Asks for a sign of life.
    pub fn ping(data: [u8; 8]) -> Self {
        Self::new(
            Tag::Ping,
            Flags::NONE,
            StreamId::LINK,
            Bytes::copy_from_slice(&data),
        )
    }

    /// Answers a ping with its own bytes.
    pub fn pong(data: [u8; 8]) -> Self {
        Self::new(
            Tag::Pong,
            Flags::NONE,
            StreamId::LINK,
            Bytes::copy_from_slice(&data),
        )
    }

    /// The agent's compact JWS, at most [`crate::MAX_REGISTRATION`] bytes.
    pub fn registration_request(jws: Bytes) -> Self {
        Self::new(Tag::RegistrationRequest, Flags::NONE, StreamId::LINK, jws)
    }
}

impl fmt::Debug for Frame {
    /// Lengths only: payloads are other people's bytes and have no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Frame");
        match self.tag() {
            Some(tag) => out.field("tag", &tag),
            None => out.field("tag", &self.tag),
        };
        out.field("flags", &self.flags)
            .field("stream", &self.stream.0)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
