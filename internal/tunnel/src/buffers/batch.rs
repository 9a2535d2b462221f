//! From frames to as few writes as possible.
//!
//! What is sent between two flushes is gathered: headers and small payloads are copied into one buffer, large payloads
//! stay where they are and lie between the parts of it in one vectored write. The buffer belongs to the thread and not
//! to the link, which has it only while something waits to be written.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use messages::MAX_FRAME;
use tokio::io::AsyncWrite;

use super::pool::Pool;

/// Bytes that may wait before the next frame has to: a whole window of a young stream, so that most bodies leave in one
/// write. A control frame that comes late waits behind three full body frames at most.
const ENOUGH: usize = 128 * 1024;

/// Payloads of this length or more are not copied when they need not be, bytes. Below, a copy lets go of the memory that
/// the payload is a slice of, and costs no more than another part of a vectored write: measured over loopback, 2 KiB
/// are 3 % dearer apart than copied, 4 KiB are the same, 8 KiB are 2 % cheaper apart.
pub(crate) const APART_FROM: usize = 4 * 1024;

/// Most parts of one vectored write: [`ENOUGH`] bytes have no more, with a header before each payload. What would be too
/// many is written by the next call.
const MAX_PARTS: usize = 2 * (ENOUGH / APART_FROM) + 8;

/// What transports put around frames that wait, bytes, at most: two headers of a WebSocket and two of its control frames.
const AROUND: usize = 2 * (14 + 125);

/// Room for all that may wait and one frame more, so that the buffer never grows. It is memory only where it has been
/// written to.
const GATHERED: usize = ENOUGH + MAX_FRAME + AROUND;

thread_local! {
    static SPARE: Pool<Batch> = const { Pool::new() };
}

/// What one connection has to write.
pub(crate) struct Batches {
    /// `None` when everything has been written.
    batch: Option<Batch>,
    apart_from: usize,
}

/// What waits to be written.
pub(crate) struct Batch {
    gathered: BytesMut,
    /// Payloads that are not in `gathered`, each with the number of bytes there that go before it.
    apart: VecDeque<(usize, Bytes)>,
    /// Bytes at the end of `gathered` that no payload follows.
    tail: usize,
    waiting: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            gathered: BytesMut::with_capacity(GATHERED),
            apart: VecDeque::new(),
            tail: 0,
            waiting: 0,
        }
    }
}

impl Batches {
    /// For a connection that writes several parts at once as well as one, or does not.
    pub(crate) fn new(vectored: bool) -> Self {
        Self {
            batch: None,
            apart_from: if vectored { APART_FROM } else { usize::MAX },
        }
    }

    /// Whether so much waits that the next frame should not be added before some of it has been written.
    pub(crate) fn is_full(&self) -> bool {
        self.batch
            .as_ref()
            .is_some_and(|batch| batch.waiting >= ENOUGH)
    }

    /// Whether a payload of `len` bytes is better left where it is.
    pub(crate) fn is_apart(&self, len: usize) -> bool {
        len >= self.apart_from
    }

    /// Writes all that waits, in one call if the connection takes it.
    ///
    /// # Errors
    /// The connection failed, or takes nothing any more.
    pub(crate) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(batch) = &mut self.batch else {
            return Poll::Ready(Ok(()));
        };
        while batch.waiting > 0 {
            let written = ready!(batch.poll_write(Pin::new(io), cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            batch.advance(written);
        }
        if let Some(mut batch) = self.batch.take() {
            // What was written has moved the buffer's beginning; this moves it back.
            batch.gathered.reserve(GATHERED);
            SPARE.with(|spare| spare.give_back(batch));
        }
        Poll::Ready(Ok(()))
    }

    /// What is written next; the thread's spare one while nothing waits.
    pub(crate) fn batch(&mut self) -> &mut Batch {
        self.batch.get_or_insert_with(|| SPARE.with(Pool::lend))
    }

    /// Whether a buffer is held.
    #[cfg(test)]
    pub(crate) fn is_held(&self) -> bool {
        self.batch.is_some()
    }

    /// The first payload that was left where it is.
    #[cfg(test)]
    pub(crate) fn first_apart(&self) -> Option<&Bytes> {
        let (_, payload) = self.batch.as_ref()?.apart.front()?;
        Some(payload)
    }
}

impl Batch {
    /// Adds `len` bytes, which `put` appends.
    pub(crate) fn gather(&mut self, len: usize, put: impl FnOnce(&mut BytesMut)) {
        put(&mut self.gathered);
        self.tail += len;
        self.waiting += len;
    }

    /// Adds a payload and leaves it where it is.
    pub(crate) fn set_apart(&mut self, payload: Bytes) {
        self.waiting += payload.len();
        self.apart.push_back((self.tail, payload));
        self.tail = 0;
    }

    fn poll_write<IO: AsyncWrite>(
        &self,
        io: Pin<&mut IO>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.apart.is_empty() {
            return io.poll_write(cx, &self.gathered);
        }
        let mut parts = [IoSlice::new(&[]); MAX_PARTS];
        let mut free = parts.iter_mut();
        let mut gathered = &*self.gathered;
        let mut used = 0;
        let mut part = |bytes| {
            if let Some(slot) = free.next() {
                *slot = IoSlice::new(bytes);
                used += 1;
            }
        };
        for (before, payload) in &self.apart {
            let (headers, rest) = gathered.split_at(*before);
            gathered = rest;
            part(headers);
            part(payload);
        }
        part(gathered);
        io.poll_write_vectored(cx, &parts[..used])
    }

    /// Forgets `written` bytes at the front.
    fn advance(&mut self, mut written: usize) {
        self.waiting -= written;
        while let Some((before, payload)) = self.apart.front_mut() {
            let headers = written.min(*before);
            self.gathered.advance(headers);
            *before -= headers;
            written -= headers;
            if written < payload.len() {
                payload.advance(written);
                return;
            }
            written -= payload.len();
            self.apart.pop_front();
        }
        self.gathered.advance(written);
        self.tail -= written;
    }
}
