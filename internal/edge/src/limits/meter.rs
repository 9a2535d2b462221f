//! A rate of this node, for each of many keys.

use std::{hash::Hash, time::Duration};

use limit::Quota;

use crate::config::Rate;

/// Keys that are counted at a time: some 4 MiB.
const MAX_KEYS: usize = 65_536;

/// Counts by key.
pub(super) struct Meter<K: Hash + Eq + Clone> {
    rate: Rate,
    counts: limit::Meter<K>,
}

impl<K: Hash + Eq + Clone> Meter<K> {
    /// A rate that so many nodes share; each counts its part of it.
    pub(super) fn new(rate: Rate, nodes: u32) -> Self {
        Self {
            rate,
            counts: limit::Meter::new(quota(rate, nodes), MAX_KEYS),
        }
    }

    /// The rate as all nodes have it together.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts one.
    ///
    /// # Errors
    /// How long to wait: it is one too many, and not counted.
    pub(super) fn count(&self, key: &K) -> Result<(), Duration> {
        self.counts.count(key)
    }

    /// Lets go of the keys that are within their rate.
    pub(super) fn tidy(&self) {
        self.counts.tidy();
    }
}

/// By the time that one cell takes: a part of a small rate is less than one a
/// second.
fn quota(rate: Rate, nodes: u32) -> Quota {
    let second = Duration::from_secs(1) * nodes.max(1);
    let each = (second / rate.per_second.get()).max(Duration::from_nanos(1));
    let burst = rate.burst.get() / nodes.max(1);
    let burst = burst.try_into().unwrap_or(std::num::NonZeroU32::MIN);
    let quota = Quota::with_period(each).expect("a cell takes a nanosecond at least");
    quota.allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn meter(per_second: u32, burst: u32, nodes: u32) -> Meter<u32> {
        Meter::new(Rate::new(per_second, burst).unwrap(), nodes)
    }

    fn passed(meter: &Meter<u32>, key: u32, of: usize) -> usize {
        (0..of).filter(|_| meter.count(&key).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_have_equal_parts_of_a_rate_however_small_it_is() {
        let meter = meter(2, 8, 4);
        assert_eq!(passed(&meter, 1, 50), 2);
        advance(Duration::from_secs(10)).await;
        assert_eq!(passed(&meter, 1, 50), 2);
        assert_eq!(meter.count(&1), Err(Duration::from_secs(2)));
        let single = self::meter(100, 1, 50);
        assert_eq!(passed(&single, 1, 50), 1);
    }
}
