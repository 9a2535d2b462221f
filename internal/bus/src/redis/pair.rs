//! What this node and one other have told each other, and what that proves: pure, with the time given by the caller.
//!
//! Redis' pub/sub delivers at most once and says nothing of what it dropped, so the two count. Both number their batches
//! and say with every message which number they sent last; messages of one sender arrive in order or not at all, so a
//! number that does not fit the last one proves a loss, also of the last batch: probes repeat its number each second.
//!
//! All counting belongs to a **term**. A node that notices a loss, or that was cut off itself, begins the next term:
//! what was queued is dropped, the numbers begin anew, and the exchanges of the pair end (one [`Report`]). The other
//! does the same as soon as it hears of a higher term; what still comes of a lower one is dropped and answered with
//! the current term. Exchanges therefore never outlive a term, on neither side, and terms rise only by trouble.
//!
//! The same messages carry the budget: how many bytes a node may have under way to another that has not consumed them
//! yet. All budgets towards one node sum to [`TOTAL_BUDGET`], below what makes Redis drop a slow subscriber.

mod queue;

use std::time::Duration;

use messages::NodeId;
use tokio::time::Instant;

use self::queue::Queue;
use super::timing::Timing;
use super::wire::Header;
use crate::{Envelope, SendError};

/// How many bytes all others together may have under way to one node. Redis' default output limit for a subscriber is
/// 8 MiB for 60 s, and 32 MiB at once. The rest is for notices, and for budgets that are just being divided anew: a sender
/// may still have its former share under way, so that for a moment it is 6 + 3 + 2 + … MiB, with 96 senders 31.
pub(super) const TOTAL_BUDGET: u64 = 6 * 1024 * 1024;

/// What a node may send before it was told its budget.
const FIRST_BUDGET: u64 = 256 * 1024;

/// The smallest budget. With more than 96 busy peers the sum exceeds [`TOTAL_BUDGET`].
const LEAST_BUDGET: u64 = 64 * 1024;

/// How often a new term is told. A node that does not hear of it by then is gone, or learns of it when it speaks.
const GREETINGS: u8 = 10;

/// After so much silence a pair that still shares an exchange is probed less often.
const QUIET: Duration = Duration::from_mins(10);

/// How much less often.
const QUIET_PROBES: u32 = 5;

/// After so much silence the pair is forgotten. Should it speak again, the numbers do not fit and its exchanges end.
const FORGOTTEN: Duration = Duration::from_hours(24);

/// What the inbox must be told about the other node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// Envelopes went missing.
    Gap,
    /// The node is gone.
    Lost,
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Received {
    /// To be told first.
    pub(super) report: Option<Report>,
    /// Whether the message's envelopes are to be delivered.
    pub(super) deliver: bool,
}

/// The state of a pair, on one side.
#[derive(Debug)]
pub(super) struct Pair {
    term: u64,
    queue: Queue,
    sent: u64,
    sent_bytes: u64,
    /// Of the bytes sent, how many the other has consumed.
    peer_consumed: u64,
    peer_budget: u64,
    received: u64,
    consumed: u64,
    /// What the other was last told of `consumed`, and its budget.
    told: u64,
    granted: u64,
    /// Envelopes have gone one way or the other in this term, so there may be exchanges that would have to end.
    used: bool,
    last_traffic: Option<Instant>,
    last_inbound: Option<Instant>,
    last_probe: Option<Instant>,
    unanswered: u8,
    /// Until when the node is taken to be gone.
    gone_until: Option<Instant>,
    /// How often the other is still to be told of a term that this node began, unless it shows that it knows: else it
    /// would learn of it only by losing what it sends next.
    greetings: u8,
    due: Due,
    /// On the publisher's list.
    scheduled: bool,
}

/// What is to be said even when no envelope waits.
#[derive(Debug, Default)]
struct Due {
    /// How things stand.
    word: bool,
    probe: bool,
    leaving: bool,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self {
            term: 0,
            queue: Queue::default(),
            sent: 0,
            sent_bytes: 0,
            peer_consumed: 0,
            peer_budget: FIRST_BUDGET,
            received: 0,
            consumed: 0,
            told: 0,
            granted: FIRST_BUDGET,
            used: false,
            last_traffic: None,
            last_inbound: None,
            last_probe: None,
            unanswered: 0,
            gone_until: None,
            greetings: 0,
            due: Due::default(),
            scheduled: false,
        }
    }

    /// Queues an envelope.
    pub(super) fn push(&mut self, envelope: Envelope, now: Instant) -> Result<(), SendError> {
        if self.is_gone(now) {
            return Err(SendError::NoSuchNode);
        }
        self.queue.push(envelope)?;
        self.gone_until = None;
        self.used = true;
        self.last_traffic = Some(now);
        Ok(())
    }

    /// The next message for the other node, if anything may be said now. `share` is the budget it gets.
    pub(super) fn next_message(
        &mut self,
        from: NodeId,
        share: u64,
    ) -> Option<(Header, Vec<Envelope>)> {
        let batch = self.next_batch();
        let leaving = self.due.leaving && self.queue.is_empty();
        let idle = batch.is_empty() && !self.due.word && !self.due.probe && !leaving;
        if idle {
            return None;
        }
        if !batch.is_empty() {
            self.sent += 1;
        }
        self.told = self.consumed;
        self.granted = share.max(LEAST_BUDGET);
        let header = Header {
            from,
            term: self.term,
            number: self.sent,
            received: self.received,
            consumed: self.consumed,
            budget: self.granted,
            probe: std::mem::take(&mut self.due.probe),
            leaving,
            batch: !batch.is_empty(),
        };
        self.due.word = false;
        self.due.leaving &= !leaving;
        Some((header, batch))
    }

    fn next_batch(&mut self) -> Vec<Envelope> {
        let (batch, bytes) = self.queue.next_batch(self.under_way(), self.peer_budget);
        self.sent_bytes += bytes;
        batch
    }

    fn under_way(&self) -> u64 {
        self.sent_bytes - self.peer_consumed
    }

    /// Whether [`next_message`](Self::next_message) would say something.
    fn is_ready(&self) -> bool {
        let fits = || self.queue.fits(self.under_way(), self.peer_budget);
        self.due.word || self.due.probe || fits() || (self.due.leaving && self.queue.is_empty())
    }

    /// Whether the pair is to be put on the publisher's list now; true once until [`taken_up`](Self::taken_up).
    pub(super) fn schedule(&mut self) -> bool {
        let newly = !self.scheduled && self.is_ready();
        self.scheduled |= newly;
        newly
    }

    /// The publisher has taken the pair off its list.
    pub(super) fn taken_up(&mut self) {
        self.scheduled = false;
    }

    /// Judges a message from the other node; `len` bytes of envelopes come with it.
    pub(super) fn receive(
        &mut self,
        header: &Header,
        len: usize,
        timing: &Timing,
        now: Instant,
    ) -> Received {
        if header.leaving {
            self.term = self.term.max(header.term);
            return Received {
                report: self.lose(now + timing.lease),
                deliver: false,
            };
        }
        self.gone_until = None;
        self.unanswered = 0;
        if header.term < self.term {
            // It does not know yet that this term began.
            self.due.word |= header.batch || header.probe;
            return Received::default();
        }
        let mut report = None;
        if header.term > self.term {
            report = self.begin(header.term);
        }
        let expected = self.received + u64::from(header.batch);
        let nonsense = header.received > self.sent || header.consumed > self.sent_bytes;
        if header.number != expected || nonsense {
            let gap = self.begin_own();
            return Received {
                report: report.or(gap),
                deliver: false,
            };
        }
        self.greetings = 0;
        self.peer_consumed = self.peer_consumed.max(header.consumed);
        self.peer_budget = header.budget;
        if header.probe {
            self.due.word = true;
            self.last_probe = Some(now);
        }
        if header.batch {
            self.received += 1;
            self.consumed += len as u64;
            self.used = true;
            self.last_traffic = Some(now);
            self.last_inbound = Some(now);
            self.due.word |= self.consumed - self.told >= self.granted / 4;
        }
        Received {
            report,
            deliver: header.batch,
        }
    }

    /// Redis says how many heard a message of `term`.
    pub(super) fn published(
        &mut self,
        term: u64,
        receivers: u64,
        timing: &Timing,
        now: Instant,
    ) -> Option<Report> {
        if receivers > 0 || term != self.term {
            return None;
        }
        // It may only be reconnecting, so it is tried again soon.
        self.lose(now + timing.probe)
    }

    /// A batch held what is no envelope.
    pub(super) fn spoiled(&mut self) -> Option<Report> {
        self.begin_own()
    }

    /// This node was cut off from the bus: nothing that was under way can be relied on.
    pub(super) fn cut(&mut self) -> Option<Report> {
        // Nobody could have answered meanwhile, so that it was silent says nothing of the other. If it is really gone, a
        // publish that nobody hears shows it again.
        self.gone_until = None;
        if !self.used {
            // A term in which nothing happened here goes on: the other's numbers show whether anything was lost.
            return None;
        }
        let leaving = self.due.leaving;
        let report = self.begin_own();
        self.due.leaving = leaving;
        report
    }

    /// To be called some times in each interval of probes.
    ///
    /// One that was taken to be gone is greeted as well: it may have been the bus that was silent, and its first word ends
    /// the matter for both.
    pub(super) fn tick(&mut self, timing: &Timing, now: Instant) -> Option<Report> {
        let since = |then: Option<Instant>| then.map_or(Duration::MAX, |then| now - then);
        let since_probe = since(self.last_probe);
        if !self.used {
            if self.greetings > 0 && since_probe >= timing.probe {
                self.greetings -= 1;
                self.due.probe = true;
                self.last_probe = Some(now);
            }
            return None;
        }
        if self.unanswered >= 2 {
            let is_late = since_probe >= timing.probe / 2;
            return if is_late {
                self.lose(now + timing.lease)
            } else {
                None
            };
        }
        let interval = match since(self.last_traffic) < QUIET {
            true => timing.probe,
            false => timing.probe * QUIET_PROBES,
        };
        // A probe that awaits its answer is followed soon, also in a quiet pair.
        if since_probe >= interval || (self.unanswered > 0 && since_probe >= timing.probe) {
            self.due.probe = true;
            self.unanswered += 1;
            self.last_probe = Some(now);
        }
        None
    }

    /// To say goodbye once everything queued has gone.
    pub(super) fn leave(&mut self) {
        self.due.leaving = self.used;
    }

    /// Whether nothing is left to be said.
    pub(super) fn is_silent(&self) -> bool {
        self.queue.is_empty() && !self.due.leaving
    }

    pub(super) fn is_gone(&self, now: Instant) -> bool {
        self.gone_until.is_some_and(|until| now < until)
    }

    /// Whether the other node sends at present, so that it needs a share of the budget.
    pub(super) fn is_sending(&self, timing: &Timing, now: Instant) -> bool {
        let recent = timing.probe * 2;
        self.last_inbound.is_some_and(|last| now - last < recent)
    }

    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        let silent = self.last_traffic.is_none_or(|last| now - last > FORGOTTEN);
        silent && self.is_silent() && !self.is_gone(now)
    }

    fn lose(&mut self, until: Instant) -> Option<Report> {
        let was_used = self.used;
        if was_used {
            self.begin_own();
            self.due.word = false;
        }
        self.gone_until = Some(until);
        was_used.then_some(Report::Lost)
    }

    /// Begins a term that the other does not know of.
    fn begin_own(&mut self) -> Option<Report> {
        let report = self.begin(self.term + 1);
        self.due.word = true;
        self.greetings = GREETINGS;
        report
    }

    /// Begins a term, which ends every exchange of the pair: a gap, if there can be any.
    fn begin(&mut self, term: u64) -> Option<Report> {
        let was_used = self.used;
        *self = Self {
            term,
            last_traffic: self.last_traffic,
            last_inbound: self.last_inbound,
            scheduled: self.scheduled,
            ..Self::new()
        };
        was_used.then_some(Report::Gap)
    }
}

/// The share of the budget for each of so many senders.
pub(super) fn share(senders: usize) -> u64 {
    TOTAL_BUDGET / u64::try_from(senders).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests;
