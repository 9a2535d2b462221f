//! How much one link may carry in one direction, in messages and in bytes.
//!
//! The limit cannot refuse: what was sent has been received, and a link
//! that stopped reading would stop its pings, its resets and every other stream
//! with it. So whatever is over the rate becomes debt, and the answer is how long
//! new credit must be withheld until the debt is paid. An agent that keeps to its
//! credit falls silent by itself; one that does not is ended at
//! [`MAX_DEBT_MESSAGES`].

use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::FakeRelativeClock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};

use crate::config::Rate;

/// Messages over the rate that no credit explains any more: 16 MiB of credit in
/// empty frames of 64 bytes each, twice what a link's byte budget gives.
const MAX_DEBT_MESSAGES: u64 = 262_144;

/// KiB over the rate that no credit explains any more: eight times the byte
/// budget of a link.
const MAX_DEBT_KIB: u64 = 64 * 1024;

/// Messages and bytes are charged in lots, so that a frame pays for a sixteenth
/// of a look at the clock.
const LOT_MESSAGES: u32 = 16;
const LOT_BYTES: u64 = 64 * 1024;

/// What to do about the rate of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Within the rate, as far as is known.
    Free,
    /// Over it: no new credit for so long from now.
    Hold(Duration),
    /// So far over it that withholding credit has no effect.
    Flood,
}

/// Counts what one link carries in one direction.
#[derive(Debug)]
pub(crate) struct Throttle {
    messages: Option<Meter>,
    kib: Option<Meter>,
    lot: u32,
    unpaid_messages: u32,
    unpaid_bytes: u64,
}

impl Throttle {
    /// `None` lifts a limit. Bytes are given in KiB: governor counts in whole
    /// nanoseconds a cell, too coarse for single bytes.
    pub(crate) fn new(messages: Option<Rate>, kib: Option<Rate>) -> Self {
        Self {
            messages: messages.map(Meter::new),
            kib: kib.map(Meter::new),
            lot: messages.map_or(LOT_MESSAGES, |rate| rate.burst.get().min(LOT_MESSAGES)),
            unpaid_messages: 0,
            unpaid_bytes: 0,
        }
    }

    /// One message of `bytes` has been received. `now` is the time since the
    /// link began; it is asked only when a lot is full.
    pub(crate) fn received(&mut self, bytes: usize, now: impl FnOnce() -> Duration) -> Pace {
        self.unpaid_messages += 1;
        self.unpaid_bytes = self.unpaid_bytes.saturating_add(bytes as u64);
        if self.unpaid_messages < self.lot && self.unpaid_bytes < LOT_BYTES {
            return Pace::Free;
        }
        self.settle(now())
    }

    /// The rates, for people.
    pub(crate) fn terms(&self) -> String {
        let per_second = |meter: &Option<Meter>, unit: &str| {
            let rate = meter.as_ref()?.rate.per_second;
            Some(format!("{rate} {unit} a second"))
        };
        let terms = [
            per_second(&self.messages, "messages"),
            per_second(&self.kib, "KiB"),
        ];
        terms.into_iter().flatten().collect::<Vec<_>>().join(" or ")
    }

    fn settle(&mut self, now: Duration) -> Pace {
        let messages = u64::from(std::mem::take(&mut self.unpaid_messages));
        let kib = self.unpaid_bytes / 1024;
        self.unpaid_bytes %= 1024;
        let mut hold = None;
        for (meter, cells, most) in [
            (&mut self.messages, messages, MAX_DEBT_MESSAGES),
            (&mut self.kib, kib, MAX_DEBT_KIB),
        ] {
            let Some(meter) = meter else { continue };
            hold = hold.max(meter.charge(cells, now));
            if meter.debt > most {
                return Pace::Flood;
            }
        }
        hold.map_or(Pace::Free, Pace::Hold)
    }
}

/// A rate with a memory: governor decides what is within it, the debt is what it
/// has not let through yet.
#[derive(Debug)]
struct Meter {
    limiter: RateLimiter<NotKeyed, InMemoryState, FakeRelativeClock, NoOpMiddleware<Nanos>>,
    /// The moment up to which the debt has been paid: governor's "now". Paying
    /// an old debt is replaying the moments at which its lots would have passed.
    clock: FakeRelativeClock,
    paid_until: Duration,
    rate: Rate,
    debt: u64,
}

impl Meter {
    fn new(rate: Rate) -> Self {
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
            paid_until: Duration::ZERO,
            rate,
            debt: 0,
        }
    }

    /// Adds `cells` to the debt, pays what the time up to `now` allows, and says
    /// how long the rest takes.
    fn charge(&mut self, cells: u64, now: Duration) -> Option<Duration> {
        if self.debt == 0 {
            self.pay_until(now);
        }
        self.debt = self.debt.saturating_add(cells);
        loop {
            let most = u64::from(self.rate.burst.get());
            let lot = NonZeroU32::new(u32::try_from(self.debt.min(most)).unwrap_or(u32::MAX))?;
            let outcome = self.limiter.check_n(lot).ok()?;
            match outcome {
                Ok(()) => self.debt -= u64::from(lot.get()),
                Err(until) => {
                    let at = Duration::from(until.earliest_possible());
                    if at > now {
                        let rest = self.debt - u64::from(lot.get());
                        return Some((at - now).saturating_add(self.time_for(rest)));
                    }
                    self.pay_until(at);
                }
            }
        }
    }

    fn pay_until(&mut self, at: Duration) {
        self.clock.advance(at.saturating_sub(self.paid_until));
        self.paid_until = self.paid_until.max(at);
    }

    fn time_for(&self, cells: u64) -> Duration {
        let nanos = cells.saturating_mul(1_000_000_000) / u64::from(self.rate.per_second.get());
        Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Duration = Duration::ZERO;

    fn rate(per_second: u32, burst: u32) -> Option<Rate> {
        Rate::new(per_second, burst)
    }

    fn receive(throttle: &mut Throttle, messages: u32, now: Duration) -> Pace {
        let mut pace = Pace::Free;
        for _ in 0..messages {
            pace = throttle.received(100, || now);
        }
        pace
    }

    #[test]
    fn a_burst_is_free_and_what_follows_it_is_held_for_as_long_as_it_takes() {
        let mut throttle = Throttle::new(rate(100, 160), None);
        assert_eq!(receive(&mut throttle, 160, BEGIN), Pace::Free);
        let Pace::Hold(hold) = receive(&mut throttle, 160, BEGIN) else {
            panic!("160 messages over the rate");
        };
        assert_eq!(hold.as_millis(), 1_600);
    }

    #[test]
    fn a_debt_larger_than_the_burst_is_paid_by_time_alone() {
        let mut throttle = Throttle::new(rate(100, 16), None);
        let Pace::Hold(hold) = receive(&mut throttle, 16 * 21, BEGIN) else {
            panic!("320 messages over the rate");
        };
        assert_eq!(hold.as_millis(), 3_200);
        // Paid, and no more than paid: the next lot waits for its own time.
        let Pace::Hold(next) = receive(&mut throttle, 16, hold) else {
            panic!("the rate is used up");
        };
        assert_eq!(next.as_millis(), 160);
        let long_after = hold + Duration::from_secs(10);
        assert_eq!(receive(&mut throttle, 16, long_after), Pace::Free);
    }

    #[test]
    fn bytes_are_limited_beside_messages() {
        let mut throttle = Throttle::new(None, rate(64, 64));
        assert_eq!(throttle.received(64 * 1024, || BEGIN), Pace::Free);
        let second = Pace::Hold(Duration::from_secs(1));
        assert_eq!(throttle.received(64 * 1024, || BEGIN), second);
    }

    #[test]
    fn a_flood_that_no_credit_explains_is_called_one() {
        let mut throttle = Throttle::new(rate(1_000, 1_000), None);
        let credit = u32::try_from(MAX_DEBT_MESSAGES).unwrap();
        assert!(matches!(
            receive(&mut throttle, credit, BEGIN),
            Pace::Hold(_)
        ));
        assert_eq!(receive(&mut throttle, 2_000, BEGIN), Pace::Flood);
    }

    #[test]
    fn without_limits_everything_is_free() {
        let mut throttle = Throttle::new(None, None);
        assert_eq!(receive(&mut throttle, 100_000, BEGIN), Pace::Free);
    }
}
