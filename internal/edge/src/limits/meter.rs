//! One rate for each of many keys, in bounded memory.

use std::{
    hash::{BuildHasher, Hash},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foldhash::fast::RandomState;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, Reference},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};
use tokio::time::Instant;

use crate::config::Rate;

/// Locks are per shard, so that workers seldom meet.
const SHARDS: usize = 16;

/// Keys that a shard counts at a time: 65,536 in all, some 4 MiB.
const MAX_KEYS: usize = 4096;

type Counts<K> = RateLimiter<K, HashMapStateStore<K>, TokioClock, NoOpMiddleware<Duration>>;

/// Counts by key. Where there are more keys than it has room for, it lets go of
/// those that are within their rate, and of all where that does not help:
/// forgetting is better than growing.
pub(super) struct Meter<K: Hash + Eq + Clone> {
    rate: Rate,
    quota: Quota,
    shards: [Mutex<Counts<K>>; SHARDS],
    hasher: RandomState,
}

impl<K: Hash + Eq + Clone> Meter<K> {
    /// A rate that so many nodes share; each counts its part of it.
    pub(super) fn new(rate: Rate, nodes: u32) -> Self {
        let quota = quota(rate, nodes);
        Self {
            rate,
            quota,
            shards: std::array::from_fn(|_| Mutex::new(counts(quota))),
            hasher: RandomState::default(),
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
        let mut counts = self.shard(key);
        if counts.len() >= MAX_KEYS {
            self.make_room(&mut counts);
        }
        counts.check_key(key).map_err(|until| {
            let now = counts.clock().now();
            until.earliest_possible().duration_since(now).into()
        })
    }

    /// Lets go of the keys that are within their rate.
    pub(super) fn tidy(&self) {
        for shard in &self.shards {
            let counts = lock(shard);
            if !counts.is_empty() {
                counts.retain_recent();
                counts.shrink_to_fit();
            }
        }
    }

    fn make_room(&self, counts: &mut Counts<K>) {
        counts.retain_recent();
        // Half of it at least, or the next key would ask for room again.
        if counts.len() > MAX_KEYS / 2 {
            *counts = self::counts(self.quota);
        }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Counts<K>> {
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64);
        lock(&self.shards[index.unwrap_or_default()])
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn counts<K: Hash + Eq + Clone>(quota: Quota) -> Counts<K> {
    RateLimiter::hashmap_with_clock(quota, TokioClock(Instant::now()))
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

/// Lets governor measure time with tokio's clock.
#[derive(Debug, Clone, Copy)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
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
    async fn each_key_has_a_burst_and_then_the_rate() {
        let meter = meter(10, 20, 1);
        assert_eq!(passed(&meter, 1, 50), 20);
        assert_eq!(meter.count(&1), Err(Duration::from_millis(100)));
        assert_eq!(passed(&meter, 2, 50), 20);
        advance(Duration::from_secs(1)).await;
        assert_eq!(passed(&meter, 1, 50), 10);
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

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_what_is_within_its_rate_is_forgotten_first() {
        let meter = meter(1, 1, 1);
        for key in 0..200_000 {
            meter.count(&key).ok();
        }
        assert!(meter.len() <= SHARDS * MAX_KEYS, "{}", meter.len());
        advance(Duration::from_secs(2)).await;
        meter.count(&7).unwrap();
        meter.tidy();
        assert_eq!(meter.len(), 1);
        assert!(meter.count(&7).is_err());
    }
}
