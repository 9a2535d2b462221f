//! The opening handshake of a client, and the bytes behind it.
//!
//! The library reads on past the end of the response and keeps what it finds for its own framing, where it cannot be
//! got at. A server's first message often comes in the same packet. So the library is shown the stream only up to the
//! end of the response's head.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that each read gives at most up to the end of the next HTTP head of: up to the next empty line. What came
/// with it is given by the next read, or to whoever takes the stream apart.
pub(super) struct Opening<IO> {
    io: IO,
    behind: Bytes,
    /// Whether the line has nothing on it so far.
    line_is_empty: bool,
}

impl<IO> Opening<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self {
            io,
            behind: Bytes::new(),
            line_is_empty: false,
        }
    }

    /// The stream, and what was read of it and not given.
    pub(super) fn into_parts(self) -> (IO, Bytes) {
        (self.io, self.behind)
    }

    /// How many of `bytes` belong to the head. Lines end in LF, with or without CR, as the library takes them.
    fn of_head(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.line_is_empty => {
                    self.line_is_empty = false;
                    return at + 1;
                }
                b'\n' => self.line_is_empty = true,
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
        bytes.len()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Opening<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.behind.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            let end = before + this.of_head(&buf.filled()[before..]);
            this.behind = Bytes::copy_from_slice(&buf.filled()[end..]);
            buf.set_filled(end);
        } else {
            let mut behind = mem::take(&mut this.behind);
            let fits = behind.len().min(buf.remaining());
            let given = this.of_head(&behind[..fits]);
            buf.put_slice(&behind.split_to(given));
            this.behind = behind;
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Opening<IO> {
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
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const FIRST: &[u8] = b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n";
    const SECOND: &[u8] = b"HTTP/1.1 101 Switching Protocols\nA: b\n\n";
    const BEHIND: &[u8] = b"\x82\x02\n\n";

    #[tokio::test]
    async fn a_head_is_read_by_itself_and_what_came_behind_it_is_not_lost() {
        // However the bytes happen to be split on their way.
        for pace in [1, 2, 3, 5, 7, 1000] {
            let (mut far, near) = duplex(pace);
            let mut opening = Opening::new(near);
            let all = [FIRST, SECOND, BEHIND].concat();
            let write = async move { far.write_all(&all).await.unwrap() };
            let read = async move {
                for head in [FIRST, SECOND] {
                    let mut got = Vec::new();
                    while got.len() < head.len() {
                        assert_ne!(opening.read_buf(&mut got).await.unwrap(), 0);
                    }
                    assert_eq!(got, head, "at a pace of {pace}");
                }
                let (mut io, behind) = opening.into_parts();
                let mut got = behind.to_vec();
                io.read_to_end(&mut got).await.unwrap();
                assert_eq!(got, BEHIND, "at a pace of {pace}");
            };
            tokio::join!(write, read);
        }
    }
}
