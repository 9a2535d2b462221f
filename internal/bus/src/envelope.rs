//! What travels between nodes, and its bytes for backends that have a wire.
//!
//! A frame is carried as it is: its tag, flags, stream and payload are copied, never read, so a node may pass on what
//! it does not know. The stream id is whatever the sender left in it; the receiver stamps its own.
//!
//! The encoding is private to a fleet and carries its version. Numbers are big-endian:
//!
//! ```text
//! version u8 = 2 | kind u8 | from [16] | exchange u64 | tunnel [32] | then by kind:
//!   1 Open       link u64 | generation u64 | policy [32] | attempt u8 | frame
//!   2 ToAgent    link u64 | frame
//!   3 Accepted
//!   4 Nack       reason u8
//!   5 ToVisitor  frame
//! frame: tag u8 | flags u8 | stream u32 | payload to the end
//! ```

use bytes::{Buf, BufMut, Bytes, TryGetError};
use messages::{Flags, Frame, HEADER_LEN, MAX_FRAME, NodeId, PolicyId, StreamId, TunnelId};
use thiserror::Error;

/// The largest encoded envelope, in bytes: the longest fixed part (that of `Open`) and the largest frame.
pub const MAX_ENVELOPE: usize = FIXED_LEN + OPEN_LEN + MAX_FRAME;

/// A link on its node: unique there for as long as the node lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// An exchange, unique on the node that opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u64);

/// One message between two nodes about one exchange.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The node that sends this envelope, and wants the answer.
    pub from: NodeId,
    /// The exchange, in the numbering of the node that opened it: the edge's side, in both directions.
    pub exchange: ExchangeId,
    /// The tunnel asked for, or, from an uplink, the tunnel of the link that really answers: an edge drops a reply
    /// whose stamp is not the tunnel it asked.
    pub tunnel: TunnelId,
    /// What it says.
    pub content: Content,
}

/// What an envelope says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Edge to uplink: begin an exchange on this link with this first frame.
    Open {
        /// The link the edge picked.
        link: LinkId,
        /// The generation it was routed by; a link that has another answers [`Nack::Stale`].
        generation: u64,
        /// The policy it was routed by, and that the edge applied; a link that has another answers [`Nack::Stale`].
        policy: PolicyId,
        /// 0 for the first try of a request, counted up with each retry.
        attempt: u8,
        /// The head of the request.
        frame: Frame,
    },
    /// Edge to uplink: a further frame of an exchange.
    ToAgent {
        /// The link the exchange runs on.
        link: LinkId,
        /// The frame.
        frame: Frame,
    },
    /// Uplink to edge: the exchange runs; what was sent need not be kept any longer.
    Accepted,
    /// Uplink to edge: the exchange was not begun, so it may be tried on another link.
    Nack(Nack),
    /// Uplink to edge: a frame from the agent.
    ToVisitor(Frame),
}

/// Why an uplink did not begin an exchange. The agent has seen nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nack {
    /// The link is not on this node (any more).
    NotHere,
    /// The link has no room for another stream.
    Busy,
    /// The link serves another generation, or has another policy, than the one it was routed by.
    Stale,
    /// The node is leaving and begins nothing new.
    Draining,
}

/// An envelope whose frame exceeds [`MAX_FRAME`] and is not put on a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a payload of {len} bytes does not fit into an envelope")]
pub struct EncodeError {
    /// The length of the payload, in bytes.
    pub len: usize,
}

/// Bytes that are no envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// It ends before its fixed part does.
    #[error("the envelope is cut short")]
    Short,
    /// It exceeds [`MAX_ENVELOPE`], or its frame [`MAX_FRAME`].
    #[error("the envelope has {0} bytes, which is too many")]
    TooLarge(usize),
    /// It speaks another version.
    #[error("envelope version {0} is unknown")]
    Version(u8),
    /// No content has this number.
    #[error("envelope kind {0} is unknown")]
    Kind(u8),
    /// No nack has this number.
    #[error("nack reason {0} is unknown")]
    Reason(u8),
    /// Something follows where nothing may.
    #[error("{0} bytes follow the envelope")]
    Trailing(usize),
}

const VERSION: u8 = 2;

/// Version, kind, from, exchange, tunnel.
const FIXED_LEN: usize = 1 + 1 + 16 + 8 + 32;

/// What an `Open` has before its frame: link, generation, policy, attempt.
const OPEN_LEN: usize = 8 + 8 + 32 + 1;

const OPEN: u8 = 1;
const TO_AGENT: u8 = 2;
const ACCEPTED: u8 = 3;
const NACK: u8 = 4;
const TO_VISITOR: u8 = 5;

impl Envelope {
    /// Appends the encoded envelope to `out`, so that many can share one write.
    ///
    /// # Errors
    /// [`EncodeError`] when the frame is too large; `out` is then as it was.
    pub fn encode(&self, out: &mut impl BufMut) -> Result<(), EncodeError> {
        self.check_len()?;
        out.put_u8(VERSION);
        out.put_u8(self.content.kind());
        out.put_slice(&self.from.0);
        out.put_u64(self.exchange.0);
        out.put_slice(&self.tunnel.0);
        self.content.encode(out);
        Ok(())
    }

    /// Whether it can be encoded.
    ///
    /// # Errors
    /// [`EncodeError`] when the frame is too large.
    pub fn check_len(&self) -> Result<(), EncodeError> {
        let payload = self.content.frame().map_or(0, |frame| frame.payload.len());
        if payload > MAX_FRAME - HEADER_LEN {
            return Err(EncodeError { len: payload });
        }
        Ok(())
    }

    /// How many bytes [`encode`](Self::encode) appends.
    pub fn encoded_len(&self) -> usize {
        FIXED_LEN + self.content.encoded_len()
    }

    /// Reads one encoded envelope; its payload shares the memory of `bytes`.
    ///
    /// # Errors
    /// See [`EnvelopeError`]. The length is checked before anything is read.
    pub fn decode(mut bytes: Bytes) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(EnvelopeError::TooLarge(bytes.len()));
        }
        let version = bytes.try_get_u8()?;
        if version != VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let kind = bytes.try_get_u8()?;
        Ok(Self {
            from: NodeId(array(&mut bytes)?),
            exchange: ExchangeId(bytes.try_get_u64()?),
            tunnel: TunnelId(array(&mut bytes)?),
            content: Content::decode(kind, bytes)?,
        })
    }
}

impl Content {
    fn kind(&self) -> u8 {
        match self {
            Self::Open { .. } => OPEN,
            Self::ToAgent { .. } => TO_AGENT,
            Self::Accepted => ACCEPTED,
            Self::Nack(_) => NACK,
            Self::ToVisitor(_) => TO_VISITOR,
        }
    }

    fn frame(&self) -> Option<&Frame> {
        match self {
            Self::Open { frame, .. } | Self::ToAgent { frame, .. } | Self::ToVisitor(frame) => {
                Some(frame)
            }
            Self::Accepted | Self::Nack(_) => None,
        }
    }

    fn encoded_len(&self) -> usize {
        let fixed = match self {
            Self::Open { .. } => OPEN_LEN,
            Self::ToAgent { .. } => 8,
            Self::Nack(_) => 1,
            Self::Accepted | Self::ToVisitor(_) => 0,
        };
        let frame = self.frame().map_or(0, |f| HEADER_LEN + f.payload.len());
        fixed + frame
    }

    fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Open {
                link,
                generation,
                policy,
                attempt,
                ..
            } => {
                out.put_u64(link.0);
                out.put_u64(*generation);
                out.put_slice(&policy.0);
                out.put_u8(*attempt);
            }
            Self::ToAgent { link, .. } => out.put_u64(link.0),
            Self::Nack(nack) => out.put_u8(nack.reason()),
            Self::Accepted | Self::ToVisitor(_) => {}
        }
        if let Some(frame) = self.frame() {
            out.put_u8(frame.tag);
            out.put_u8(frame.flags.0);
            out.put_u32(frame.stream.0);
            out.put_slice(&frame.payload);
        }
    }

    fn decode(kind: u8, mut rest: Bytes) -> Result<Self, EnvelopeError> {
        match kind {
            OPEN => Ok(Self::Open {
                link: LinkId(rest.try_get_u64()?),
                generation: rest.try_get_u64()?,
                policy: PolicyId(array(&mut rest)?),
                attempt: rest.try_get_u8()?,
                frame: decode_frame(rest)?,
            }),
            TO_AGENT => Ok(Self::ToAgent {
                link: LinkId(rest.try_get_u64()?),
                frame: decode_frame(rest)?,
            }),
            ACCEPTED => nothing_left(&rest).map(|()| Self::Accepted),
            NACK => {
                let nack = Nack::from_reason(rest.try_get_u8()?)?;
                nothing_left(&rest).map(|()| Self::Nack(nack))
            }
            TO_VISITOR => Ok(Self::ToVisitor(decode_frame(rest)?)),
            unknown => Err(EnvelopeError::Kind(unknown)),
        }
    }
}

impl Nack {
    const ALL: [Self; 4] = [Self::NotHere, Self::Busy, Self::Stale, Self::Draining];

    fn reason(self) -> u8 {
        match self {
            Self::NotHere => 1,
            Self::Busy => 2,
            Self::Stale => 3,
            Self::Draining => 4,
        }
    }

    fn from_reason(reason: u8) -> Result<Self, EnvelopeError> {
        let nack = Self::ALL.into_iter().find(|nack| nack.reason() == reason);
        nack.ok_or(EnvelopeError::Reason(reason))
    }
}

/// Not [`Frame::decode`]: that one checks what a link may carry, and an envelope's stream is not stamped yet.
fn decode_frame(mut rest: Bytes) -> Result<Frame, EnvelopeError> {
    if rest.len() > MAX_FRAME {
        return Err(EnvelopeError::TooLarge(rest.len()));
    }
    Ok(Frame {
        tag: rest.try_get_u8()?,
        flags: Flags(rest.try_get_u8()?),
        stream: StreamId(rest.try_get_u32()?),
        payload: rest,
    })
}

fn array<const N: usize>(from: &mut Bytes) -> Result<[u8; N], EnvelopeError> {
    let mut taken = [0; N];
    from.try_copy_to_slice(&mut taken)?;
    Ok(taken)
}

fn nothing_left(rest: &Bytes) -> Result<(), EnvelopeError> {
    match rest.len() {
        0 => Ok(()),
        more => Err(EnvelopeError::Trailing(more)),
    }
}

impl From<TryGetError> for EnvelopeError {
    fn from(_: TryGetError) -> Self {
        Self::Short
    }
}

#[cfg(test)]
mod tests;
