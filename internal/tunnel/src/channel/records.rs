//! Frames in a stream of bytes: 4 bytes of length, big-endian, then the frame.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes};
use futures_util::{Sink, Stream};
use messages::{Frame, HEADER_LEN};
use tokio::io::{AsyncRead, AsyncWrite};

use super::PREFIX;
use super::reader::Reader;
use crate::buffers::batch::Batches;
use crate::{Transport, TransportError};

/// A link's records over any byte stream. That the stream is encrypted, and whose it is, is the business of others.
pub struct Records<IO> {
    io: IO,
    reader: Reader,
    batches: Batches,
    /// Whether this side has said that it sends nothing more.
    closed: bool,
    /// Whether nothing more is to be read, whatever the reason.
    ended: bool,
}

impl<IO: AsyncRead + AsyncWrite> Records<IO> {
    /// Takes over a stream of which nothing has been read that belongs to a record.
    pub fn new(io: IO) -> Self {
        Self {
            batches: Batches::new(io.is_write_vectored()),
            io,
            reader: Reader::default(),
            closed: false,
            ended: false,
        }
    }

    #[cfg(test)]
    pub(super) fn into_io(self) -> IO {
        self.io
    }

    /// Bytes of buffers for reading that are held at the moment.
    #[cfg(test)]
    pub(super) fn holds(&self) -> usize {
        self.reader.holds()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Transport for Records<IO> {
    fn bytes_heard(&self) -> u64 {
        self.reader.heard()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream for Records<IO> {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let next = ready!(this.reader.poll_record(&mut this.io, cx)).transpose();
        this.ended = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for Records<IO> {
    type Error = TransportError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        if self.batches.is_full() {
            let this = &mut *self;
            let written = this.batches.poll_write(&mut this.io, cx)?;
            if written.is_pending() && this.batches.is_full() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        if self.closed {
            let error = "a frame after the end";
            return Err(TransportError::Protocol(error.to_owned()));
        }
        let len = HEADER_LEN + frame.payload.len();
        let prefix = u32::try_from(len).expect("a frame is shorter than 4 GiB");
        let apart = self.batches.is_apart(frame.payload.len());
        let batch = self.batches.batch();
        batch.gather(PREFIX + HEADER_LEN, |to| {
            to.put_u32(prefix);
            to.put_slice(&frame.header());
        });
        if apart {
            batch.set_apart(frame.payload);
        } else {
            batch.gather(frame.payload.len(), |to| to.put_slice(&frame.payload));
        }
        Ok(())
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        let this = &mut *self;
        ready!(this.batches.poll_write(&mut this.io, cx))?;
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.closed = true;
        ready!(self.as_mut().poll_flush(cx))?;
        // In TLS its closing alert: a connection that was only cut ends without.
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}

impl<IO: fmt::Debug> fmt::Debug for Records<IO> {
    /// No buffers: payloads are other people's bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
