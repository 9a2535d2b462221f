//! The system's monotonic clock, which all processes of a machine share: tokio's instants mean nothing elsewhere.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since an origin that is the same for every process.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("the clock begins at zero");
    let nanos = u64::try_from(now.tv_nsec).expect("the clock begins at zero");
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}
