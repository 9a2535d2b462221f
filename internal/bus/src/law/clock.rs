//! The memory store's clock: µs since 1970 for drawing generations, and a monotonic instant for ages.
//!
//! The calendar is read once and carried on by tokio's clock, so generations cannot fall when somebody sets the
//! system's time, and a test that pauses tokio's clock rules this one too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// One reading of the clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Microseconds since 1970.
    pub(crate) micros: u64,
    pub(crate) instant: Instant,
}

#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// The calendar at `start`.
    epoch: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            start: Instant::now(),
            epoch: epoch.unwrap_or_default(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let instant = Instant::now();
        let since_epoch = self
            .epoch
            .saturating_add(instant.duration_since(self.start));
        Now {
            micros: u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX),
            instant,
        }
    }
}
