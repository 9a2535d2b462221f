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
use messages::{Frame, HEADER_LEN, MAX_FRAME};
use tokio::io::AsyncWrite;

use super::framing::{Header, MAX_CONTROL, MAX_HEADER, Opcode};
use super::mask::Key;
use super::pool::Pool;

/// Bytes that may wait before the next frame has to: a whole window of a young stream, so that most bodies leave in one
/// write. A control frame that comes late waits behind three full body frames at most.
const ENOUGH: usize = 128 * 1024;

/// Payloads of this length or more are not copied when they need not be, bytes. Below, a copy lets go of the memory that
/// the payload is a slice of, and costs no more than another part of a vectored write: measured over loopback, 2 KiB
/// are 3 % dearer apart than copied, 4 KiB are the same, 8 KiB are 2 % cheaper apart.
const APART_FROM: usize = 4 * 1024;

/// Most parts of one vectored write: [`ENOUGH`] bytes have no more, with a header before each payload. What would be too
/// many is written by the next call.
const MAX_PARTS: usize = 2 * (ENOUGH / APART_FROM) + 8;

/// Room for all that may wait and one frame more, so that the buffer never grows. It is memory only where it has been
/// written to.
const GATHERED: usize = ENOUGH + MAX_FRAME + 2 * (MAX_HEADER + MAX_CONTROL);

thread_local! {
    static SPARE: Pool<Batch> = const { Pool::new() };
}

/// Writes one connection.
pub(super) struct Writer {
    /// `None` when everything has been written.
    batch: Option<Batch>,
    apart_from: usize,
}

/// What waits to be written.
struct Batch {
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

impl Writer {
    /// A writer for a connection that writes several parts at once as well as one, or does not.
    pub(super) fn new(vectored: bool) -> Self {
        Self {
            batch: None,
            apart_from: if vectored { APART_FROM } else { usize::MAX },
        }
    }

    /// Whether so much waits that the next frame should not be added before some of it has been written.
    pub(super) fn is_full(&self) -> bool {
        self.batch
            .as_ref()
            .is_some_and(|batch| batch.waiting >= ENOUGH)
    }

    /// Adds a frame of the link as one binary message, masked if there is a key.
    pub(super) fn push(&mut self, frame: Frame, key: Option<Key>) {
        let len = HEADER_LEN + frame.payload.len();
        let batch = self.batch();
        batch.begin(Opcode::Binary, len, key);
        let key = key.unwrap_or(Key::ZERO);
        batch.gather(&frame.header(), key);
        let key = key.after(HEADER_LEN);
        if frame.payload.len() < self.apart_from {
            self.batch().gather(&frame.payload, key);
            return;
        }
        let payload = if key == Key::ZERO {
            frame.payload
        } else {
            // Masked where it lies if nobody else can see it, and while it is copied if somebody can.
            match frame.payload.try_into_mut() {
                Ok(mut own) => {
                    key.apply(&mut own);
                    own.freeze()
                }
                Err(shared) => return self.batch().gather(&shared, key),
            }
        };
        self.batch().set_apart(payload);
    }

    /// Adds a control frame; `payload` has at most [`MAX_CONTROL`] bytes.
    pub(super) fn push_control(&mut self, opcode: Opcode, payload: &[u8], key: Option<Key>) {
        debug_assert!(payload.len() <= MAX_CONTROL);
        let batch = self.batch();
        batch.begin(opcode, payload.len(), key);
        batch.gather(payload, key.unwrap_or(Key::ZERO));
    }

    /// Writes all that waits, in one call if the connection takes it.
    ///
    /// # Errors
    /// The connection failed, or takes nothing any more.
    pub(super) fn poll_write<IO: AsyncWrite + Unpin>(
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

    fn batch(&mut self) -> &mut Batch {
        self.batch.get_or_insert_with(|| SPARE.with(Pool::lend))
    }
}

impl Batch {
    fn begin(&mut self, opcode: Opcode, len: usize, key: Option<Key>) {
        let header = Header {
            fin: true,
            opcode,
            key,
            len: len as u64,
        };
        let mut bytes = [0; MAX_HEADER];
        let len = header.encode(&mut bytes);
        self.gather(&bytes[..len], Key::ZERO);
    }

    fn gather(&mut self, bytes: &[u8], key: Key) {
        key.append(bytes, &mut self.gathered);
        self.tail += bytes.len();
        self.waiting += bytes.len();
    }

    fn set_apart(&mut self, payload: Bytes) {
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

#[cfg(test)]
mod tests;
