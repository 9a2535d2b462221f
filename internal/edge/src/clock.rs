//! A deadline that is set and cleared with every request and hardly ever
//! reached.
//!
//! A timer made, registered and dropped for each request head is memory and work
//! for nothing. Here the deadline is a number, and the timer behind it is touched
//! only when a wait begins and it would come too late, or when it has fired.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// At most one deadline at a time.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    /// Runs from now, anew where it ran already.
    pub(crate) fn start(&mut self, limit: Duration) {
        self.deadline = Some(Instant::now() + limit);
    }

    pub(crate) fn stop(&mut self) {
        self.deadline = None;
    }

    /// Stops for good. A timer that stays would keep the task that last waited for it in memory: 5 KiB for each agent's
    /// connection, long after its HTTP has ended.
    pub(crate) fn retire(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_running(&self) -> bool {
        self.deadline.is_some()
    }

    /// Ready when the deadline has passed; pending, and heard of then, while it
    /// has not; pending without it.
    pub(crate) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn late(clock: &mut Clock) -> Duration {
        let begun = Instant::now();
        poll_fn(|cx| clock.poll_late(cx)).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_late_at_its_time_earlier_or_later_than_the_one_before() {
        let mut clock = Clock::default();
        clock.start(5 * SECOND);
        assert_eq!(late(&mut clock).await, 5 * SECOND);
        for seconds in [3, 1, 7] {
            clock.start(seconds * SECOND);
            assert_eq!(late(&mut clock).await, seconds * SECOND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_while_its_timer_runs_is_late_at_the_new_time_only() {
        let mut clock = Clock::default();
        clock.start(SECOND);
        assert!(
            poll_fn(|cx| Poll::Ready(clock.poll_late(cx)))
                .await
                .is_pending()
        );
        clock.start(4 * SECOND);
        assert_eq!(late(&mut clock).await, 4 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_clock_is_never_late() {
        let mut clock = Clock::default();
        clock.start(SECOND);
        clock.stop();
        assert!(!clock.is_running());
        let waited = tokio::time::timeout(10 * SECOND, late(&mut clock)).await;
        assert!(waited.is_err());
    }
}
