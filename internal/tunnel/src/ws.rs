//! The WebSocket transport (RFC 6455): one frame is one binary message, subprotocol `adit.v1`.
//!
//! The library does masking, fragments and control frames; how much it may buffer is set here, because its defaults
//! (128 KiB read at once per connection, writes without bound) are made for few connections. [`upgrade_response`] and
//! [`server`] are the server's half, [`connect`] is the agent's.

mod client;
mod endpoint;
mod tls;
mod upgrade;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use messages::{Frame, HEADER_LEN, MAX_FRAME};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};

use crate::{Transport, TransportError};

pub use client::{ConnectError, ConnectOptions, Connected, Socket, connect};
pub use endpoint::{Endpoint, EndpointError};
pub use tls::{TlsError, client_config};
pub use upgrade::{UpgradeRefused, upgrade_response};

/// The subprotocol that both ends must name; a new major version of the link gets a new one.
pub const SUBPROTOCOL: &str = "adit.v1";

/// Where agents connect, on hosts that are no tunnel.
pub const CONNECT_PATH: &str = "/_adit/connect";

/// The label of the TLS exporter (RFC 8446 section 7.5, empty context, 32 bytes) that binds a registration to its
/// connection. A server where TLS ends computes the same and requires it.
pub const CHANNEL_LABEL: &[u8] = b"EXPORTER-adit-registration";

/// Read buffer of a link in bytes, held as long as it lives: a thousand idle agents cost 16 MB. Measured 30 % faster
/// on small round trips than the library's 128 KiB, which it fills with zeros before each read.
const READ_BUFFER: usize = 16 * 1024;

/// Bytes gathered before a write happens without a flush. One full body frame; a partial write moves the rest of the
/// buffer to its front, so it must not be large.
const WRITE_BUFFER: usize = 64 * 1024;

/// Where the write buffer must never get: one frame beyond the threshold, plus the library's own pong or close.
const MAX_WRITE_BUFFER: usize = WRITE_BUFFER + 2 * MAX_FRAME;

/// Messages up to this length are copied out of the read buffer, bytes. A slice would keep the whole buffer alive for as
/// long as a slow visitor's queue keeps the slice: a peer could pin 16 KiB by one byte. It also lets the buffer be
/// used again.
const COPY_BELOW: usize = 4 * 1024;

/// A link's WebSocket over any byte stream.
#[derive(Debug)]
pub struct WebSocket<IO> {
    socket: WebSocketStream<Counted<IO>>,
    /// Where header and payload of small frames become one message; used again and again.
    scratch: BytesMut,
}

/// Takes over a connection whose upgrade has been answered with [`upgrade_response`].
pub async fn server<IO>(io: IO) -> WebSocket<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    WebSocket::new(
        WebSocketStream::from_raw_socket(Counted::new(io), Role::Server, Some(config())).await,
    )
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
}

impl<IO> WebSocket<IO> {
    fn new(socket: WebSocketStream<Counted<IO>>) -> Self {
        Self {
            socket,
            scratch: BytesMut::new(),
        }
    }

    /// The library wants a message in one piece. It copies that into its own buffer at once, so the scratch is free
    /// again for the next frame; large frames get memory of their own, so that an idle link does not keep it.
    fn message(&mut self, frame: &Frame) -> Bytes {
        if frame.payload.len() > COPY_BELOW {
            return frame.to_bytes();
        }
        self.scratch.reserve(HEADER_LEN + frame.payload.len());
        self.scratch.put_slice(&frame.header());
        self.scratch.put_slice(&frame.payload);
        self.scratch.split().freeze()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Transport for WebSocket<IO> {
    fn bytes_heard(&self) -> u64 {
        self.socket.get_ref().read
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<IO> {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let message = match ready!(self.socket.poll_next_unpin(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(message)) => message,
            };
            match message {
                WsMessage::Binary(bytes) if bytes.len() <= COPY_BELOW => {
                    return Poll::Ready(Some(Ok(Bytes::copy_from_slice(&bytes))));
                }
                WsMessage::Binary(bytes) => return Poll::Ready(Some(Ok(bytes))),
                WsMessage::Text(_) => {
                    let error = TransportError::Protocol(
                        "a text message; links carry binary ones".to_owned(),
                    );
                    return Poll::Ready(Some(Err(error)));
                }
                // The library answers these itself. They count as signs of life, being bytes.
                WsMessage::Ping(_)
                | WsMessage::Pong(_)
                | WsMessage::Close(_)
                | WsMessage::Frame(_) => {}
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for WebSocket<IO> {
    type Error = TransportError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.socket.poll_ready_unpin(cx).map_err(Into::into)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        let message = self.message(&frame);
        Ok(self.socket.start_send_unpin(WsMessage::Binary(message))?)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.socket.poll_flush_unpin(cx).map_err(Into::into)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.socket.poll_close_unpin(cx).map_err(Into::into)
    }
}

impl From<WsError> for TransportError {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Io(error) => Self::Io(error),
            WsError::ConnectionClosed | WsError::AlreadyClosed => {
                Self::Io(io::ErrorKind::NotConnected.into())
            }
            WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => Self::TooLarge {
                len: size,
                max: max_size,
            },
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// Counts what is read, below the WebSocket: see [`Transport::bytes_heard`].
#[derive(Debug)]
struct Counted<IO> {
    io: IO,
    read: u64,
}

impl<IO> Counted<IO> {
    fn new(io: IO) -> Self {
        Self { io, read: 0 }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        self.read += (buf.filled().len() - before) as u64;
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
