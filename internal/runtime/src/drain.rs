//! One grace period for everything that must end, and one log line that says how it ended.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// What steps may take beyond the deadline: a goodbye on each connection that is cut, all at once.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything in flight ended by itself.
    Cleanly,
    /// The grace period was over first; what was left has been cut.
    OutOfTime,
}

/// Runs `steps` for at most `grace` and logs how that ended. The steps return how much they had to leave behind.
///
/// They get the one deadline that they all share, and a moment more to say goodbye to what they cut at it. Then their
/// future is dropped: what was left ends with it, so they must own what they wait for. Cancel safe: dropping this drops
/// the steps.
pub async fn drain<F: Future<Output = usize>>(
    grace: Duration,
    steps: impl FnOnce(Instant) -> F,
) -> Drained {
    let begun = Instant::now();
    let deadline = begun + grace;
    let left = timeout_at(deadline + LAST_WORDS, steps(deadline)).await;
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    match left {
        Ok(0) => {
            tracing::info!(elapsed_ms, "drained: everything in flight has ended");
            return Drained::Cleanly;
        }
        Ok(left) => tracing::warn!(
            elapsed_ms,
            left,
            "the grace period is over: what was left has been cut"
        ),
        Err(_) => tracing::warn!(
            elapsed_ms,
            "the grace period is over: what was left has been cut"
        ),
    }
    Drained::OutOfTime
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_when_its_steps_have_ended() {
        let begun = Instant::now();
        let steps = |_| async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            0
        };
        assert_eq!(drain(GRACE, steps).await, Drained::Cleanly);
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_that_hangs_is_cut_at_its_grace_period() {
        let begun = Instant::now();
        assert_eq!(
            drain(GRACE, |_| std::future::pending()).await,
            Drained::OutOfTime
        );
        assert_eq!(begun.elapsed(), GRACE + LAST_WORDS);
    }

    #[tokio::test(start_paused = true)]
    async fn steps_that_give_up_at_the_deadline_say_what_they_left() {
        let steps = |deadline| async move {
            tokio::time::sleep_until(deadline).await;
            3
        };
        assert_eq!(drain(GRACE, steps).await, Drained::OutOfTime);
    }
}
