//! What a frame says: the one place where a tag meets the decoder of its payload.

use bytes::Bytes;
use http::HeaderMap;

use crate::control::{self, Disconnect, Hello, Notice, RegistrationResponse};
use crate::credit::MAX_CREDIT;
use crate::error::DecodeError;
use crate::frame::{Flags, Frame};
use crate::head::{RequestHead, ResponseHead};
use crate::headers;
use crate::reset::Reset;
use crate::socket::Teardown;
use crate::tag::Tag;

/// A decoded frame. Bodies and header values share the frame's memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Server's first word.
    Hello(Hello),
    /// A compact JWS, not yet verified.
    RegistrationRequest(Bytes),
    /// Granted or refused.
    RegistrationResponse(RegistrationResponse),
    /// Opens a stream.
    HttpRequest {
        /// The request head.
        head: RequestHead,
        /// The first bytes of the body, at most [`crate::MAX_INLINE_BODY`].
        body: Bytes,
        /// Whether the request is complete with this frame.
        end: bool,
    },
    /// A response head.
    HttpResponse {
        /// Interim or final.
        head: ResponseHead,
        /// The first bytes of the body, at most [`crate::MAX_INLINE_BODY`].
        body: Bytes,
        /// Whether the response is complete with this frame.
        end: bool,
    },
    /// Bytes of a body.
    Body {
        /// At most [`crate::MAX_BODY_FRAME`]; may be empty.
        data: Bytes,
        /// Whether they are the last.
        end: bool,
    },
    /// The trailers that end a body.
    Trailers(HeaderMap),
    /// Opens a stream that is to become a WebSocket.
    WsRequest(RequestHead),
    /// The target accepted: status 101, and the headers of its answer.
    WsResponse(ResponseHead),
    /// One WebSocket message, or a fragment of one.
    WsMessage {
        /// At most [`crate::MAX_BODY_FRAME`]; may be empty. Text is valid UTF-8 over the whole message.
        data: Bytes,
        /// Text, not binary.
        text: bool,
        /// Further fragments of this message follow.
        more: bool,
    },
    /// The sender's side of the WebSocket is over.
    WsTeardown(Teardown),
    /// So many more bytes may be sent: 1 to 2³¹ − 1.
    Window(u32),
    /// The stream is over.
    Reset(Reset),
    /// Are you there?
    Ping([u8; 8]),
    /// The bytes of the ping.
    Pong([u8; 8]),
    /// The sender is leaving.
    Disconnect(Disconnect),
    /// For the agent's owner.
    Notice(Notice),
}

impl Message {
    /// Reads the payload of a frame that [`Frame::decode`] has let through.
    ///
    /// # Errors
    /// [`DecodeError`] names the broken rule. On a stream ([`Tag::on_stream`]) it costs the stream, else the link;
    /// [`DecodeError::Unknown`] costs nothing, the frame is skipped.
    pub fn decode(frame: &Frame) -> Result<Self, DecodeError> {
        let tag = frame.tag().ok_or(DecodeError::Unknown(frame.tag))?;
        let payload = &frame.payload;
        let end = frame.flags.contains(Flags::END);
        Ok(match tag {
            Tag::Hello => Self::Hello(control::decode(tag, payload)?),
            Tag::RegistrationRequest => Self::RegistrationRequest(compact_jws(payload)?),
            Tag::RegistrationResponse => Self::RegistrationResponse(control::decode(tag, payload)?),
            Tag::HttpRequest => {
                let (head, body) = RequestHead::decode(payload)?;
                Self::HttpRequest { head, body, end }
            }
            Tag::HttpResponse => {
                let (head, body) = ResponseHead::decode(payload, end)?;
                Self::HttpResponse { head, body, end }
            }
            Tag::Body if frame.flags.contains(Flags::TRAILERS) => {
                Self::Trailers(headers::decode_trailers(payload)?)
            }
            Tag::Body => Self::Body {
                data: payload.clone(),
                end,
            },
            Tag::Window => Self::Window(window(payload)?),
            Tag::Reset => Self::Reset(Reset::decode(payload)?),
            Tag::Ping => Self::Ping(exactly(tag, payload)?),
            Tag::Pong => Self::Pong(exactly(tag, payload)?),
            Tag::Disconnect => Self::Disconnect(control::decode(tag, payload)?),
            Tag::Notice => Self::Notice(control::decode(tag, payload)?),
            Tag::WsRequest => Self::WsRequest(bodiless(RequestHead::decode(payload)?)?),
            Tag::WsResponse => {
                Self::WsResponse(bodiless(ResponseHead::decode(payload, end)?)?.accepted()?)
            }
            Tag::WsMessage => Self::WsMessage {
                data: payload.clone(),
                text: frame.flags.contains(Flags::TEXT),
                more: frame.flags.contains(Flags::MORE),
            },
            Tag::WsTeardown => Self::WsTeardown(Teardown::decode(payload)?),
        })
    }
}

/// The messages of an upgrade carry no body.
fn bodiless<H>((head, body): (H, Bytes)) -> Result<H, DecodeError> {
    if body.is_empty() {
        return Ok(head);
    }
    Err(DecodeError::UpgradeBody { len: body.len() })
}

/// Only the alphabet is checked: enough to log it and to hand it on, all else is identity's.
fn compact_jws(payload: &Bytes) -> Result<Bytes, DecodeError> {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if payload.is_empty() || !payload.iter().all(legal) {
        return Err(DecodeError::RegistrationAlphabet);
    }
    Ok(payload.clone())
}

fn window(payload: &Bytes) -> Result<u32, DecodeError> {
    let credit = u32::from_be_bytes(exactly(Tag::Window, payload)?);
    if (1..=MAX_CREDIT).contains(&credit) {
        return Ok(credit);
    }
    Err(DecodeError::WindowIncrement(credit))
}

fn exactly<const N: usize>(tag: Tag, payload: &Bytes) -> Result<[u8; N], DecodeError> {
    payload
        .as_ref()
        .try_into()
        .map_err(|_| DecodeError::Length {
            tag,
            expected: N,
            got: payload.len(),
        })
}
