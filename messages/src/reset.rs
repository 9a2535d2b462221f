//! Reset: one stream is over, and why.

use std::fmt;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::text;
use crate::wire::Reader;

/// Longest reason in bytes of UTF-8.
pub const MAX_REASON: usize = 256;

/// Ends one stream in both directions. The other side answers with a Reset of its own, or has already sent its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// What happened, for machines.
    pub code: ResetCode,
    /// What happened, for logs; at most [`MAX_REASON`] bytes.
    pub reason: String,
}

/// Why a stream ends. Two bytes on the wire; values this version does not know are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResetCode {
    /// Nothing went wrong: acknowledges the other side's Reset, or says that the rest of a body is not wanted.
    Done,
    /// The visitor went away.
    Cancelled,
    /// A body or message is above the configured limit.
    TooLarge,
    /// The agent cannot connect to its target, or lost the connection.
    TargetUnreachable,
    /// The target gave no response head in time.
    TimedOut,
    /// The other side sent more than its credit.
    Overrun,
    /// The other side broke a rule of the stream.
    Protocol,
    /// The link or the node behind it is gone.
    LinkLost,
    /// The target's response is not valid HTTP.
    BadResponse,
    /// No room: streams or bytes of the link are used up.
    Busy,
    /// A fault of the sender itself.
    Internal,
    /// Over a rate.
    RateLimited,
    /// No progress for too long.
    Stalled,
    /// A code of a later version.
    Unknown(u16),
}

impl ResetCode {
    /// The number on the wire.
    pub const fn as_u16(self) -> u16 {
        match self {
            Self::Done => 0,
            Self::Cancelled => 1,
            Self::TooLarge => 2,
            Self::TargetUnreachable => 3,
            Self::TimedOut => 4,
            Self::Overrun => 5,
            Self::Protocol => 6,
            Self::LinkLost => 7,
            Self::BadResponse => 8,
            Self::Busy => 9,
            Self::Internal => 10,
            Self::RateLimited => 11,
            Self::Stalled => 12,
            Self::Unknown(code) => code,
        }
    }

    /// The code of this number.
    pub const fn from_u16(code: u16) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::Cancelled,
            2 => Self::TooLarge,
            3 => Self::TargetUnreachable,
            4 => Self::TimedOut,
            5 => Self::Overrun,
            6 => Self::Protocol,
            7 => Self::LinkLost,
            8 => Self::BadResponse,
            9 => Self::Busy,
            10 => Self::Internal,
            11 => Self::RateLimited,
            12 => Self::Stalled,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::TooLarge => "too large",
            Self::TargetUnreachable => "target unreachable",
            Self::TimedOut => "timed out",
            Self::Overrun => "credit overrun",
            Self::Protocol => "protocol error",
            Self::LinkLost => "link lost",
            Self::BadResponse => "bad response",
            Self::Busy => "busy",
            Self::Internal => "internal error",
            Self::RateLimited => "rate limited",
            Self::Stalled => "stalled",
            Self::Unknown(code) => return write!(f, "code {code}"),
        })
    }
}

impl Reset {
    /// A reset with a reason, cut to [`MAX_REASON`] bytes.
    pub fn new(code: ResetCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: text::cut(reason.into(), MAX_REASON),
        }
    }

    /// Code and reason as bytes; a reason that grew beyond the limit since is cut here.
    pub(crate) fn to_payload(&self) -> Bytes {
        let reason_len = self.reason.floor_char_boundary(MAX_REASON);
        let mut out = Vec::with_capacity(reason_len.saturating_add(2));
        out.extend_from_slice(&self.code.as_u16().to_be_bytes());
        out.extend(self.reason.bytes().take(reason_len));
        Bytes::from(out)
    }

    pub(crate) fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let code = ResetCode::from_u16(reader.u16("reset code")?);
        let reason = reader.remainder();
        if reason.len() > MAX_REASON {
            return Err(DecodeError::ReasonTooLong { len: reason.len() });
        }
        let reason = str::from_utf8(&reason).map_err(|_| DecodeError::ReasonUtf8)?;
        Ok(Self {
            code,
            reason: reason.to_owned(),
        })
    }
}

impl From<ResetCode> for Reset {
    fn from(code: ResetCode) -> Self {
        Self {
            code,
            reason: String::new(),
        }
    }
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_empty() {
            return self.code.fmt(f);
        }
        write!(f, "{}: {}", self.code, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_number() {
        for number in 0..=u16::MAX {
            assert_eq!(ResetCode::from_u16(number).as_u16(), number);
        }
        assert_eq!(ResetCode::from_u16(12), ResetCode::Stalled);
        assert_eq!(ResetCode::from_u16(13), ResetCode::Unknown(13));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reset = Reset::new(ResetCode::Internal, "é".repeat(200));
        assert_eq!(reset.reason, "é".repeat(128));
        let odd = Reset::new(ResetCode::Internal, format!("x{}", "é".repeat(200)));
        assert_eq!(odd.reason.len(), 255);

        let grown = Reset {
            code: ResetCode::Internal,
            reason: format!("x{}", "é".repeat(200)),
        };
        assert_eq!(Reset::decode(&grown.to_payload()), Ok(odd));
    }

    #[test]
    fn a_reason_from_a_peer_is_refused_when_long_or_no_text() {
        let payload = |reason: &[u8]| Bytes::from([&[0, 1], reason].concat());
        assert_eq!(
            Reset::decode(&payload(&[b'x'; 257])),
            Err(DecodeError::ReasonTooLong { len: 257 })
        );
        assert_eq!(
            Reset::decode(&payload(&[0xff])),
            Err(DecodeError::ReasonUtf8)
        );
    }
}
