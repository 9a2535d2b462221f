//! How a WebSocket's side of a stream ends.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::frame::{Flags, Frame};
use crate::ids::StreamId;
use crate::tag::Tag;
use crate::text;
use crate::wire::Reader;

/// The longest reason of a close frame, in bytes (RFC 6455, 5.5: 125 bytes with the code).
pub const MAX_CLOSE_REASON: usize = 123;

/// On the wire, the code of a connection that was lost.
const LOST: u16 = 1006;
/// On the wire, the code of a close frame without one.
const NO_CODE: u16 = 1005;

/// The end of one side of a WebSocket. RFC 6455 keeps 1005 and 1006 from ever being sent in a close frame, which makes them
/// free to stand for its absence here, as they do in every API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Teardown {
    /// A close frame came.
    Close {
        /// Its code; `None` for a frame without one.
        code: Option<u16>,
        /// Its reason, at most [`MAX_CLOSE_REASON`] bytes.
        reason: String,
    },
    /// The connection ended without one.
    Lost,
}

impl Teardown {
    pub(crate) fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let code = reader.u16("close code")?;
        let reason = reader.remainder();
        if reason.len() > MAX_CLOSE_REASON {
            return Err(DecodeError::ReasonTooLong { len: reason.len() });
        }
        let reason = str::from_utf8(&reason).map_err(|_| DecodeError::ReasonUtf8)?;
        match code {
            LOST => Ok(Self::Lost),
            NO_CODE => Ok(Self::Close {
                code: None,
                reason: String::new(),
            }),
            1000..=4999 => Ok(Self::Close {
                code: Some(code),
                reason: reason.to_owned(),
            }),
            other => Err(DecodeError::CloseCode(other)),
        }
    }

    fn to_payload(&self) -> Bytes {
        let (code, reason) = match self {
            Self::Lost => (LOST, ""),
            Self::Close { code: None, .. } => (NO_CODE, ""),
            Self::Close {
                code: Some(code),
                reason,
            } => (*code, reason.as_str()),
        };
        let mut out = Vec::with_capacity(2_usize.saturating_add(MAX_CLOSE_REASON));
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(text::cut(reason.to_owned(), MAX_CLOSE_REASON).as_bytes());
        Bytes::from(out)
    }
}

impl Frame {
    /// One WebSocket message or a fragment of one, at most [`crate::MAX_BODY_FRAME`] bytes.
    pub fn ws_message(stream: StreamId, data: Bytes, text: bool, more: bool) -> Self {
        let flag = |on: bool, flag: Flags| if on { flag } else { Flags::NONE };
        let flags = flag(text, Flags::TEXT) | flag(more, Flags::MORE);
        Self::new(Tag::WsMessage, flags, stream, data)
    }

    /// Ends the sender's side of a WebSocket.
    pub fn ws_teardown(stream: StreamId, teardown: &Teardown) -> Self {
        Self::new(Tag::WsTeardown, Flags::END, stream, teardown.to_payload())
    }
}
