//! Whether this very process stood still: stopped by a signal, or with its machine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Beats while the process runs.
#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    /// In ms since `start`.
    last: AtomicU64,
}

impl Pulse {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    pub(super) fn beat(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// For how long there was no beat, when that is longer than `limit`.
    pub(super) fn stalled(&self, limit: Duration) -> Option<Duration> {
        let since = self.now().saturating_sub(self.last.load(Ordering::Relaxed));
        let since = Duration::from_millis(since);
        (since > limit).then_some(since)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_noticed_until_the_next_beat() {
        let pulse = Pulse::start();
        let limit = Duration::from_secs(2);
        tokio::time::advance(limit).await;
        assert_eq!(pulse.stalled(limit), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(pulse.stalled(limit), Some(Duration::from_millis(2001)));
        pulse.beat();
        assert_eq!(pulse.stalled(limit), None);
    }
}
