//! What waits to be written on one link, and the handle that others write it with.
//!
//! Pushing never waits: credit has already decided how much may be on its way, so an outbox that is full means a bug
//! or a hostile peer, and says so. The link takes frames out in the order that [`queue`] decides.

mod queue;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::{fmt, mem};

use messages::{Disconnect, Frame};
use tokio::time::Instant;

use queue::Queue;

/// How much may wait on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Bytes of data frames, each counted with 64 bytes of overhead. Default 144 MiB, the most that credit can
    /// explain: the first window of 1,024 streams, the 64 MiB that a node's windows grow by, and 16 MiB of heads.
    /// Anything less ends links that did nothing wrong, as soon as several large bodies meet on a slow way.
    pub bytes: usize,
    /// Frames in the control lane (Window, Reset, Ping, Pong). Default 16,384: a few for each stream that a link
    /// can have; a peer that provokes more and reads none of them is not worth keeping.
    pub control_frames: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            bytes: 144 << 20,
            control_frames: 16 << 10,
        }
    }
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// More is waiting than credit can explain: end the stream that did it, or the link.
    #[error("the link's outbox is full")]
    Full,
    /// The link has ended or is saying goodbye.
    #[error("the link is closed")]
    Closed,
}

/// The queue of one link: many push, one link takes. Clones share it.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    queue: Queue,
    phase: Phase,
    /// The link's task. Kept from turn to turn, for it hardly ever changes.
    link: Option<Waker>,
    /// Whether the link has nothing left to write, and is to be woken by the next who gives it something.
    armed: bool,
}

enum Phase {
    Open,
    /// Somebody closed it: what waits is still written, and this last.
    Closing(Option<Disconnect>),
    /// Nothing is written any more.
    Shut,
}

/// What the link should do next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Write this.
    Frame(Frame),
    /// Somebody closed the outbox: say goodbye.
    Closing,
    /// Nothing to write; the waker is kept. Frames that are held back may go at this time.
    Idle(Option<Instant>),
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new(OutboxLimits::default())
    }
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Self {
        let shared = Shared {
            queue: Queue::new(limits),
            phase: Phase::Open,
            link: None,
            armed: false,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Queues a frame and returns at once. Frames of one stream keep their order, except that control frames go
    /// ahead of data, and that a Reset (other than `Done`) drops what its stream still had waiting.
    ///
    /// # Errors
    /// The limits are reached, or the link is closing.
    pub fn push(&self, frame: Frame) -> Result<(), PushError> {
        let mut shared = self.lock();
        if !matches!(shared.phase, Phase::Open) {
            return Err(PushError::Closed);
        }
        shared.queue.push(frame)?;
        shared.wake_link();
        Ok(())
    }

    /// Ends the link from this side: what waits is written (new exchanges excepted), then the Disconnect if there
    /// is one, all within a second; then the transport is closed. Only the first call counts.
    pub fn close(&self, last: Option<Disconnect>) {
        let mut shared = self.lock();
        if matches!(shared.phase, Phase::Open) {
            shared.queue.drop_openings();
            shared.phase = Phase::Closing(last);
            shared.wake_link();
        }
    }

    /// Whether the link has ended or been told to.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        !matches!(self.lock().phase, Phase::Open)
    }

    /// Holds Window frames and the frames that open streams back until `until`: a peer over its rate gets no
    /// credit and no new work, while everything else flows. The later of two calls' times counts.
    pub fn hold_until(&self, until: Instant) {
        let mut shared = self.lock();
        shared.queue.hold_until(until);
        // The link may be idle with a timer for an earlier time, or none: let it look again.
        shared.wake_link();
    }

    /// Bytes of data that wait, each frame with its 64 bytes of overhead.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.lock().queue.bytes()
    }

    /// Says that the link runs anyway, so that its own pushes do not wake it again.
    pub(crate) fn disarm(&self) {
        self.lock().armed = false;
    }

    /// Gives back the memory that a burst has left, if nothing waits: an idle link pays for what it holds, not for what
    /// it once held. Not for every turn, since a busy link would take it all again in the next.
    pub(crate) fn trim(&self) {
        self.lock().queue.trim();
    }

    /// Takes the next frame, or keeps the waker until there is one.
    pub(crate) fn next(&self, now: Instant, cx: &Context<'_>) -> Next {
        let mut shared = self.lock();
        if !matches!(shared.phase, Phase::Open) {
            return Next::Closing;
        }
        if let Some(frame) = shared.queue.pop(now) {
            return Next::Frame(frame);
        }
        shared.arm(cx.waker());
        Next::Idle(shared.queue.held_until())
    }

    /// Waits for [`Outbox::close`] alone: for a link that cannot write at the moment.
    pub(crate) fn poll_closing(&self, cx: &Context<'_>) -> Poll<()> {
        let mut shared = self.lock();
        if !matches!(shared.phase, Phase::Open) {
            return Poll::Ready(());
        }
        shared.arm(cx.waker());
        Poll::Pending
    }

    /// What is left to write once the outbox is closing.
    pub(crate) fn remaining(&self, now: Instant) -> Option<Frame> {
        self.lock().queue.pop(now)
    }

    /// Closes for good and forgets what waited.
    pub(crate) fn shut(&self) {
        let mut shared = self.lock();
        shared.queue.clear();
        shared.phase = Phase::Shut;
        shared.link = None;
    }

    /// The Disconnect that a closer left. The queue stays.
    pub(crate) fn last_word(&self) -> Option<Disconnect> {
        match &self.lock().phase {
            Phase::Closing(last) => last.clone(),
            Phase::Open | Phase::Shut => None,
        }
    }

    /// For how many frames and streams memory is held, whether or not they are there.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.lock().queue.room()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing panics while it is held, and if something did, a queue of whole frames is still one.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn arm(&mut self, waker: &Waker) {
        match &mut self.link {
            Some(link) => link.clone_from(waker),
            None => self.link = Some(waker.clone()),
        }
        self.armed = true;
    }

    fn wake_link(&mut self) {
        if mem::take(&mut self.armed)
            && let Some(link) = &self.link
        {
            link.wake_by_ref();
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.queued_bytes();
        f.debug_struct("Outbox")
            .field("queued_bytes", &bytes)
            .finish_non_exhaustive()
    }
}
