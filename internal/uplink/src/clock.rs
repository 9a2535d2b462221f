//! Lets governor measure time with tokio's clock, so that rate limits obey
//! paused time in tests like every other timer here.

use std::time::Duration;

use governor::clock::Clock;
use tokio::time::Instant;

/// Time since the clock was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokioClock {
    epoch: Instant,
}

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }
}
