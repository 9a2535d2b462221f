//! Slows visitors who send more over a link than its rate.
//!
//! What they sent has crossed already, so it is paid for with time, as in the
//! other direction: the credit that the agent grants them is kept back until
//! then. Pure: time is handed in, and what was kept back is handed out.

use foldhash::{HashMap, HashMapExt};
use messages::{MAX_CREDIT, StreamId};
use tokio::time::Instant;

use crate::throttle::{Pace, Throttle};

/// What a link has sent of late, and the credit that is kept back for it.
#[derive(Debug)]
pub(super) struct Brake {
    throttle: Throttle,
    began: Instant,
    until: Option<Instant>,
    kept: HashMap<StreamId, u32>,
    /// Streams whose credit is kept at a time. Beyond it credit passes.
    limit: usize,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before this time.
    At(Instant),
    /// All of this, now; nothing is kept back any more.
    Now(Vec<(StreamId, u32)>),
}

impl Brake {
    pub(super) fn new(throttle: Throttle, limit: usize, now: Instant) -> Self {
        Self {
            throttle,
            began: now,
            until: None,
            kept: HashMap::new(),
            limit,
        }
    }

    /// Counts a frame. Gives the time until which credit should wait, when that
    /// is later than was known.
    pub(super) fn sent(&mut self, bytes: usize, now: impl FnOnce() -> Instant) -> Option<Instant> {
        let began = self.began;
        let mut seen = began;
        let pace = self.throttle.received(bytes, || {
            seen = now();
            seen - began
        });
        match pace {
            // A flood is the visitors', within the credit that was granted: the link is not to blame.
            Pace::Free | Pace::Flood => None,
            Pace::Hold(pause) => Some(seen + pause),
        }
    }

    /// Keeps credit back from now on. True when none was before: then somebody has
    /// to come for it.
    pub(super) fn hold_until(&mut self, until: Instant) -> bool {
        let first = self.until.is_none();
        self.until = self.until.max(Some(until));
        first
    }

    /// Whether this credit is kept back; otherwise it passes.
    pub(super) fn keeps(&mut self, stream: StreamId, credit: u32) -> bool {
        let known = self.kept.contains_key(&stream);
        if self.until.is_none() || (!known && self.kept.len() >= self.limit) {
            return false;
        }
        let kept = self.kept.entry(stream).or_default();
        *kept = kept.saturating_add(credit).min(MAX_CREDIT);
        true
    }

    /// What may pass by now.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        match self.until {
            Some(until) if now < until => Due::At(until),
            _ => {
                self.until = None;
                Due::Now(std::mem::take(&mut self.kept).into_iter().collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Rate;

    fn brake(now: Instant) -> Brake {
        Brake::new(Throttle::new(Rate::new(10, 16), None), 2, now)
    }

    #[test]
    fn credit_waits_until_what_was_sent_is_paid_for() {
        let now = Instant::now();
        let mut brake = brake(now);
        assert!(!brake.keeps(StreamId(1), 5), "nothing is held yet");
        let held: Vec<_> = (0..32).filter_map(|_| brake.sent(100, || now)).collect();
        let until = now + Duration::from_millis(1_600);
        assert_eq!(held, [until]);
        assert!(brake.hold_until(until) && !brake.hold_until(now));
        assert!(brake.keeps(StreamId(1), 5) && brake.keeps(StreamId(1), 6));
        assert_eq!(brake.due(now), Due::At(until));
        assert_eq!(brake.due(until), Due::Now(vec![(StreamId(1), 11)]));
        assert!(!brake.keeps(StreamId(1), 5), "the hold is over");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let now = Instant::now();
        let mut brake = brake(now);
        brake.hold_until(now + Duration::from_secs(1));
        assert!(brake.keeps(StreamId(1), MAX_CREDIT) && brake.keeps(StreamId(1), 1));
        assert!(brake.keeps(StreamId(2), 1));
        assert!(!brake.keeps(StreamId(3), 1));
        let Due::Now(mut kept) = brake.due(now + Duration::from_secs(1)) else {
            panic!("it is due");
        };
        kept.sort_unstable_by_key(|(stream, _)| *stream);
        assert_eq!(kept, [(StreamId(1), MAX_CREDIT), (StreamId(2), 1)]);
    }
}
