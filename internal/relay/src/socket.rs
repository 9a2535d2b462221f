//! The WebSocket library: its messages as events, its errors as close codes.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::config::Limits;
use crate::event::Event;
use crate::step::StepError;

/// What one read takes at most; a message grows beyond it as it comes.
const READ_BUFFER: usize = 8 * 1024;

/// What is collected before it is written.
const WRITE_BUFFER: usize = 16 * 1024;

/// How long the other side may take to answer a close frame (RFC 6455, 7.1.1).
const CLOSE: Duration = Duration::from_secs(5);

/// A close frame has at most 125 bytes, two of which are the code (RFC 6455, 5.5).
const REASON: usize = 123;

/// A byte stream both ways.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A WebSocket over whatever there is.
pub(crate) type Socket = WebSocketStream<Box<dyn Io>>;
pub(crate) type In = SplitStream<Socket>;
pub(crate) type Out = SplitSink<Socket, Message>;

/// How a WebSocket ended, as its reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// By a close frame, perhaps an empty one.
    Closed(Option<CloseFrame>),
    /// Without one.
    Lost(String),
    /// It broke a rule, and is to be told so.
    Broken(CloseFrame),
}

impl End {
    /// For who waits for an answer.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Closed(_) => "the server closed the connection".to_owned(),
            Self::Lost(why) => why.clone(),
            Self::Broken(frame) => frame.reason.to_string(),
        }
    }
}

/// The library's limits. Its write buffer holds the largest message that a pipeline may make besides what waits to be
/// written, because it takes a message only when the one before was written.
pub(crate) fn config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(2 * WRITE_BUFFER + most(limits))
        .max_message_size(Some(limits.message))
        .max_frame_size(Some(limits.message))
}

/// The server's end of a WebSocket whose handshake is over.
pub(crate) async fn server(io: Box<dyn Io>, limits: &Limits) -> Socket {
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config(limits))).await
}

/// The most that a pipeline may make of one message: Base64 adds a third.
fn most(limits: &Limits) -> usize {
    limits.message.saturating_mul(2)
}

/// An event as the message that leaves.
pub(crate) fn message(event: Event, limits: &Limits) -> Result<Message, StepError> {
    let binary = event.binary;
    let data = event.payload.into_bytes();
    if data.len() > most(limits) {
        return Err(StepError::TooLarge(format!(
            "it became {} bytes, and may be {}",
            data.len(),
            most(limits)
        )));
    }
    if binary {
        return Ok(Message::Binary(data));
    }
    let text = Utf8Bytes::try_from(data).map_err(|_| {
        StepError::Invalid(
            "Invalid websocket message: Invalid utf8 data for text message".to_owned(),
        )
    })?;
    Ok(Message::Text(text))
}

/// The event in a message, if it is none of the protocol's own.
pub(crate) fn event(message: Message) -> Option<Event> {
    match message {
        Message::Text(text) => Some(Event::bytes(Bytes::from(text), false)),
        Message::Binary(data) => Some(Event::bytes(data, true)),
        // Pings are answered by the library; they belong to this hop.
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Close(_) => None,
    }
}

/// The next event. Cancel safe.
pub(crate) async fn hear(from: &mut In) -> Result<Event, End> {
    loop {
        if let Some(event) = event(frame(from.next().await)?) {
            return Ok(event);
        }
    }
}

/// What was read, or how the socket ended.
pub(crate) fn frame(read: Option<Result<Message, Error>>) -> Result<Message, End> {
    match read {
        Some(Ok(Message::Close(frame))) => Err(End::Closed(frame)),
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(ended(&error)),
        None => Err(End::Lost("the connection was closed".to_owned())),
    }
}

fn ended(error: &Error) -> End {
    use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake as Reset;
    match error {
        Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => End::Broken(closing(
            1009,
            format!("a message may have {max_size} bytes"),
        )),
        Error::Utf8(_) => End::Broken(closing(1007, "a text message is not UTF-8")),
        Error::Protocol(Reset) => End::Lost(error.to_string()),
        Error::Protocol(_) | Error::Capacity(_) => {
            End::Broken(closing(1002, "a frame breaks the WebSocket protocol"))
        }
        _ => End::Lost(error.to_string()),
    }
}

/// The upstream's next event. One that is silent is asked for a sign of life once, and then lost.
pub(crate) async fn patiently(
    heard: &mut In,
    silence: Duration,
    out: &Mutex<Out>,
) -> Result<Event, End> {
    let mut asked = false;
    loop {
        match timeout(silence, heard.next()).await {
            Ok(read) => match event(frame(read)?) {
                Some(event) => return Ok(event),
                None => asked = false,
            },
            Err(_) if asked => {
                return Err(End::Lost(format!(
                    "no sign of life for {} s",
                    2 * silence.as_secs()
                )));
            }
            Err(_) => {
                asked = true;
                let asking = async {
                    let mut out = out.lock().await;
                    out.send(Message::Ping(Bytes::new())).await
                };
                // Where even that cannot be sent, the silence goes on.
                timeout(silence, asking).await.ok();
            }
        }
    }
}

/// A close frame whose reason is cut to what fits.
pub(crate) fn closing(code: u16, reason: impl Into<Cow<'static, str>>) -> CloseFrame {
    let reason = reason.into();
    let fits = reason.get(..reason.floor_char_boundary(REASON));
    CloseFrame {
        code: code.into(),
        reason: fits.unwrap_or_default().into(),
    }
}

/// Sends a close frame, and waits a bounded time for the other side's.
pub(crate) async fn close(out: &mut Out, from: &mut In, frame: Option<CloseFrame>) {
    let closing = async {
        // The other side may have closed already; then there is nothing to wait for.
        if out.send(Message::Close(frame)).await.is_ok() {
            while let Some(Ok(_)) = from.next().await {}
        }
        out.close().await.ok();
    };
    timeout(CLOSE, closing).await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf_8_is_refused_and_binary_is_not() {
        let limits = Limits::default();
        let refused = message(Event::bytes(&b"\xff"[..], false), &limits);
        let why = "Invalid websocket message: Invalid utf8 data for text message";
        assert_eq!(refused, Err(StepError::Invalid(why.to_owned())));
        let binary = message(Event::bytes(&b"\xff"[..], true), &limits).unwrap();
        assert_eq!(binary, Message::binary(&b"\xff"[..]));
    }

    #[test]
    fn what_a_pipeline_made_is_bounded() {
        let limits = Limits {
            message: 125,
            ..Limits::default()
        };
        assert!(message(Event::bytes(vec![0; 250], true), &limits).is_ok());
        let refused = message(Event::bytes(vec![0; 251], true), &limits);
        assert!(matches!(refused, Err(StepError::TooLarge(_))));
    }

    #[test]
    fn the_reason_of_a_close_frame_is_cut_between_characters() {
        let frame = closing(1011, "é".repeat(100));
        assert_eq!(frame.reason.len(), 122);
    }
}
