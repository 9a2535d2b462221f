//! The one table of tags: what the first byte of a frame may be, how long its payload may be, and which lane it takes.
//!
//! A tag that is retired stays in the table with the reason, so that its number is never given out again. None is yet.

use crate::frame::Flags;
use crate::head::{HEAD_LEN_FIELD, MAX_HEAD, MAX_INLINE_BODY};
use crate::reset::MAX_REASON;

/// Longest payload of one body frame, in bytes. Long enough that the 6-byte header and the credit overhead vanish, short
/// enough that a control frame behind it waits for little.
pub const MAX_BODY_FRAME: usize = 64 * 1024;

/// Longest compact JWS in a registration request, in bytes.
pub const MAX_REGISTRATION: usize = 8 * 1024;

/// Longest JSON of a Hello or a registration response, in bytes.
const MAX_CONTROL: usize = 8 * 1024;

/// Longest JSON of a Disconnect or a Notice: room for a full text in which every byte is escaped.
const MAX_DISCONNECT: usize = 4 * 1024;

/// What a frame is. The value is the first byte on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tag {
    /// Server's first word on a link. JSON.
    Hello = 0x01,
    /// The agent's signed answer to Hello: a compact JWS.
    RegistrationRequest = 0x02,
    /// Granted or refused. JSON.
    RegistrationResponse = 0x03,
    /// Opens a stream: request head, perhaps a small body.
    HttpRequest = 0x10,
    /// Interim or final response head, perhaps a small body.
    HttpResponse = 0x11,
    /// Bytes of a body, or the trailers that end it.
    Body = 0x12,
    /// Opens a stream with a WebSocket's upgrade request.
    WsRequest = 0x18,
    /// The upgrade was accepted; a refusal is an `HttpResponse`.
    WsResponse = 0x19,
    /// One WebSocket message, or a fragment of one.
    WsMessage = 0x1a,
    /// The WebSocket closed, with code and reason, or was lost.
    WsTeardown = 0x1b,
    /// Credit for one stream.
    Window = 0x20,
    /// One stream is over, with a code.
    Reset = 0x21,
    /// Are you there?
    Ping = 0x30,
    /// I am; echoes the ping's bytes.
    Pong = 0x31,
    /// The sender is leaving. JSON.
    Disconnect = 0x32,
    /// Something that the agent's owner should know. JSON.
    Notice = 0x33,
}

impl Tag {
    /// Every tag, in the order of their values.
    pub const ALL: [Self; 16] = [
        Self::Hello,
        Self::RegistrationRequest,
        Self::RegistrationResponse,
        Self::HttpRequest,
        Self::HttpResponse,
        Self::Body,
        Self::WsRequest,
        Self::WsResponse,
        Self::WsMessage,
        Self::WsTeardown,
        Self::Window,
        Self::Reset,
        Self::Ping,
        Self::Pong,
        Self::Disconnect,
        Self::Notice,
    ];

    /// The tag of this value; `None` for a value nobody has been given.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0x01 => Some(Self::Hello),
            0x02 => Some(Self::RegistrationRequest),
            0x03 => Some(Self::RegistrationResponse),
            0x10 => Some(Self::HttpRequest),
            0x11 => Some(Self::HttpResponse),
            0x12 => Some(Self::Body),
            0x18 => Some(Self::WsRequest),
            0x19 => Some(Self::WsResponse),
            0x1a => Some(Self::WsMessage),
            0x1b => Some(Self::WsTeardown),
            0x20 => Some(Self::Window),
            0x21 => Some(Self::Reset),
            0x30 => Some(Self::Ping),
            0x31 => Some(Self::Pong),
            0x32 => Some(Self::Disconnect),
            0x33 => Some(Self::Notice),
            _ => None,
        }
    }

    /// The byte on the wire.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// The longest legal payload, in bytes. Checked before anything is read from it.
    pub const fn max_payload(self) -> usize {
        match self {
            Self::Hello | Self::RegistrationResponse => MAX_CONTROL,
            Self::RegistrationRequest => MAX_REGISTRATION,
            Self::HttpRequest | Self::HttpResponse | Self::WsRequest | Self::WsResponse => {
                MAX_HEAD_PAYLOAD
            }
            Self::Body | Self::WsMessage => MAX_BODY_FRAME,
            Self::WsTeardown | Self::Reset => MAX_CODE_AND_REASON,
            Self::Window => 4,
            Self::Ping | Self::Pong => 8,
            Self::Disconnect | Self::Notice => MAX_DISCONNECT,
        }
    }

    /// Whether the frame takes the reserved lane ahead of data, so that credit and liveness never wait behind bodies.
    pub const fn is_control(self) -> bool {
        match self {
            Self::Window | Self::Reset | Self::Ping | Self::Pong | Self::Disconnect => true,
            Self::Hello
            | Self::RegistrationRequest
            | Self::RegistrationResponse
            | Self::HttpRequest
            | Self::HttpResponse
            | Self::Body
            | Self::WsRequest
            | Self::WsResponse
            | Self::WsMessage
            | Self::WsTeardown
            | Self::Notice => false,
        }
    }

    /// What a frame of this tag is charged for.
    pub(crate) const fn charge(self) -> Charge {
        match self {
            Self::Body | Self::WsMessage => Charge::Payload,
            Self::HttpRequest | Self::HttpResponse => Charge::InlineBody,
            Self::Hello
            | Self::RegistrationRequest
            | Self::RegistrationResponse
            | Self::WsRequest
            | Self::WsResponse
            | Self::WsTeardown
            | Self::Window
            | Self::Reset
            | Self::Ping
            | Self::Pong
            | Self::Disconnect
            | Self::Notice => Charge::Nothing,
        }
    }

    /// Whether a frame of this tag with these flags ends the sender's side of its stream. A teardown does in any case: it can
    /// mean nothing else, and who forgets its flag must not leave a stream behind that never ends.
    pub(crate) const fn ends(self, flags: Flags) -> bool {
        match self {
            Self::Body => flags.contains(Flags::END) || flags.contains(Flags::TRAILERS),
            Self::HttpRequest | Self::HttpResponse => flags.contains(Flags::END),
            Self::WsTeardown => true,
            Self::Hello
            | Self::RegistrationRequest
            | Self::RegistrationResponse
            | Self::WsRequest
            | Self::WsResponse
            | Self::WsMessage
            | Self::Window
            | Self::Reset
            | Self::Ping
            | Self::Pong
            | Self::Disconnect
            | Self::Notice => false,
        }
    }

    /// Whether the frame belongs to a stream (id above 0) rather than to the link (id 0).
    pub const fn on_stream(self) -> bool {
        match self {
            Self::HttpRequest
            | Self::HttpResponse
            | Self::Body
            | Self::WsRequest
            | Self::WsResponse
            | Self::WsMessage
            | Self::WsTeardown
            | Self::Window
            | Self::Reset => true,
            Self::Hello
            | Self::RegistrationRequest
            | Self::RegistrationResponse
            | Self::Ping
            | Self::Pong
            | Self::Disconnect
            | Self::Notice => false,
        }
    }
}

/// Which part of a frame takes credit from its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charge {
    /// None: the frame is free.
    Nothing,
    /// The whole payload, even when it is empty.
    Payload,
    /// What follows the head, if anything does.
    InlineBody,
}

/// Head length field, head and inline body together.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "constants, added at compile time"
)]
pub(crate) const MAX_HEAD_PAYLOAD: usize = HEAD_LEN_FIELD + MAX_HEAD + MAX_INLINE_BODY;

/// A two-byte code and a reason.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "constants, added at compile time"
)]
const MAX_CODE_AND_REASON: usize = 2 + MAX_REASON;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_is_found_by_its_value_and_no_other_value_is() {
        let found: Vec<Tag> = (0..=u8::MAX).filter_map(Tag::from_u8).collect();
        assert_eq!(found, Tag::ALL);
    }

    #[test]
    fn the_specification_lists_every_tag_with_its_limit() {
        let specification = include_str!("../SPEC.md");
        for tag in Tag::ALL {
            let value = tag.as_u8();
            let start = format!("| `{value:#04x}` | {tag:?} |");
            let row = specification.lines().find(|line| line.starts_with(&start));
            let end = format!("| {} |", tag.max_payload());
            assert!(
                row.is_some_and(|row| row.ends_with(&end)),
                "{start} … {end}"
            );
        }
    }

    #[test]
    fn control_frames_are_small_enough_to_overtake_data() {
        for tag in Tag::ALL.into_iter().filter(|tag| tag.is_control()) {
            assert!(tag.max_payload() <= MAX_DISCONNECT, "{tag:?}");
        }
    }
}
