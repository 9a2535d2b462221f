//! From a stream of bytes to whole messages (RFC 6455 sections 5.4 to 5.6).
//!
//! Where bytes lie while they come in decides what a link costs. Small messages are read many at a time into a
//! [`Scratch`] that the links of a thread share, and copied out of it into memory of just their length: what a slow
//! visitor's queue keeps alive is then what was accounted for, never a buffer around it. A large message that is not
//! whole yet gets its memory at once, and the rest of it is read right there. A link that waits holds at most the
//! part of a message that has arrived.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use bytes::{BufMut, Bytes, BytesMut};
use messages::MAX_FRAME;
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use super::framing::{Header, MAX_HEADER, Opcode, Violation};
use super::mask::Key;
use crate::TransportError;
use crate::buffers::scratch::{SCRATCH_LEN, Scratch};

/// Bytes read at once behind a large frame: enough for a head, and for the header of the next large frame, of which little
/// is copied then.
const SIP: usize = 4 * 1024;

/// A frame of which more than this is missing, bytes, is read to where it stays. Below, a read into the scratch costs
/// a copy, but brings what follows the frame along.
const READ_IN_PLACE: usize = 16 * 1024;

/// What a peer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A whole binary message.
    Message(Bytes),
    /// To be answered with the same bytes (section 5.5.3).
    Ping(Bytes),
    /// A sign of life, and that is all.
    Pong,
    /// The peer says nothing more; its status code (section 7.4), if it gave one.
    Close(Option<u16>),
    /// The peer has ended the stream of bytes.
    End,
}

/// Reads one connection.
pub(super) struct Reader {
    /// Whether the peer is a client, which has to mask.
    expects_masked: bool,
    /// Bytes that have been read and not looked at. `None` while the link waits.
    scratch: Option<Scratch>,
    /// What was left in the scratch when it was given back: less than a header, or than a control frame.
    parked: Box<[u8]>,
    /// The data frame whose payload is coming in.
    frame: Option<Incoming>,
    /// The message so far, unmasked.
    message: BytesMut,
    /// Whether frames of the message are to follow the present one.
    fragmented: bool,
    /// Whether a large frame has begun, and no sip since then was full of others: another will follow it, most likely.
    /// What a full read brings along of one has to be copied.
    sipping: bool,
    heard: u64,
}

/// What has not come yet of a data frame.
struct Incoming {
    left: usize,
    /// As it stands for the next byte.
    key: Key,
}

impl Reader {
    /// A reader for what a client (which masks) or a server (which does not) sends. `read` is what came in right
    /// behind the opening handshake, at most what fits into a scratch.
    pub(super) fn new(expects_masked: bool, read: &[u8]) -> Self {
        Self {
            expects_masked,
            scratch: None,
            parked: Box::from(read),
            frame: None,
            message: BytesMut::new(),
            fragmented: false,
            sipping: false,
            heard: read.len() as u64,
        }
    }

    /// Bytes that have come in so far.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// Gives what comes next.
    ///
    /// # Errors
    /// The peer broke a rule or announced too much, or the connection failed; the reader is of no use after that.
    pub(super) fn poll_event<IO: AsyncRead + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Event, TransportError>> {
        if !self.parked.is_empty() {
            self.unpark();
        }
        loop {
            if let Some(event) = self.take_event()? {
                // Who takes a single message, as the handshake does, may be long in coming back.
                if self.scratch.as_ref().is_some_and(Scratch::is_empty) {
                    self.park();
                }
                return Poll::Ready(Ok(event));
            }
            let read = self.poll_read(io, cx);
            if read.is_pending() {
                self.park();
            }
            match ready!(read)? {
                0 => return Poll::Ready(Ok(Event::End)),
                read => self.heard += read as u64,
            }
        }
    }

    fn poll_read<IO: AsyncRead + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(frame) = &mut self.frame
            && frame.left > READ_IN_PLACE
        {
            return frame.poll_read(&mut self.message, &mut self.scratch, io, cx);
        }
        let most = if self.sipping { SIP } else { SCRATCH_LEN };
        let read = ready!(Scratch::lend(&mut self.scratch).poll_read(most, io, cx))?;
        self.sipping &= read < most;
        Poll::Ready(Ok(read))
    }

    /// Gives the scratch back and keeps what is left in it.
    fn park(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            self.parked = Box::from(scratch.unread());
            scratch.give_back();
        }
    }

    fn unpark(&mut self) {
        Scratch::lend(&mut self.scratch).put(&mem::take(&mut self.parked));
    }

    /// The next thing that the bytes at hand make whole; `None` when they do not suffice.
    fn take_event(&mut self) -> Result<Option<Event>, TransportError> {
        loop {
            if self.frame.is_none() {
                let Some(scratch) = &mut self.scratch else {
                    return Ok(None);
                };
                let Some((header, header_len)) = Header::decode(scratch.unread())? else {
                    return Ok(None);
                };
                match (header.key.is_some(), self.expects_masked) {
                    (false, true) => return Err(Violation::Unmasked.into()),
                    (true, false) => return Err(Violation::Masked.into()),
                    (true, true) | (false, false) => {}
                }
                if header.opcode.is_control() {
                    return Ok(take_control(scratch, &header, header_len)?);
                }
                scratch.consume(header_len);
                self.begin(&header)?;
            }
            if !self.receive() {
                return Ok(None);
            }
            if !self.fragmented {
                let message = mem::take(&mut self.message).freeze();
                return Ok(Some(Event::Message(message)));
            }
        }
    }

    /// Judges the header of a data frame, before anything of it is stored.
    fn begin(&mut self, header: &Header) -> Result<(), TransportError> {
        match (header.opcode, self.fragmented) {
            (Opcode::Continuation, false) => return Err(Violation::LooseContinuation.into()),
            (Opcode::Continuation, true) | (_, false) => {}
            (_, true) => return Err(Violation::Interleaved.into()),
        }
        let left = usize::try_from(header.len).unwrap_or(usize::MAX);
        let len = self.message.len().saturating_add(left);
        if len > MAX_FRAME {
            return Err(TransportError::TooLarge {
                len,
                max: MAX_FRAME,
            });
        }
        self.fragmented = !header.fin;
        self.sipping |= left > READ_IN_PLACE;
        self.frame = Some(Incoming {
            left,
            key: header.key.unwrap_or(Key::ZERO),
        });
        Ok(())
    }

    /// Moves what is at hand of the frame into its message; says whether the frame is whole now.
    fn receive(&mut self) -> bool {
        let Some(frame) = &mut self.frame else {
            return false;
        };
        if let Some(scratch) = &mut self.scratch {
            frame.take(scratch, &mut self.message);
        }
        let whole = frame.left == 0;
        if whole {
            self.frame = None;
        }
        whole
    }

    /// Bytes of buffers that this reader holds at the moment.
    #[cfg(test)]
    pub(super) fn holds(&self) -> usize {
        let scratch = self.scratch.as_ref().map_or(0, |_| SCRATCH_LEN);
        scratch + self.parked.len() + self.message.capacity()
    }
}

impl Incoming {
    /// Copies to the message what the scratch has of it. Memory is taken for exactly what is to come, so that it can
    /// be handed on as it is.
    fn take(&mut self, scratch: &mut Scratch, message: &mut BytesMut) {
        let part = scratch.unread();
        let part = &part[..part.len().min(self.left)];
        let ahead = if self.left - part.len() > READ_IN_PLACE {
            MAX_HEADER
        } else {
            0
        };
        reserve(message, self.left + ahead);
        self.key.append(part, message);
        let taken = part.len();
        scratch.consume(taken);
        self.move_on(taken);
    }

    /// Reads to where the message lies, and a little further: when large frames follow each other, the header of the
    /// next one comes along, and each of them costs one read and no copy.
    fn poll_read<IO: AsyncRead + Unpin>(
        &mut self,
        message: &mut BytesMut,
        scratch: &mut Option<Scratch>,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let wanted = self.left + MAX_HEADER;
        let start = message.len();
        reserve(message, wanted);
        let read = ready!(poll_read_buf(Pin::new(io), cx, &mut message.limit(wanted)))?;
        let taken = read.min(self.left);
        let end = start + taken;
        if read > taken {
            Scratch::lend(scratch).put(&message[end..]);
            message.truncate(end);
        }
        self.key.apply(&mut message[start..]);
        self.move_on(taken);
        Poll::Ready(Ok(read))
    }

    fn move_on(&mut self, by: usize) {
        self.left -= by;
        self.key = self.key.after(by);
    }
}

/// Unlike `BytesMut::reserve` takes exactly so much the first time: a message without spare room is frozen without
/// an allocation.
fn reserve(message: &mut BytesMut, len: usize) {
    if message.capacity() == 0 {
        *message = BytesMut::with_capacity(len);
    } else {
        message.reserve(len);
    }
}

/// Takes the control frame at the front, if it is whole.
fn take_control(
    scratch: &mut Scratch,
    header: &Header,
    header_len: usize,
) -> Result<Option<Event>, Violation> {
    // At most 125, by its header.
    let len = usize::try_from(header.len).unwrap_or(usize::MAX);
    let Some(masked) = scratch.unread()[header_len..].get(..len) else {
        return Ok(None);
    };
    let mut payload = BytesMut::with_capacity(len);
    header.key.unwrap_or(Key::ZERO).append(masked, &mut payload);
    scratch.consume(header_len + len);
    match header.opcode {
        Opcode::Close => closing_code(&payload).map(|code| Some(Event::Close(code))),
        Opcode::Ping => Ok(Some(Event::Ping(payload.freeze()))),
        Opcode::Pong | Opcode::Continuation | Opcode::Binary => Ok(Some(Event::Pong)),
    }
}

/// The status code in the body of a close frame (section 5.5.1), if it has one that may be sent (section 7.4).
fn closing_code(body: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = body.split_first_chunk() else {
        return if body.is_empty() {
            Ok(None)
        } else {
            Err(Violation::CloseBody)
        };
    };
    match u16::from_be_bytes(*code) {
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) if str::from_utf8(reason).is_ok() => {
            Ok(Some(code))
        }
        _ => Err(Violation::CloseBody),
    }
}

#[cfg(test)]
mod tests;
