//! Flow control of one direction of one stream, both ends of it: pure arithmetic, with time as an argument.
//!
//! The sender spends credit ([`SendCredit`]); the receiver checks what arrives against what it granted and grants anew as
//! bytes leave for the next hop ([`ReceiveWindow`]). What is in flight or queued for a stream is therefore never more than
//! its window, whoever is slow. Windows start small and double while the stream shows that it empties them quickly.

use std::time::Duration;

use crate::tag::MAX_BODY_FRAME;

/// Credit of each direction when a stream opens, in bytes. With `expect: 100-continue` the request direction starts at 0.
///
/// Most of what the web is made of fits: such a body waits for no grant, which would cost it a round trip.
pub const INITIAL_WINDOW: u32 = 128 * 1024;

/// The most a window grows to, in bytes: 40 MB/s over a path of 100 ms.
pub const MAX_WINDOW: u32 = 4 * 1024 * 1024;

/// What a frame costs beyond its payload, in bytes, so that tiny and empty frames are not free.
pub const FRAME_OVERHEAD: u32 = 64;

/// The most credit a sender may ever hold, 2³¹ − 1 bytes; a grant beyond is a protocol error.
pub const MAX_CREDIT: u32 = 0x7fff_ffff;

/// A body frame that is not the last of its bytes waits until it can carry this many bytes of payload: credit that comes in
/// crumbs is not spent on crumbs.
pub const MIN_CHUNK: usize = 4096;

/// A window that is consumed whole within this time doubles.
pub const GROWTH_PERIOD: Duration = Duration::from_millis(500);

/// A grant is sent when a window's fourth part is due: four small frames a window, and the sender never falls below three
/// quarters of it for lack of a grant.
const GRANT_PARTS: u32 = 4;

/// What a body may cost beyond its length in frames of a usual size, with trailers, in bytes: see
/// [`ReceiveWindow::suffices`].
const ROOM: u64 = 18 * 1024;

/// What a frame with this much payload takes from the credit, in bytes.
pub fn cost(len: usize) -> u32 {
    u32::try_from(len)
        .unwrap_or(u32::MAX)
        .saturating_add(FRAME_OVERHEAD)
}

/// What one side may still send on one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendCredit {
    available: u32,
}

/// A grant would take the credit above 2³¹ − 1. The stream is reset with the code Overrun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a grant of {granted} bytes takes the credit above 2147483647")]
pub struct CreditOverflow {
    /// The grant that was too much, in bytes.
    pub granted: u32,
}

impl SendCredit {
    /// Credit to begin with: [`INITIAL_WINDOW`], or 0 for a request that expects `100 Continue`.
    pub const fn new(available: u32) -> Self {
        Self { available }
    }

    /// Bytes of cost that may be sent now.
    pub const fn available(&self) -> u32 {
        self.available
    }

    /// Takes in a Window message.
    ///
    /// # Errors
    /// When the sum passes [`MAX_CREDIT`]; the credit is unchanged then.
    pub fn add(&mut self, granted: u32) -> Result<(), CreditOverflow> {
        match self.available.checked_add(granted) {
            Some(sum) if sum <= MAX_CREDIT => {
                self.available = sum;
                Ok(())
            }
            Some(_) | None => Err(CreditOverflow { granted }),
        }
    }

    /// Spends `cost` (of [`cost`] or [`crate::Frame::cost`]) if it is there; else spends nothing and says `false`.
    #[must_use = "a frame that was not paid for must not be sent"]
    pub fn take(&mut self, cost: u32) -> bool {
        match self.available.checked_sub(cost) {
            Some(left) => {
                self.available = left;
                true
            }
            None => false,
        }
    }

    /// How many of `wanted` payload bytes may go in one Body frame now, at most [`MAX_BODY_FRAME`]; `None` when not even
    /// `wanted`, or [`MIN_CHUNK`] of them, may. A bare
    /// end needs no credit, so nobody has to ask for 0.
    pub fn chunk(&self, wanted: usize) -> Option<usize> {
        if self.available < cost(wanted.min(MIN_CHUNK)) {
            return None;
        }
        let room =
            usize::try_from(self.available.saturating_sub(FRAME_OVERHEAD)).unwrap_or(usize::MAX);
        Some(wanted.min(room).min(MAX_BODY_FRAME))
    }
}

/// What one side has granted on one stream, and what has come of it.
///
/// `window = outstanding + held + due` always: granted and not used; received and not passed on; passed on and not yet
/// granted again.
#[derive(Debug, Clone)]
pub struct ReceiveWindow {
    window: u32,
    outstanding: u32,
    held: u32,
    due: u32,
    /// When the window being measured began, and what was consumed since.
    measure: Option<(Duration, u32)>,
}

/// The peer sent more than it was granted. The stream is reset with the code Overrun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame costs {cost} bytes, but only {outstanding} bytes of credit were left")]
pub struct Overrun {
    /// What the frame costs, in bytes.
    pub cost: u32,
    /// What was left, in bytes.
    pub outstanding: u32,
}

impl ReceiveWindow {
    /// A window that the peer takes as granted: [`INITIAL_WINDOW`], or 0 for a request that expects `100 Continue`.
    pub const fn new(initial: u32) -> Self {
        Self {
            window: initial,
            outstanding: initial,
            held: 0,
            due: 0,
            measure: None,
        }
    }

    /// The size of the window in bytes: the most the stream can make this side hold.
    pub const fn window(&self) -> u32 {
        self.window
    }

    /// What the peer may still send, in bytes.
    pub const fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// What has arrived and was not consumed yet, in bytes of cost.
    pub const fn held(&self) -> u32 {
        self.held
    }

    /// Raises the window to `window` bytes (at most [`MAX_WINDOW`]) and returns the grant to send, if any. Opens a window that
    /// started at 0.
    pub fn open(&mut self, window: u32) -> Option<u32> {
        let extra = window.min(MAX_WINDOW).saturating_sub(self.window);
        self.window = self.window.saturating_add(extra);
        self.due = self.due.saturating_add(extra);
        self.grant()
    }

    /// Takes in a frame of this cost.
    ///
    /// # Errors
    /// When it is more than was granted; the frame must be dropped and the stream reset.
    pub fn received(&mut self, cost: u32) -> Result<(), Overrun> {
        let Some(left) = self.outstanding.checked_sub(cost) else {
            return Err(Overrun {
                cost,
                outstanding: self.outstanding,
            });
        };
        self.outstanding = left;
        self.held = self.held.saturating_add(cost);
        Ok(())
    }

    /// Bytes of this cost have left for the next hop. Returns the grant to send, if one is worth a frame.
    ///
    /// The window doubles, up to [`MAX_WINDOW`], when a whole window was consumed within [`GROWTH_PERIOD`] and
    /// `may_grow(extra)` agrees to hold so many bytes more; it is asked only then. `now` is a time since any fixed origin.
    pub fn consumed(
        &mut self,
        cost: u32,
        now: Duration,
        may_grow: impl FnOnce(u32) -> bool,
    ) -> Option<u32> {
        // A caller cannot free more than is held: credit is never made from nothing.
        let cost = cost.min(self.held);
        self.freed(cost);
        if self.emptied_quickly(cost, now) {
            let extra = MAX_WINDOW.saturating_sub(self.window).min(self.window);
            if extra > 0 && may_grow(extra) {
                self.window = self.window.saturating_add(extra);
                self.due = self.due.saturating_add(extra);
            }
        }
        if self.due < self.window.div_ceil(GRANT_PARTS) {
            return None;
        }
        self.grant()
    }

    /// True when the peer needs no grant for the `to_come` bytes of a body that follow the piece of this `cost`, held still
    /// and consumed now. A peer that sends them in tiny frames uses up more credit than that: ask again with every piece.
    pub const fn suffices(&self, cost: u32, to_come: u64) -> bool {
        let behind = self.held.saturating_sub(cost);
        let granted = self.outstanding.saturating_add(behind) as u64;
        granted >= to_come.saturating_add(to_come >> 5).saturating_add(ROOM)
    }

    /// As [`ReceiveWindow::consumed`], but grants nothing for now and lets the window as it is: the rest is covered.
    pub fn freed(&mut self, cost: u32) {
        let cost = cost.min(self.held);
        self.held = self.held.saturating_sub(cost);
        self.due = self.due.saturating_add(cost);
    }

    /// Counts towards the window being measured; true when it is full in time. Either way a full or late one starts afresh,
    /// so that a pause does not speak against the burst after it.
    fn emptied_quickly(&mut self, cost: u32, now: Duration) -> bool {
        let (since, sum) = match self.measure {
            Some((since, sum)) if now.saturating_sub(since) < GROWTH_PERIOD => {
                (since, sum.saturating_add(cost))
            }
            Some(_) | None => (now, cost),
        };
        let full = sum >= self.window && self.window > 0;
        self.measure = (!full).then_some((since, sum));
        full
    }

    fn grant(&mut self) -> Option<u32> {
        let grant = std::mem::take(&mut self.due);
        self.outstanding = self.outstanding.saturating_add(grant);
        (grant > 0).then_some(grant)
    }
}

#[cfg(test)]
mod tests;
