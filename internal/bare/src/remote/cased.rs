//! A connection on which names of headers keep their case.
//!
//! The HTTP library writes names in lower case and knows no way to be told another; nor does it tell in which case it read
//! them. Both are a matter of the bytes that pass: on the way out the names of a head are overwritten in place – a change of
//! case changes no length –, and on the way back the bytes of a head are kept until they have been read once more.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::MAX_HEAD;
use crate::headers::fields::MAX_FIELDS;
use crate::headers::latin1;

/// Bytes of a response that are kept: a head, interim ones before it, and what one read brings behind them.
const MAX_KEPT: usize = 3 * MAX_HEAD;

/// A response's head as the remote wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    /// The reason phrase.
    pub(crate) reason: String,
    /// In their own order and case.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
}

impl Heard {
    /// How many bytes it takes, roughly.
    pub(crate) fn size(&self) -> usize {
        let size = |(name, value): &(String, Vec<u8>)| name.len() + value.len() + 64;
        self.fields.iter().map(size).sum()
    }

    /// The final head in `bytes`: interim ones come before it.
    fn read(mut bytes: &[u8]) -> Option<Self> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut head = httparse::Response::new(&mut fields);
            // As lenient as the library that has read the same.
            let parsed = httparse::ParserConfig::default().parse_response(&mut head, bytes);
            let Ok(httparse::Status::Complete(end)) = parsed else {
                return None;
            };
            let status = head.code?;
            let interim =
                (100..200).contains(&status) && status != StatusCode::SWITCHING_PROTOCOLS.as_u16();
            if !interim {
                let fields = head.headers.iter();
                return Some(Self {
                    status,
                    reason: latin1(head.reason.unwrap_or_default().as_bytes()),
                    fields: fields
                        .map(|field| (field.name.to_owned(), field.value.to_vec()))
                        .collect(),
                });
            }
            bytes = bytes.get(end..)?;
        }
    }
}

/// What one exchange wants of the bytes. Shared by the connection and whoever uses it.
#[derive(Clone, Default)]
pub(super) struct Scribe(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    /// The names of the next head, one for each of its lines in any order.
    names: Option<Vec<String>>,
    /// What has come in since, when it is kept.
    kept: Option<Vec<u8>>,
}

impl Scribe {
    /// The next head has these names, and what is answered to it is to be kept.
    pub(super) fn begin(&self, names: Vec<String>) {
        let mut notes = self.lock();
        notes.names = Some(names);
        notes.kept = Some(Vec::new());
    }

    /// The head that has come in. `None` where it cannot be read.
    pub(super) fn end(&self) -> Option<Heard> {
        let kept = self.lock().kept.take()?;
        Heard::read(&kept)
    }

    fn keep(&self, bytes: &[u8]) {
        let mut notes = self.lock();
        if let Some(kept) = &mut notes.kept {
            let room = MAX_KEPT.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection.
pub(super) struct Cased<IO> {
    io: IO,
    scribe: Scribe,
    /// The names of the head that is passing.
    names: Option<Vec<String>>,
    /// A head as far as it has come, and then until it is written.
    head: Vec<u8>,
    /// How much of a whole head is written. `None`: it is not whole.
    written: Option<usize>,
}

impl<IO> Cased<IO> {
    pub(super) fn new(io: IO, scribe: &Scribe) -> Self {
        Self {
            io,
            scribe: scribe.clone(),
            names: None,
            head: Vec::new(),
            written: None,
        }
    }
}

impl<IO: AsyncWrite + Unpin> Cased<IO> {
    /// Writes a whole head that waits.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(written) = &mut self.written {
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, &self.head[*written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += count;
            if *written == self.head.len() {
                self.written = None;
                self.head = Vec::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what belongs to the head; how many bytes that are.
    fn take(&mut self, bytes: &[u8], names: Vec<String>) -> usize {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let from = before.saturating_sub(END.len() - 1);
        let end = self.head[from..]
            .windows(END.len())
            .position(|window| window == END);
        match end {
            None => self.names = Some(names),
            Some(at) => {
                self.head.truncate(from + at + END.len());
                restore(&mut self.head, names);
                self.written = Some(0);
            }
        }
        self.head.len() - before
    }
}

const END: &[u8] = b"\r\n\r\n";

/// The names that the library adds itself.
const OWN: [&str; 2] = ["Content-Length", "Transfer-Encoding"];

/// Writes the names into the head, each in the first line that has it and none of its like.
fn restore(head: &mut [u8], mut names: Vec<String>) {
    names.extend(OWN.map(str::to_owned));
    let lines = head.split_mut(|byte| *byte == b'\n').skip(1);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let field = &mut line[..colon];
        let written = names
            .iter()
            .position(|name| name.as_bytes().eq_ignore_ascii_case(field));
        if let Some(at) = written {
            field.copy_from_slice(names.remove(at).as_bytes());
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Cased<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        self.scribe.keep(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Cased<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_head(cx))?;
        let names = self.names.take();
        let names = names.or_else(|| mem::take(&mut self.scribe.lock().names));
        match names {
            Some(names) => Poll::Ready(Ok(self.take(bytes, names))),
            None => Pin::new(&mut self.io).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_head(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_head(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn names_of_a_head_get_their_case_back_and_bodies_pass_untouched() {
        // Room for a few bytes at a time, so that every write is a part.
        let (near, mut far) = duplex(7);
        let scribe = Scribe::default();
        let mut cased = Cased::new(near, &scribe);
        scribe.begin(vec!["X-Two".into(), "HOST".into(), "x-TWO".into()]);
        let writing = async {
            let head = b"POST / HTTP/1.1\r\nhost: a\r\nx-two: 1\r\nx-two: 2\r\ncontent-length: 9\r\n\r\nhost: b\r\n";
            for part in head.chunks(5) {
                cased.write_all(part).await.unwrap();
            }
            cased.shutdown().await.unwrap();
        };
        let mut text = String::new();
        let reading = far.read_to_string(&mut text);
        let (_, read) = tokio::join!(writing, reading);
        read.unwrap();
        let wanted = "POST / HTTP/1.1\r\nHOST: a\r\nX-Two: 1\r\nx-TWO: 2\r\nContent-Length: 9\r\n\r\nhost: b\r\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn the_final_head_is_read_as_it_was_written() {
        let heard = Heard::read(
            b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 299 Odd One\r\nX-WeIrD: a\r\nx-weird: \xe9\r\n\r\nbody",
        );
        let heard = heard.unwrap();
        assert_eq!((heard.status, &*heard.reason), (299, "Odd One"));
        let fields = [
            ("X-WeIrD".to_owned(), b"a".to_vec()),
            ("x-weird".to_owned(), b"\xe9".to_vec()),
        ];
        assert_eq!(heard.fields, fields);
        assert_eq!(Heard::read(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
