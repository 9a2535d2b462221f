//! The header of a WebSocket frame (RFC 6455 section 5.2), from bytes and to bytes, with the rules that can be judged by the
//! header alone. Pure: which role may mask, and what a fragment belongs to, is the reader's to know.

use super::mask::Key;

/// The longest header in bytes: two, a 64-bit length, a key.
pub(super) const MAX_HEADER: usize = 14;

/// The longest payload of a control frame, bytes (section 5.5).
pub(super) const MAX_CONTROL: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// What a frame is. Text has no place on a link and is refused as it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Binary,
    Close,
    Ping,
    Pong,
}

/// Everything that precedes a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether the message ends with this frame.
    pub fin: bool,
    pub opcode: Opcode,
    /// `None` when the mask bit is not set; the key of zeros masks nothing but is a key.
    pub key: Option<Key>,
    /// Of the payload, bytes.
    pub len: u64,
}

/// A rule of RFC 6455 that a peer broke. Each of them ends the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("a reserved bit is set, and no extension was agreed on (RFC 6455 section 5.2)")]
    ReservedBits,
    #[error("opcode {0:#x} is reserved (RFC 6455 section 5.2)")]
    Opcode(u8),
    #[error("a text message; links carry binary ones")]
    Text,
    #[error("a control frame in fragments (RFC 6455 section 5.5)")]
    FragmentedControl,
    #[error("a control frame of more than 125 bytes (RFC 6455 section 5.5)")]
    LongControl,
    #[error("a length that is not in its shortest form (RFC 6455 section 5.2)")]
    LongLength,
    #[error("a length with its highest bit set (RFC 6455 section 5.2)")]
    NegativeLength,
    #[error("a frame from a client that is not masked (RFC 6455 section 5.1)")]
    Unmasked,
    #[error("a frame from a server that is masked (RFC 6455 section 5.1)")]
    Masked,
    #[error("a continuation of no message (RFC 6455 section 5.4)")]
    LooseContinuation,
    #[error("a new message in the middle of another (RFC 6455 section 5.4)")]
    Interleaved,
    #[error("a close frame whose body is no status code and text (RFC 6455 section 5.5.1)")]
    CloseBody,
    #[error("the connection ended without a closing handshake (RFC 6455 section 7.1.1)")]
    CutOff,
}

impl Header {
    /// Reads the header at the front of `bytes`, and says how long it is; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The first rule that is broken, as early as it can be seen.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let fin = first & FIN != 0;
        if first & RESERVED != 0 {
            return Err(Violation::ReservedBits);
        }
        let opcode = Opcode::decode(first & 0x0f)?;
        let short = second & !MASKED;
        if opcode.is_control() {
            if !fin {
                return Err(Violation::FragmentedControl);
            }
            if usize::from(short) > MAX_CONTROL {
                return Err(Violation::LongControl);
            }
        }
        let Some((len, rest)) = decode_len(short, rest)? else {
            return Ok(None);
        };
        let (key, rest) = if second & MASKED == 0 {
            (None, rest)
        } else if let Some((key, rest)) = rest.split_first_chunk() {
            (Some(Key::new(*key)), rest)
        } else {
            return Ok(None);
        };
        let header = Self {
            fin,
            opcode,
            key,
            len,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// Writes the header to the front of `out`, lengths in their shortest form, and says how long it became.
    pub(super) fn encode(&self, out: &mut [u8; MAX_HEADER]) -> usize {
        let mask = if self.key.is_some() { MASKED } else { 0 };
        out[0] = if self.fin { FIN } else { 0 } | self.opcode.encode();
        let mut at = match (u8::try_from(self.len), u16::try_from(self.len)) {
            (Ok(len @ ..=125), _) => {
                out[1] = mask | len;
                2
            }
            (_, Ok(len)) => {
                out[1] = mask | 126;
                out[2..4].copy_from_slice(&len.to_be_bytes());
                4
            }
            _ => {
                out[1] = mask | 127;
                out[2..10].copy_from_slice(&self.len.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.key {
            out[at..at + 4].copy_from_slice(&key.to_bytes());
            at += 4;
        }
        at
    }
}

/// The length that the seven bits `short` begin; `None` when bytes of it are missing.
fn decode_len(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    match short {
        ..=125 => Ok(Some((short.into(), rest))),
        126 => {
            let Some((len, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            match u16::from_be_bytes(*len) {
                ..=125 => Err(Violation::LongLength),
                len => Ok(Some((len.into(), rest))),
            }
        }
        _ => {
            let Some((len, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            match u64::from_be_bytes(*len) {
                ..=0xffff => Err(Violation::LongLength),
                len if len >> 63 != 0 => Err(Violation::NegativeLength),
                len => Ok(Some((len, rest))),
            }
        }
    }
}

impl Opcode {
    fn decode(bits: u8) -> Result<Self, Violation> {
        match bits {
            0x0 => Ok(Self::Continuation),
            0x1 => Err(Violation::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xa => Ok(Self::Pong),
            other => Err(Violation::Opcode(other)),
        }
    }

    fn encode(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

#[cfg(test)]
mod tests;
