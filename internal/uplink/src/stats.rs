//! What the uplink counts, for the log, the metrics and the curious.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one uplink, all since its start but for the first three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Links that serve a tunnel now.
    pub links: usize,
    /// Streams open over all of them now.
    pub streams: usize,
    /// Handshakes in progress now.
    pub pending: u32,
    /// Registrations granted.
    pub granted: u64,
    /// Connections turned away by a cap, before any signature was verified.
    pub capped: u64,
    /// Handshakes that ended without a grant, for any other reason.
    pub refused: u64,
    /// Links ended because the agent broke a rule of the link.
    pub faults: u64,
    /// Links of those granted that came over the channel.
    pub granted_over_tcp: u64,
    /// Tickets for the channel that were given.
    pub tickets: u64,
    /// Requests for a ticket, and tickets, that were refused.
    pub tickets_refused: u64,
    /// Frames, from either side, for streams that were over.
    pub stray_frames: u64,
    /// Times credit was withheld from a link over its rate.
    pub throttled: u64,
    /// Exchanges ended because the link's queue was full.
    pub overflows: u64,
}

/// The counters as they count.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) granted: Counter,
    pub(crate) capped: Counter,
    pub(crate) refused: Counter,
    pub(crate) faults: Counter,
    pub(crate) granted_over_tcp: Counter,
    pub(crate) tickets: Counter,
    pub(crate) tickets_refused: Counter,
    pub(crate) stray_frames: Counter,
    pub(crate) throttled: Counter,
    pub(crate) overflows: Counter,
}

impl Counters {
    pub(crate) fn read(&self, (links, streams): (usize, usize), pending: u32) -> Stats {
        Stats {
            links,
            streams,
            pending,
            granted: self.granted.read(),
            capped: self.capped.read(),
            refused: self.refused.read(),
            faults: self.faults.read(),
            granted_over_tcp: self.granted_over_tcp.read(),
            tickets: self.tickets.read(),
            tickets_refused: self.tickets_refused.read(),
            stray_frames: self.stray_frames.read(),
            throttled: self.throttled.read(),
            overflows: self.overflows.read(),
        }
    }
}

/// A number that only rises; no other memory hangs on it.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
