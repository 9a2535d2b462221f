//! The bytes of one Redis message between nodes. Numbers are big-endian:
//!
//! ```text
//! version u8 = 1 | kind u8 | then by kind:
//!   1 Pair    flags u8 | from [16] | term u64 | number u64 | received u64 | consumed u64 | budget u64
//!             | envelopes: length u32, envelope
//!   2 Notice  tunnel [32] | link u64 | by u64
//!   3 Echo    nonce u64
//! ```
//!
//! A `Pair` message is all that two nodes ever tell each other: with envelopes it is the batch of its number, without
//! any it only says how things stand. The payloads in it are the bytes of the bodies themselves.

use bytes::{Buf, BufMut, Bytes, TryGetError};
use messages::{NodeId, TunnelId};
use thiserror::Error;

use crate::{Envelope, EnvelopeError, LinkId};

/// How many bytes a [`Header`] has on the wire, version and kind included.
pub(super) const HEADER_LEN: usize = 2 + 1 + 16 + 5 * 8;

/// What each envelope costs beyond its own bytes.
const LENGTH_LEN: usize = 4;

const VERSION: u8 = 1;
const PAIR: u8 = 1;
const NOTICE: u8 = 2;
const ECHO: u8 = 3;

const PROBE: u8 = 0x01;
const LEAVING: u8 = 0x02;
const BATCH: u8 = 0x04;

/// How things stand between two nodes, as the sender of a message sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) from: NodeId,
    /// Everything below counts from the beginning of this term; see `pair`.
    pub(super) term: u64,
    /// The number of the last batch the sender sent, this one included.
    pub(super) number: u64,
    /// The number of the last batch it received.
    pub(super) received: u64,
    /// How many bytes of batches it received.
    pub(super) consumed: u64,
    /// How many bytes of batches the other may have under way to it.
    pub(super) budget: u64,
    /// An answer is wanted.
    pub(super) probe: bool,
    /// The sender leaves the fleet with this message.
    pub(super) leaving: bool,
    /// Envelopes follow.
    pub(super) batch: bool,
}

/// One message.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Pair(Header, Envelopes),
    /// A link of the receiver lost its tunnel.
    Notice(Notice),
    /// A node's message to itself, which proves that it is subscribed.
    Echo(u64),
}

/// Tells a node that one of its links was superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) tunnel: TunnelId,
    pub(super) link: LinkId,
    pub(super) by: u64,
}

/// Bytes that are no message.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum WireError {
    #[error("the message is cut short")]
    Short,
    #[error("message version {0} is unknown: are all nodes of one release?")]
    Version(u8),
    #[error("message kind {0} is unknown")]
    Kind(u8),
    #[error("a batch holds what is no envelope: {0}")]
    Envelope(#[from] EnvelopeError),
}

impl From<TryGetError> for WireError {
    fn from(_: TryGetError) -> Self {
        Self::Short
    }
}

impl Header {
    pub(super) fn encode(&self, out: &mut impl BufMut) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.put_u8(VERSION);
        out.put_u8(PAIR);
        out.put_u8(flag(self.probe, PROBE) | flag(self.leaving, LEAVING) | flag(self.batch, BATCH));
        out.put_slice(&self.from.0);
        out.put_u64(self.term);
        out.put_u64(self.number);
        out.put_u64(self.received);
        out.put_u64(self.consumed);
        out.put_u64(self.budget);
    }

    fn decode(bytes: &mut Bytes) -> Result<Self, WireError> {
        let flags = bytes.try_get_u8()?;
        let mut from = [0; 16];
        bytes.try_copy_to_slice(&mut from)?;
        Ok(Self {
            from: NodeId(from),
            term: bytes.try_get_u64()?,
            number: bytes.try_get_u64()?,
            received: bytes.try_get_u64()?,
            consumed: bytes.try_get_u64()?,
            budget: bytes.try_get_u64()?,
            probe: flags & PROBE != 0,
            leaving: flags & LEAVING != 0,
            batch: flags & BATCH != 0,
        })
    }
}

/// What an envelope adds to a batch, in bytes.
pub(super) fn cost(envelope: &Envelope) -> usize {
    LENGTH_LEN + envelope.encoded_len()
}

/// Appends an envelope to a batch. One too large for a wire never gets here: the queue has refused it.
pub(super) fn put_envelope(envelope: &Envelope, out: &mut impl BufMut) {
    let len = u32::try_from(envelope.encoded_len());
    out.put_u32(len.expect("an envelope has at most MAX_ENVELOPE bytes"));
    envelope
        .encode(out)
        .expect("an envelope that was queued can be encoded");
}

impl Notice {
    pub(super) fn encode(&self, out: &mut impl BufMut) {
        out.put_u8(VERSION);
        out.put_u8(NOTICE);
        out.put_slice(&self.tunnel.0);
        out.put_u64(self.link.0);
        out.put_u64(self.by);
    }
}

/// Appends a message to oneself.
pub(super) fn put_echo(nonce: u64, out: &mut impl BufMut) {
    out.put_u8(VERSION);
    out.put_u8(ECHO);
    out.put_u64(nonce);
}

impl Message {
    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, WireError> {
        let version = bytes.try_get_u8()?;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        match bytes.try_get_u8()? {
            PAIR => {
                let header = Header::decode(&mut bytes)?;
                let whole = bytes.len();
                Ok(Self::Pair(header, Envelopes { rest: bytes, whole }))
            }
            NOTICE => {
                let mut tunnel = [0; 32];
                bytes.try_copy_to_slice(&mut tunnel)?;
                Ok(Self::Notice(Notice {
                    tunnel: TunnelId(tunnel),
                    link: LinkId(bytes.try_get_u64()?),
                    by: bytes.try_get_u64()?,
                }))
            }
            ECHO => Ok(Self::Echo(bytes.try_get_u64()?)),
            unknown => Err(WireError::Kind(unknown)),
        }
    }
}

/// The envelopes of a batch, read one by one.
#[derive(Debug, PartialEq)]
pub(super) struct Envelopes {
    rest: Bytes,
    /// The length of the batch, in bytes.
    whole: usize,
}

impl Envelopes {
    /// How many bytes they have on the wire.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }
}

impl Iterator for Envelopes {
    type Item = Result<Envelope, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.rest.clear();
        }
        Some(read)
    }
}

impl Envelopes {
    fn read(&mut self) -> Result<Envelope, WireError> {
        let len = usize::try_from(self.rest.try_get_u32()?).unwrap_or(usize::MAX);
        if len > self.rest.len() {
            return Err(WireError::Short);
        }
        let bytes = self.rest.split_to(len);
        // A slice keeps its whole batch in memory for as long as it lives, and a small one may wait long for a slow
        // visitor: it is copied out, so that at most four times of what waits is kept.
        let bytes = if len < self.whole / 4 {
            Bytes::copy_from_slice(&bytes)
        } else {
            bytes
        };
        Ok(Envelope::decode(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{Content, ExchangeId, Nack};

    fn header() -> Header {
        Header {
            from: NodeId([0x11; 16]),
            term: 2,
            number: 3,
            received: 4,
            consumed: 5,
            budget: 6,
            probe: true,
            leaving: false,
            batch: true,
        }
    }

    fn envelope(exchange: u64) -> Envelope {
        Envelope {
            from: NodeId([0x11; 16]),
            exchange: ExchangeId(exchange),
            tunnel: TunnelId([0x22; 32]),
            content: Content::Nack(Nack::Busy),
        }
    }

    #[test]
    fn a_batch_is_read_back_in_order() {
        let mut out = BytesMut::new();
        header().encode(&mut out);
        assert_eq!(out.len(), HEADER_LEN);
        let sent: Vec<_> = (0..10).map(envelope).collect();
        for envelope in &sent {
            put_envelope(envelope, &mut out);
        }
        let expected = HEADER_LEN + sent.iter().map(cost).sum::<usize>();
        assert_eq!(out.len(), expected);
        let Ok(Message::Pair(read, envelopes)) = Message::decode(out.freeze()) else {
            panic!("it is a pair's message");
        };
        assert_eq!(read, header());
        let taken: Result<Vec<_>, _> = envelopes.collect();
        assert_eq!(taken, Ok(sent));
    }

    #[test]
    fn notices_and_echoes_are_read_back() {
        let notice = Notice {
            tunnel: TunnelId([1; 32]),
            link: LinkId(2),
            by: 3,
        };
        let mut out = BytesMut::new();
        notice.encode(&mut out);
        let read = Message::decode(out.freeze());
        assert_eq!(read, Ok(Message::Notice(notice)));
        let mut out = BytesMut::new();
        put_echo(9, &mut out);
        assert_eq!(Message::decode(out.freeze()), Ok(Message::Echo(9)));
    }

    #[test]
    fn what_is_cut_or_foreign_is_refused() {
        let mut out = BytesMut::new();
        header().encode(&mut out);
        put_envelope(&envelope(1), &mut out);
        let whole = out.freeze();
        for len in 0..HEADER_LEN {
            assert_eq!(Message::decode(whole.slice(..len)), Err(WireError::Short));
        }
        for len in HEADER_LEN + 1..whole.len() {
            let Ok(Message::Pair(_, mut envelopes)) = Message::decode(whole.slice(..len)) else {
                panic!("its header is there");
            };
            assert_eq!(envelopes.next(), Some(Err(WireError::Short)));
            assert_eq!(envelopes.next(), None);
        }
        for (bytes, error) in [
            (&[2, 1][..], WireError::Version(2)),
            (&[1, 9][..], WireError::Kind(9)),
        ] {
            assert_eq!(Message::decode(Bytes::copy_from_slice(bytes)), Err(error));
        }
    }
}
