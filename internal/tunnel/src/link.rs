//! Runs one link: reads, writes and watches over liveness in a single hand-polled future.
//!
//! One future and not a reader beside a writer, for two reasons. Nothing is handed between tasks, so a frame costs no
//! wake-up of its own; and a write that is blocked can never stop the reading, which two peers that both
//! write would otherwise answer with a deadlock. What frames *mean* is the [`FrameHandler`]'s business.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use messages::{DecodeError, Disconnect, DisconnectCode, Frame, FrameError, Message, Notice, Tag};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::keepalive::{Verdict, Watch};
use crate::outbox::Next;
use crate::text::printable;
use crate::{Keepalive, Outbox, Transport, TransportError};

/// Takes the frames that arrive on a link.
pub trait FrameHandler: Send {
    /// Takes one frame of a known tag that belongs to a stream. Must not block: it runs in the middle of the
    /// link's polling, and may push into the link's own outbox.
    ///
    /// # Errors
    /// A fault ends the link: the peer is told `Disconnect(protocol)`. What concerns one stream alone is
    /// answered by a Reset in the outbox instead.
    fn on_frame(&mut self, frame: Frame) -> Result<(), LinkFault>;

    /// Told of a frame that was skipped, because its tag is not known here and was not marked critical.
    fn on_skipped(&mut self, tag: u8) {
        tracing::debug!(tag, "skipped a frame of an unknown kind");
    }

    /// Told that the peer is going down: the first `Disconnect(draining)` of the link. Gives whether the link stays up
    /// for what runs on it. If it does, the peer closes when it must, and any further Disconnect is the end. By default
    /// this one is, as any other code always is.
    fn on_draining(&mut self, _notice: &Disconnect) -> bool {
        false
    }

    /// Told what the server wants this agent's owner to know; at most once a second, whatever it sends. By default it goes
    /// to the log.
    ///
    /// # Errors
    /// Where this side is no agent: nobody has such a message for a server.
    fn on_notice(&mut self, notice: &Notice) -> Result<(), LinkFault> {
        let code = printable(notice.code.as_str());
        tracing::warn!(code, "the server says: {}", notice.message);
        Ok(())
    }
}

impl<H: FrameHandler + ?Sized> FrameHandler for &mut H {
    fn on_frame(&mut self, frame: Frame) -> Result<(), LinkFault> {
        (**self).on_frame(frame)
    }

    fn on_skipped(&mut self, tag: u8) {
        (**self).on_skipped(tag);
    }

    fn on_draining(&mut self, notice: &Disconnect) -> bool {
        (**self).on_draining(notice)
    }

    fn on_notice(&mut self, notice: &Notice) -> Result<(), LinkFault> {
        (**self).on_notice(notice)
    }
}

/// What a peer did that no link survives.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkFault {
    /// A message that is no legal frame.
    #[error("malformed frame: {0}")]
    Frame(#[from] FrameError),
    /// A frame whose payload does not decode.
    #[error("malformed message: {0}")]
    Decode(#[from] DecodeError),
    /// A known message that has no business here.
    #[error("unexpected message {0:?}")]
    Unexpected(Tag),
    /// The outbox is full: the peer caused more answers than may wait for it.
    #[error("the peer provokes answers and does not read them")]
    Overflow,
    /// Any other rule that was broken, in words: a stream that was never opened, say.
    #[error("{0}")]
    Protocol(String),
}

/// How a link ended.
#[derive(Debug)]
pub enum LinkEnd {
    /// The peer closed the transport without a word.
    Closed,
    /// Nothing was heard for [`Keepalive::dead_after`].
    Dead,
    /// The peer said goodbye, and why.
    Disconnected(Disconnect),
    /// The peer broke the protocol, and has been told.
    Fault(LinkFault),
    /// The transport failed.
    Transport(TransportError),
    /// This side closed the [`Outbox`], with this last word.
    Local(Option<Disconnect>),
}

/// How long a link that ends may take to get its last words out.
const GOODBYE: Duration = Duration::from_secs(1);

/// The handler hears of one notice in so long: what a peer says must not fill a log.
const NOTICE_PERIOD: Duration = Duration::from_secs(1);

/// Messages that are read before writing gets its turn, and the task lets others run.
const READ_BATCH: usize = 64;

/// Runs a link until it ends, and says how. The outbox is closed afterwards, however it ended.
///
/// Dropping the future cuts the link without a goodbye; call [`Outbox::close`] and let it finish instead.
pub async fn drive<T, H>(transport: T, outbox: Outbox, handler: H, keepalive: Keepalive) -> LinkEnd
where
    T: Transport,
    H: FrameHandler,
{
    let mut link = Link::new(transport, outbox, handler, keepalive);
    let end = poll_fn(|cx| link.poll_run(cx)).await;
    let last = match &end {
        LinkEnd::Local(last) => last.clone(),
        LinkEnd::Fault(fault) => {
            link.outbox.shut();
            Some(Disconnect::new(DisconnectCode::Protocol, fault.to_string()))
        }
        LinkEnd::Closed | LinkEnd::Dead | LinkEnd::Disconnected(_) | LinkEnd::Transport(_) => {
            return end;
        }
    };
    link.last = last.map(|disconnect| disconnect.encode());
    if timeout(GOODBYE, poll_fn(|cx| link.poll_goodbye(cx)))
        .await
        .is_err()
    {
        tracing::debug!("the peer did not take the goodbye in time");
    }
    end
}

struct Link<T, H> {
    transport: T,
    outbox: Outbox,
    handler: H,
    watch: Watch,
    timer: Pin<Box<Sleep>>,
    /// Bytes heard when last looked.
    heard: u64,
    /// The answer to the peer's latest ping. Only the latest: a peer that pings without reading gets one answer.
    pong: Option<Frame>,
    ping: Option<Frame>,
    pings: u64,
    /// Whether the peer has said that it is going down.
    noticed: bool,
    /// When the handler was told of a notice.
    told_at: Option<Instant>,
    unflushed: bool,
    /// The Disconnect to end with.
    last: Option<Frame>,
    said_goodbye: bool,
}

impl<T: Transport, H: FrameHandler> Link<T, H> {
    fn new(transport: T, outbox: Outbox, handler: H, keepalive: Keepalive) -> Self {
        let watch = Watch::new(
            keepalive,
            Instant::now(),
            u32::from_be_bytes(identity::random_bytes()),
        );
        Self {
            heard: transport.bytes_heard(),
            timer: Box::pin(sleep_until(watch.deadline())),
            transport,
            outbox,
            handler,
            watch,
            pong: None,
            ping: None,
            pings: 0,
            noticed: false,
            told_at: None,
            unflushed: false,
            last: None,
            said_goodbye: false,
        }
    }

    /// One turn. Reading comes before the judgement on silence: a process that was itself asleep for a minute
    /// finds the bytes that prove its peer alive in the socket.
    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<LinkEnd> {
        self.outbox.disarm();
        let read = self.poll_read(cx);
        let now = Instant::now();
        let heard = self.transport.bytes_heard();
        if heard != self.heard {
            self.heard = heard;
            self.watch.hear(now);
        }
        if read.is_ready() {
            return read;
        }
        match self.watch.judge(now) {
            Verdict::Alive => {}
            Verdict::Ping => {
                self.pings += 1;
                self.ping = Some(Frame::ping(self.pings.to_be_bytes()));
            }
            Verdict::Dead => return Poll::Ready(LinkEnd::Dead),
        }
        let mut deadline = self.watch.deadline();
        match self.poll_write(now, cx) {
            Poll::Ready(Written::Ended(end)) => return Poll::Ready(end),
            Poll::Ready(Written::All {
                held_until: Some(until),
            }) => deadline = deadline.min(until),
            Poll::Ready(Written::All { held_until: None }) | Poll::Pending => {}
        }
        self.arm(deadline, cx);
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<LinkEnd> {
        for _ in 0..READ_BATCH {
            let end = match ready!(Pin::new(&mut self.transport).poll_next(cx)) {
                None => Some(LinkEnd::Closed),
                Some(Err(error)) => Some(LinkEnd::Transport(error)),
                Some(Ok(bytes)) => self
                    .take(bytes)
                    .unwrap_or_else(|fault| Some(LinkEnd::Fault(fault))),
            };
            if let Some(end) = end {
                return Poll::Ready(end);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Handles one message; gives the end when it was the last.
    fn take(&mut self, bytes: Bytes) -> Result<Option<LinkEnd>, LinkFault> {
        let frame = Frame::decode(bytes)?;
        let Some(tag) = frame.tag() else {
            self.handler.on_skipped(frame.tag);
            return Ok(None);
        };
        if tag.on_stream() {
            self.handler.on_frame(frame)?;
            return Ok(None);
        }
        match Message::decode(&frame)? {
            Message::Ping(token) => self.pong = Some(Frame::pong(token)),
            // It was heard: that is all a pong is for.
            Message::Pong(_) => {}
            Message::Disconnect(mut disconnect) => {
                disconnect.reason = printable(&disconnect.reason);
                return Ok(self.judge(disconnect));
            }
            Message::Notice(notice) => self.pass_on(notice)?,
            _ => return Err(LinkFault::Unexpected(tag)),
        }
        Ok(None)
    }

    fn pass_on(&mut self, mut notice: Notice) -> Result<(), LinkFault> {
        let now = Instant::now();
        if self.told_at.is_some_and(|told| now - told < NOTICE_PERIOD) {
            return Ok(());
        }
        self.told_at = Some(now);
        notice.message = printable(&notice.message);
        self.handler.on_notice(&notice)
    }

    /// Whether this Disconnect is the end, or the notice of a peer that still answers.
    fn judge(&mut self, disconnect: Disconnect) -> Option<LinkEnd> {
        let first = !mem::replace(&mut self.noticed, true);
        let notice = first && disconnect.code == DisconnectCode::Draining;
        if notice && self.handler.on_draining(&disconnect) {
            return None;
        }
        Some(LinkEnd::Disconnected(disconnect))
    }

    /// Feeds everything that waits to the transport, then flushes once.
    fn poll_write(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<Written> {
        match self.poll_feed(now, cx) {
            Poll::Ready(Ok(written)) => Poll::Ready(written),
            Poll::Ready(Err(error)) => Poll::Ready(Written::Ended(LinkEnd::Transport(error))),
            Poll::Pending => {
                // Blocked by the peer, but not deaf to this side's wish to leave.
                ready!(self.outbox.poll_closing(cx));
                Poll::Ready(Written::Ended(LinkEnd::Local(self.outbox.last_word())))
            }
        }
    }

    fn poll_feed(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Written, TransportError>> {
        let held_until = loop {
            ready!(Pin::new(&mut self.transport).poll_ready(cx))?;
            let frame = match self.pong.take().or_else(|| self.ping.take()) {
                Some(own) => own,
                None => match self.outbox.next(now, cx) {
                    Next::Frame(frame) => frame,
                    Next::Idle(held_until) => break held_until,
                    Next::Closing => {
                        return Poll::Ready(Ok(Written::Ended(LinkEnd::Local(
                            self.outbox.last_word(),
                        ))));
                    }
                },
            };
            Pin::new(&mut self.transport).start_send(frame)?;
            self.unflushed = true;
        };
        if self.unflushed {
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(Written::All { held_until }))
    }

    /// Asks to be polled again at `deadline`. The timer only ever moves when it is late or has fired: on a busy link,
    /// where each byte heard moves the deadline, it is touched once in ten seconds.
    fn arm(&mut self, deadline: Instant, cx: &mut Context<'_>) {
        let fired = self.timer.is_elapsed();
        if fired {
            self.outbox.trim();
        }
        if fired || deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Writes what is left and the last word, closes, and reads on until the peer has closed too: closing a socket
    /// with unread bytes in it would throw away what was just written.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.said_goodbye {
            match self.poll_last_words(cx) {
                Poll::Ready(Ok(())) => self.said_goodbye = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        for _ in 0..READ_BATCH {
            match ready!(Pin::new(&mut self.transport).poll_next(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None if self.said_goodbye => return Poll::Ready(()),
                // A peer that has closed its half may still be reading.
                Some(Err(_)) | None => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        loop {
            ready!(Pin::new(&mut self.transport).poll_ready(cx))?;
            let frame = self
                .outbox
                .remaining(Instant::now())
                .or_else(|| self.last.take());
            let Some(frame) = frame else { break };
            Pin::new(&mut self.transport).start_send(frame)?;
        }
        Pin::new(&mut self.transport).poll_close(cx)
    }
}

/// What a turn of writing came to.
enum Written {
    /// All that may go has gone; the rest waits until then.
    All {
        held_until: Option<Instant>,
    },
    Ended(LinkEnd),
}

impl<T, H> Drop for Link<T, H> {
    fn drop(&mut self) {
        self.outbox.shut();
    }
}

#[cfg(test)]
mod tests;
