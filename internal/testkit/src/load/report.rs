//! What a load saw.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::connections::Visit;

/// Failures kept with their details.
const DETAILS: usize = 20;

/// How it went.
#[derive(Debug, Clone)]
pub struct Report {
    /// Requests whose time had come.
    pub sent: u64,
    /// Those that got a whole 200.
    pub ok: u64,
    /// Those that got anything else. What is neither is in flight.
    pub failed: u64,
    /// Those sent again, because their connection had closed before anything of them was written.
    pub sent_again: u64,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// The longest time without a success, from the beginning to the end.
    pub longest_gap: Duration,
    /// When it began, since the beginning.
    pub gap_at: Duration,
    /// Half of the successes took no longer.
    pub p50: Duration,
    /// 99 of 100 successes took no longer.
    pub p99: Duration,
}

impl Report {
    /// Panics, and tells what happened, unless every request that was sent succeeded.
    pub fn assert_nothing_lost(&self) {
        assert!(self.sent > 0 && self.ok == self.sent, "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sent, {} ok, {} failed, {} sent again, longest gap {:?} at {:?}, p50 {:?}, p99 {:?}",
            self.sent,
            self.ok,
            self.failed,
            self.sent_again,
            self.longest_gap,
            self.gap_at,
            self.p50,
            self.p99
        )?;
        for failure in &self.failures {
            write!(f, "\n  {failure}")?;
        }
        Ok(())
    }
}

/// One request that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When it was sent, since the beginning.
    pub at: Duration,
    /// How long it took to fail.
    pub after: Duration,
    /// Which request, as words.
    pub request: String,
    /// What came instead of a whole 200.
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            after,
            request,
            why,
        } = self;
        write!(f, "at {at:?}, {request}: {why}, after {after:?}")
    }
}

/// The report in the making.
#[derive(Debug)]
pub(super) struct Tally {
    began: Instant,
    ended: Option<Instant>,
    last_ok: Instant,
    longest_gap: (Duration, Instant),
    took: Vec<Duration>,
    failed: u64,
    sent_again: u64,
    failures: Vec<Failure>,
}

impl Tally {
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            began: now,
            ended: None,
            last_ok: now,
            longest_gap: (Duration::ZERO, now),
            took: Vec::new(),
            failed: 0,
            sent_again: 0,
            failures: Vec::new(),
        }
    }

    /// Nothing is sent from now on: a gap ends here too.
    pub(super) fn end(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// Counts a request that is over; how many have succeeded.
    pub(super) fn count(
        &mut self,
        visit: Visit,
        began: Instant,
        now: Instant,
        end: Result<bool, String>,
    ) -> u64 {
        match end {
            Ok(again) => {
                self.sent_again += u64::from(again);
                self.took.push(now - began);
                self.longest_gap = self.gap(now);
                self.last_ok = now;
            }
            Err(why) => {
                self.failed += 1;
                if self.failures.len() < DETAILS {
                    self.failures.push(Failure {
                        at: began - self.began,
                        after: now - began,
                        request: visit.to_string(),
                        why,
                    });
                }
            }
        }
        self.ok()
    }

    pub(super) fn report(&self, now: Instant) -> Report {
        let (longest_gap, since) = self.gap(self.ended.unwrap_or(now));
        let mut took = self.took.clone();
        took.sort_unstable();
        let percentile = |percent: usize| {
            let index = took.len().saturating_sub(1) * percent / 100;
            took.get(index).copied().unwrap_or_default()
        };
        Report {
            sent: self.ok() + self.failed,
            ok: self.ok(),
            failed: self.failed,
            sent_again: self.sent_again,
            failures: self.failures.clone(),
            longest_gap,
            gap_at: since - self.began,
            p50: percentile(50),
            p99: percentile(99),
        }
    }

    fn ok(&self) -> u64 {
        u64::try_from(self.took.len()).expect("a length fits")
    }

    /// The longest gap, with the one that would end now. Successes after the end make none.
    fn gap(&self, now: Instant) -> (Duration, Instant) {
        let now = self.ended.map_or(now, |ended| ended.min(now));
        let open = (now.saturating_duration_since(self.last_ok), self.last_ok);
        self.longest_gap.max(open)
    }
}
