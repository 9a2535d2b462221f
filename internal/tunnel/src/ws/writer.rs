//! From frames to binary messages (RFC 6455 section 5), masked where they must be, in as few writes as possible.

use std::io;
use std::task::{Context, Poll};

use messages::{Frame, HEADER_LEN};
use tokio::io::AsyncWrite;

use super::framing::{Header, MAX_CONTROL, MAX_HEADER, Opcode};
use super::mask::Key;
use crate::buffers::batch::{Batch, Batches};

/// Writes one connection.
pub(super) struct Writer(Batches);

impl Writer {
    /// A writer for a connection that writes several parts at once as well as one, or does not.
    pub(super) fn new(vectored: bool) -> Self {
        Self(Batches::new(vectored))
    }

    /// Whether so much waits that the next frame should not be added before some of it has been written.
    pub(super) fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Adds a frame of the link as one binary message, masked if there is a key.
    pub(super) fn push(&mut self, frame: Frame, key: Option<Key>) {
        let len = HEADER_LEN + frame.payload.len();
        let apart = self.0.is_apart(frame.payload.len());
        let batch = self.0.batch();
        begin(batch, Opcode::Binary, len, key);
        let key = key.unwrap_or(Key::ZERO);
        gather(batch, &frame.header(), key);
        let key = key.after(HEADER_LEN);
        if !apart {
            gather(batch, &frame.payload, key);
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
                Err(shared) => return gather(batch, &shared, key),
            }
        };
        batch.set_apart(payload);
    }

    /// Adds a control frame; `payload` has at most [`MAX_CONTROL`] bytes.
    pub(super) fn push_control(&mut self, opcode: Opcode, payload: &[u8], key: Option<Key>) {
        debug_assert!(payload.len() <= MAX_CONTROL);
        let batch = self.0.batch();
        begin(batch, opcode, payload.len(), key);
        gather(batch, payload, key.unwrap_or(Key::ZERO));
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
        self.0.poll_write(io, cx)
    }
}

fn begin(batch: &mut Batch, opcode: Opcode, len: usize, key: Option<Key>) {
    let header = Header {
        fin: true,
        opcode,
        key,
        len: len as u64,
    };
    let mut bytes = [0; MAX_HEADER];
    let len = header.encode(&mut bytes);
    gather(batch, &bytes[..len], Key::ZERO);
}

fn gather(batch: &mut Batch, bytes: &[u8], key: Key) {
    batch.gather(bytes.len(), |to| key.append(bytes, to));
}

#[cfg(test)]
mod tests;
