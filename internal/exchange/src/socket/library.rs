//! The WebSocket library behind the [`splice`](super::splice): tungstenite's
//! messages as [`Said`], its errors as close codes.
//!
//! The two halves of Adit meet WebSockets only here and on the link itself;
//! permessage-deflate is not offered and not accepted, as the library has none.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::{CapacityError, ProtocolError},
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use super::{FRAGMENT, Said, SocketError};

pub use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// What one read takes at most; held only while a socket lives, and a message
/// grows beyond it as it comes.
const READ_BUFFER: usize = 8 * 1024;

/// The largest message when the operator lifts the limit: it is collected in
/// memory before it is cut into fragments.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// A WebSocket after its handshake.
pub struct Socket<IO> {
    inner: WebSocketStream<IO>,
    /// The message being sent has begun with an earlier fragment.
    continuing: bool,
}

impl<IO> std::fmt::Debug for Socket<IO> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Socket<IO> {
    /// The server's end, on a connection that has been upgraded. Messages over
    /// `max` bytes are refused with 1009; `None` is [`MAX_MESSAGE`].
    pub async fn server(io: IO, max: Option<u64>) -> Self {
        Self::new(io, Vec::new(), Role::Server, max).await
    }

    /// The client's end.
    pub async fn client(io: IO, max: Option<u64>) -> Self {
        Self::new(io, Vec::new(), Role::Client, max).await
    }

    async fn new(io: IO, read: Vec<u8>, role: Role, max: Option<u64>) -> Self {
        let max = max
            .and_then(|max| usize::try_from(max).ok())
            .map_or(MAX_MESSAGE, |max| max.min(MAX_MESSAGE));
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(FRAGMENT)
            .max_write_buffer_size(MAX_MESSAGE + FRAGMENT)
            .max_message_size(Some(max))
            .max_frame_size(Some(max));
        let inner = WebSocketStream::from_partially_read(io, read, role, Some(config)).await;
        Self {
            inner,
            continuing: false,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream for Socket<IO> {
    type Item = Result<Said, SocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let said = match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => message(text.into(), true),
                Some(Ok(Message::Binary(data))) => message(data, false),
                Some(Ok(Message::Close(frame))) => closed(frame),
                // Answered by the library; they belong to this hop.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(broken(&error)))),
            };
            return Poll::Ready(Some(Ok(said)));
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sink<Said> for Socket<IO> {
    type Error = SocketError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Pin::new(&mut self.inner)
            .poll_ready(cx)
            .map_err(|error| broken(&error))
    }

    fn start_send(mut self: Pin<&mut Self>, said: Said) -> Result<(), SocketError> {
        let message = match said {
            Said::Message { data, text, more } => {
                let first = !std::mem::replace(&mut self.continuing, more);
                outgoing(data, text, first, more)?
            }
            Said::Close { code, reason } => Message::Close(code.map(|code| CloseFrame {
                code: CloseCode::from(code),
                reason: reason.into(),
            })),
        };
        Pin::new(&mut self.inner)
            .start_send(message)
            .map_err(|error| broken(&error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Pin::new(&mut self.inner)
            .poll_flush(cx)
            .map_err(|error| broken(&error))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Pin::new(&mut self.inner)
            .poll_close(cx)
            .map_err(|error| broken(&error))
    }
}

fn message(data: Bytes, text: bool) -> Said {
    Said::Message {
        data,
        text,
        more: false,
    }
}

fn closed(frame: Option<CloseFrame>) -> Said {
    match frame {
        Some(frame) => Said::Close {
            code: Some(frame.code.into()),
            reason: frame.reason.as_str().to_owned(),
        },
        None => Said::Close {
            code: None,
            reason: String::new(),
        },
    }
}

/// A whole message as such, so that its text is checked once more before it
/// leaves; a fragment as the frame it is.
fn outgoing(data: Bytes, text: bool, first: bool, more: bool) -> Result<Message, SocketError> {
    if first && !more {
        return if text {
            whole_text(data)
        } else {
            Ok(Message::Binary(data))
        };
    }
    let opcode = match (first, text) {
        (false, _) => Data::Continue,
        (true, true) => Data::Text,
        (true, false) => Data::Binary,
    };
    Ok(Message::Frame(Frame::message(
        data,
        OpCode::Data(opcode),
        !more,
    )))
}

fn whole_text(data: Bytes) -> Result<Message, SocketError> {
    Utf8Bytes::try_from(data)
        .map(Message::Text)
        .map_err(|_| SocketError::Broken {
            code: 1007,
            reason: "a text message is not UTF-8",
        })
}

/// RFC 6455, 7.4.1.
fn broken(error: &Error) -> SocketError {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => SocketError::Broken {
            code: 1009,
            reason: "the message is larger than this tunnel carries",
        },
        Error::Utf8(_) => SocketError::Broken {
            code: 1007,
            reason: "a text message is not UTF-8",
        },
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => SocketError::Lost,
        Error::Protocol(_) | Error::Capacity(_) => SocketError::Broken {
            code: 1002,
            reason: "a frame breaks the WebSocket protocol",
        },
        _ => SocketError::Lost,
    }
}
