//! How long to wait before the upstream is dialled again: longer each time, never for ever, and never in step with
//! other visitors of the same upstream.

use std::time::Duration;

use tokio::time::Instant;

/// Before the first new attempt, and between any two: a restart is over at once, most of the time.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait. It bounds how late it is noticed that the upstream is back while nobody says anything.
const LONGEST: Duration = Duration::from_secs(5);

/// A connection that lived so long was healthy. One that ends sooner counts as a failed attempt.
const HEALTHY: Duration = Duration::from_secs(5);

/// Counts failed attempts to reach the upstream.
#[derive(Debug)]
pub(crate) struct Backoff {
    longest: Duration,
    last: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self {
            longest: FIRST,
            last: None,
        }
    }

    /// An attempt begins.
    pub(crate) fn attempt(&mut self) {
        self.last = Some(Instant::now());
    }

    /// When to try again: after half to all of a time that doubles with each call.
    pub(crate) fn next(&mut self) -> Instant {
        let longest = self.longest;
        self.longest = (longest * 2).min(LONGEST);
        Instant::now() + longest / 2 + longest / 2 * u32::from(draw()) / u32::from(u8::MAX)
    }

    /// The soonest that somebody who has something to say may have another attempt made.
    pub(crate) fn soonest(&self) -> Instant {
        self.last.map_or_else(Instant::now, |last| last + FIRST)
    }

    /// Begins anew after a connection that lived since the last attempt, if that was healthy.
    pub(crate) fn lost(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() >= HEALTHY) {
            self.longest = FIRST;
        }
    }
}

/// A random number. Where the system has none, the waits are merely in step.
fn draw() -> u8 {
    let mut byte = [0];
    getrandom::fill(&mut byte).ok();
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_from_a_fifth_of_a_second_to_five_seconds() {
        let mut backoff = Backoff::new();
        for longest in [200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = backoff.next() - Instant::now();
            let longest = Duration::from_millis(longest);
            assert!(
                wait >= longest / 2 && wait <= longest,
                "{wait:?} of {longest:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_connection_that_lived_begins_the_count_anew() {
        let mut backoff = Backoff::new();
        backoff.attempt();
        for _ in 0..6 {
            backoff.next();
        }
        backoff.lost();
        assert!(backoff.next() - Instant::now() >= LONGEST / 2);
        tokio::time::advance(HEALTHY).await;
        backoff.lost();
        assert!(backoff.next() - Instant::now() <= FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn somebody_with_something_to_say_waits_a_fifth_of_a_second_at_most() {
        let mut backoff = Backoff::new();
        assert!(backoff.soonest() <= Instant::now());
        backoff.attempt();
        assert_eq!(backoff.soonest(), Instant::now() + FIRST);
    }
}
