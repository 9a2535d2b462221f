//! The rules of the bus with a clock that is real: the same intervals, shorter.

use std::time::Duration;

use adit_bus::redis::Timing;

pub(crate) fn hasty() -> Timing {
    Timing {
        probe: Duration::from_millis(400),
        lease: Duration::from_millis(2500),
        refresh: Duration::from_millis(500),
        found: Duration::from_millis(300),
        not_found: Duration::from_millis(200),
        takeovers: Duration::from_secs(4),
        ..Timing::default()
    }
}
