//! From a stream of bytes to whole records.
//!
//! As for the WebSocket, where bytes lie while they come in decides what a link costs: small records are read many at a
//! time into memory that the links of a thread share, large ones to where they stay. It is simpler here, because what is
//! read from is memory already, TLS's own: a read that asks for less costs nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use bytes::{BufMut, Bytes, BytesMut};
use messages::{HEADER_LEN, MAX_FRAME};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use super::PREFIX;
use crate::TransportError;
use crate::buffers::scratch::{SCRATCH_LEN, Scratch};

/// Bytes read at once behind a large record: another will follow it, most likely, and what comes along of that is copied.
const SIP: usize = 4 * 1024;

/// A record of which more than this is missing, bytes, is read to where it stays.
const READ_IN_PLACE: usize = 8 * 1024;

/// Reads one connection.
#[derive(Default)]
pub(super) struct Reader {
    /// Bytes that have been read and not looked at. `None` while the link waits.
    scratch: Option<Scratch>,
    /// What was left in the scratch when it was given back: a part of a length.
    parked: Vec<u8>,
    /// What has not come yet of the record that is coming in, bytes.
    left: Option<usize>,
    /// The record so far.
    record: BytesMut,
    sipping: bool,
    heard: u64,
}

impl Reader {
    /// Bytes that have come in so far.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// Gives the next record; `None` when the peer has ended the stream between two.
    ///
    /// # Errors
    /// The peer announced a record that can be no frame, or ended in the middle of one, or the connection failed; the
    /// reader is of no use after that.
    pub(super) fn poll_record<IO: AsyncRead + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, TransportError>> {
        if !self.parked.is_empty() {
            let parked = mem::take(&mut self.parked);
            Scratch::lend(&mut self.scratch).put(&parked);
        }
        loop {
            if let Some(record) = self.take_record()? {
                // Who takes a single one, as the handshake does, may be long in coming back.
                if self.scratch.as_ref().is_some_and(Scratch::is_empty) {
                    self.park();
                }
                return Poll::Ready(Ok(Some(record)));
            }
            let read = self.poll_read(io, cx);
            if read.is_pending() {
                self.park();
            }
            match ready!(read)? {
                0 => return Poll::Ready(self.end()),
                read => self.heard += read as u64,
            }
        }
    }

    fn end(&self) -> Result<Option<Bytes>, TransportError> {
        let begun = self.scratch.as_ref().is_some_and(|it| !it.is_empty());
        if begun || self.left.is_some() {
            let why = "the connection ended within a record";
            return Err(TransportError::Protocol(why.to_owned()));
        }
        Ok(None)
    }

    fn poll_read<IO: AsyncRead + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(left) = &mut self.left
            && *left > READ_IN_PLACE
        {
            let mut rest = (&mut self.record).limit(*left);
            let read = ready!(poll_read_buf(Pin::new(io), cx, &mut rest))?;
            *left -= read;
            return Poll::Ready(Ok(read));
        }
        let most = if self.sipping { SIP } else { SCRATCH_LEN };
        Scratch::lend(&mut self.scratch).poll_read(most, io, cx)
    }

    /// Gives the scratch back and keeps what is left in it.
    fn park(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            self.parked.extend_from_slice(scratch.unread());
            scratch.give_back();
        }
    }

    /// The next record that the bytes at hand make whole; `None` when they do not suffice.
    fn take_record(&mut self) -> Result<Option<Bytes>, TransportError> {
        let left = match (self.left, &mut self.scratch) {
            (Some(left), _) => left,
            (None, None) => return Ok(None),
            (None, Some(scratch)) => {
                let Some(prefix) = scratch.unread().first_chunk::<PREFIX>() else {
                    return Ok(None);
                };
                let len = announced(*prefix)?;
                scratch.consume(PREFIX);
                self.sipping = len > READ_IN_PLACE;
                // Exactly so much: it is handed on as it is.
                self.record = BytesMut::with_capacity(len);
                len
            }
        };
        let mut missing = left;
        if let Some(scratch) = &mut self.scratch {
            let part = scratch.unread();
            let part = &part[..part.len().min(left)];
            self.record.extend_from_slice(part);
            missing -= part.len();
            let taken = part.len();
            scratch.consume(taken);
        }
        if missing > 0 {
            self.left = Some(missing);
            return Ok(None);
        }
        self.left = None;
        Ok(Some(mem::take(&mut self.record).freeze()))
    }

    /// Bytes of buffers that this reader holds at the moment.
    #[cfg(test)]
    pub(super) fn holds(&self) -> usize {
        let scratch = self.scratch.as_ref().map_or(0, |_| SCRATCH_LEN);
        scratch + self.parked.len() + self.record.capacity()
    }
}

/// Judges a length, before anything of its record is stored.
fn announced(prefix: [u8; PREFIX]) -> Result<usize, TransportError> {
    let len = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if len > MAX_FRAME {
        return Err(TransportError::TooLarge {
            len,
            max: MAX_FRAME,
        });
    }
    if len < HEADER_LEN {
        return Err(TransportError::Protocol(format!(
            "a record of {len} bytes is no frame"
        )));
    }
    Ok(len)
}
