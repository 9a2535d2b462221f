//! A TCP connection that is read in large pieces and holds no memory for that while it waits.
//!
//! The library for TLS reads 4 KiB at a time. A buffer in front of it saves most of the system calls; one for each link
//! would be most of what an idle link costs, so it is a thread's and lent.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::buffers::scratch::{SCRATCH_LEN, Scratch};

/// A socket, with a read buffer for as long as something in it is unread.
pub struct Lent {
    tcp: TcpStream,
    scratch: Option<Scratch>,
}

impl Lent {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, scratch: None }
    }

    #[cfg(test)]
    pub(super) fn into_tcp(self) -> TcpStream {
        self.tcp
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let scratch = Scratch::lend(&mut this.scratch);
        let read = if scratch.is_empty() {
            scratch.poll_read(SCRATCH_LEN, &mut this.tcp, cx)
        } else {
            Poll::Ready(Ok(0))
        };
        if let Poll::Ready(Ok(_)) = read {
            let unread = scratch.unread();
            let taken = unread.len().min(buf.remaining());
            buf.put_slice(&unread[..taken]);
            scratch.consume(taken);
        }
        if scratch.is_empty()
            && let Some(scratch) = this.scratch.take()
        {
            scratch.give_back();
        }
        ready!(read)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tcp.fmt(f)
    }
}
