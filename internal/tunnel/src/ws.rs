//! The WebSocket transport (RFC 6455): one frame is one binary message, subprotocol `adit.v1`.
//!
//! [`upgrade_response`] and [`server`] are the server's half of the opening, [`connect`] is the agent's, by the library.
//! The framing after it is our own: the library keeps a read buffer for each connection however idle it is, copies each
//! payload into a buffer of its own to write it, and masks it there. The reader and the writer here do neither; this
//! file is what goes back and forth between them: pings, and the closing handshake.

mod client;
mod endpoint;
mod framing;
mod mask;
mod opening;
mod reader;
mod tls;
mod upgrade;
mod writer;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use messages::Frame;
use tokio::io::{AsyncRead, AsyncWrite};

use framing::{Opcode, Violation};
use mask::Masking;
use reader::{Event, Reader};
use writer::Writer;

use crate::{Transport, TransportError};

pub use client::{ConnectError, ConnectOptions, Connected, Socket, connect};
pub(crate) use client::{open, open_tcp};
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

/// The status code of a connection that has served its purpose (section 7.4.1).
const NORMAL_CLOSURE: u16 = 1000;

/// A link's WebSocket over any byte stream.
pub struct WebSocket<IO> {
    io: IO,
    masking: Masking,
    reader: Reader,
    writer: Writer,
    /// The payload of the latest ping, while it has no answer. Only the latest (section 5.5.3): a peer that pings
    /// without reading gets one answer.
    pong: Option<Bytes>,
    /// Whether an answer of this layer's own has not been flushed; the link knows nothing of it.
    answering: bool,
    /// Whether this side has said that it sends nothing more.
    close_sent: bool,
    /// Whether the peer has.
    close_received: bool,
    /// Whether nothing more is to be read, whatever the reason.
    ended: bool,
}

/// Takes over a connection whose upgrade has been answered with [`upgrade_response`].
pub fn server<IO>(io: IO) -> WebSocket<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    WebSocket::new(io, Masking::Server, &[])
}

impl<IO: AsyncWrite> WebSocket<IO> {
    /// A WebSocket after its opening handshake; `read` is what came in behind that.
    fn new(io: IO, masking: Masking, read: &[u8]) -> Self {
        Self {
            reader: Reader::new(masking.expects_masked(), read),
            writer: Writer::new(io.is_write_vectored()),
            io,
            masking,
            pong: None,
            answering: false,
            close_sent: false,
            close_received: false,
            ended: false,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> WebSocket<IO> {
    fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, TransportError>>> {
        loop {
            if self.answering
                && let Poll::Ready(Err(error)) = self.poll_out(cx)
            {
                return Poll::Ready(Some(Err(error)));
            }
            if self.close_received {
                // The peer waits for the answer; there is nothing more to wait for.
                return if self.answering {
                    Poll::Pending
                } else {
                    Poll::Ready(None)
                };
            }
            match ready!(self.reader.poll_event(&mut self.io, cx))? {
                Event::Message(message) => return Poll::Ready(Some(Ok(message))),
                Event::Ping(payload) => {
                    self.pong = Some(payload);
                    self.answering = true;
                }
                Event::Pong => {}
                Event::Close(code) => {
                    self.close_received = true;
                    self.say_close(code);
                }
                Event::End => return Poll::Ready(Some(Err(Violation::CutOff.into()))),
            }
        }
    }

    /// Writes and flushes everything that waits. A pong comes last and into an empty writer: there is never more than
    /// one in it.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        loop {
            ready!(self.writer.poll_write(&mut self.io, cx))?;
            let Some(payload) = self.pong.take() else {
                break;
            };
            let key = self.masking.next();
            self.writer.push_control(Opcode::Pong, &payload, key);
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.answering = false;
        Poll::Ready(Ok(()))
    }

    /// Queues the last frame of this side, unless it has been sent.
    fn say_close(&mut self, code: Option<u16>) {
        if self.close_sent {
            return;
        }
        let code = code.map(u16::to_be_bytes);
        let body = code.as_ref().map_or(&[][..], |code| code);
        let key = self.masking.next();
        self.writer.push_control(Opcode::Close, body, key);
        self.pong = None;
        self.close_sent = true;
        self.answering = true;
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Transport for WebSocket<IO> {
    fn bytes_heard(&self) -> u64 {
        self.reader.heard()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<IO> {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_message(cx));
        self.ended = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for WebSocket<IO> {
    type Error = TransportError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        if self.writer.is_full() {
            let this = &mut *self;
            let written = this.writer.poll_write(&mut this.io, cx)?;
            if written.is_pending() && this.writer.is_full() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        if self.close_sent {
            let error = "a frame after the closing handshake has begun";
            return Err(TransportError::Protocol(error.to_owned()));
        }
        let key = self.masking.next();
        self.writer.push(frame, key);
        Ok(())
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.poll_out(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.say_close(Some(NORMAL_CLOSURE));
        self.poll_out(cx)
    }
}

impl From<Violation> for TransportError {
    fn from(violation: Violation) -> Self {
        Self::Protocol(violation.to_string())
    }
}

impl<IO: fmt::Debug> fmt::Debug for WebSocket<IO> {
    /// No buffers: payloads are other people's bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
