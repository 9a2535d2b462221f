//! How long to wait before the next attempt: longer each time, never for ever, and never in step with other agents.

use std::time::Duration;

/// Before the first new attempt: short, since most losses are a restart that is over at once.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait. It bounds how late an agent notices that its server is back.
const LONGEST: Duration = Duration::from_secs(10);

/// A link that was up for so long was healthy. One that fails sooner counts as a failed attempt, so that a server which
/// admits and drops is not called five times a second.
const HEALTHY: Duration = Duration::from_secs(5);

/// The longest wait that a server may ask for. It is its wish, not its right.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Counts failed attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The wait before the next attempt: between half and all of a time that doubles with each call.
    pub(crate) fn next(&mut self) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).min(LONGEST);
        longest / 2 + spread(longest / 2)
    }

    /// [`Backoff::next`], or as long as the server asked for where that is longer.
    pub(crate) fn next_at_least(&mut self, asked: Option<Duration>) -> Duration {
        let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
        self.next().max(asked)
    }

    /// Begins anew after a link that was up for `lived`, if that was healthy.
    pub(crate) fn link_lived(&mut self, lived: Duration) {
        if lived >= HEALTHY {
            self.next = FIRST;
        }
    }
}

/// A random time up to `longest`, at most what a server may ask for.
pub(crate) fn spread(longest: Duration) -> Duration {
    let draw = u16::from_be_bytes(identity::random_bytes());
    longest.min(LONGEST_ASKED) * u32::from(draw) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn waits_double_from_a_fifth_of_a_second_to_ten_seconds_and_stay_there() {
        let mut backoff = Backoff::new();
        for longest in [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000] {
            let wait = backoff.next();
            assert!(
                wait >= ms(longest / 2) && wait <= ms(longest),
                "{wait:?} of {longest} ms"
            );
        }
    }

    #[test]
    fn agents_that_fail_together_do_not_come_back_together() {
        let waits: std::collections::HashSet<_> = (0..20).map(|_| Backoff::new().next()).collect();
        assert!(waits.len() > 10, "{waits:?}");
    }

    #[test]
    fn only_a_link_that_was_healthy_begins_the_count_anew() {
        let mut backoff = Backoff::new();
        let waits = (0..10).map(|_| backoff.next());
        assert!(waits.last() >= Some(ms(5000)));
        backoff.link_lived(ms(4999));
        assert!(backoff.next() >= ms(5000));
        backoff.link_lived(ms(5000));
        assert!(backoff.next() <= ms(200));
    }

    #[test]
    fn a_server_may_ask_for_more_time_within_reason() {
        let mut backoff = Backoff::new();
        assert_eq!(backoff.next_at_least(Some(ms(7000))), ms(7000));
        let for_ever = Some(Duration::from_secs(u64::MAX));
        assert_eq!(backoff.next_at_least(for_ever), LONGEST_ASKED);
        assert!(spread(Duration::MAX) <= LONGEST_ASKED);
    }
}
