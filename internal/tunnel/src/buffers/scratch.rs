//! Where reads go that are not for one message alone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::pool::Pool;

/// Bytes read at once.
pub(crate) const SCRATCH_LEN: usize = 64 * 1024;

thread_local! {
    static SPARE: Pool<Scratch> = const { Pool::new() };
}

/// A thread's read buffer, lent to the link that is reading.
pub(crate) struct Scratch {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            bytes: vec![0; SCRATCH_LEN].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }
}

impl Scratch {
    /// The one that is there, or one of the thread's.
    pub(crate) fn lend(scratch: &mut Option<Self>) -> &mut Self {
        scratch.get_or_insert_with(|| SPARE.with(Pool::lend))
    }

    /// Leaves it to the next link of the thread that reads.
    pub(crate) fn give_back(mut self) {
        (self.start, self.end) = (0, 0);
        SPARE.with(|spare| spare.give_back(self));
    }

    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets the first `len` unread bytes.
    pub(crate) fn consume(&mut self, len: usize) {
        self.start += len;
    }

    /// Appends `bytes`, of which there are few.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.make_room();
        self.bytes[self.end..][..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Reads at most `most` bytes. What is unread by then is less than a control frame.
    pub(crate) fn poll_read<IO: AsyncRead + Unpin>(
        &mut self,
        most: usize,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let most = most.max(self.end + 1).min(SCRATCH_LEN);
        let mut buffer = ReadBuf::new(&mut self.bytes[self.end..most]);
        ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        self.end += read;
        Poll::Ready(Ok(read))
    }

    fn make_room(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
    }
}
