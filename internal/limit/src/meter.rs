//! One rate for each of many keys, in bounded memory.

use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use governor::clock::{Clock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// Locks are per shard, so that workers seldom meet.
const SHARDS: usize = 16;

type Counts<K> = RateLimiter<K, HashMapStateStore<K>, TokioClock, NoOpMiddleware<Duration>>;

/// Counts by key. Where there are more keys than it has room for, it lets go of those that are within their rate, and of
/// all where that does not help: forgetting is better than growing, and than refusing everybody.
pub struct Meter<K: Hash + Eq + Clone> {
    quota: Quota,
    /// Keys that a shard counts at a time.
    most: usize,
    shards: [Mutex<Counts<K>>; SHARDS],
    hasher: RandomState,
}

impl<K: Hash + Eq + Clone> Meter<K> {
    /// The same quota for each key, of which so many are counted at a time: some 64 bytes each.
    #[must_use]
    pub fn new(quota: Quota, most: usize) -> Self {
        Self {
            quota,
            // One that is full must have somebody to keep.
            most: (most / SHARDS).max(2),
            shards: std::array::from_fn(|_| Mutex::new(counts(quota))),
            hasher: RandomState::default(),
        }
    }

    /// Counts one.
    ///
    /// # Errors
    /// How long to wait: it is one too many, and not counted.
    pub fn count(&self, key: &K) -> Result<(), Duration> {
        let mut counts = self.shard(key);
        if counts.len() >= self.most {
            self.make_room(&mut counts);
        }
        counts.check_key(key).map_err(|until| {
            let now = counts.clock().now();
            until.earliest_possible().duration_since(now).into()
        })
    }

    /// Lets go of the keys that are within their rate.
    pub fn tidy(&self) {
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
        if counts.len() > self.most / 2 {
            *counts = self::counts(self.quota);
        }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Counts<K>> {
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64);
        lock(&self.shards[index.unwrap_or_default()])
    }

    /// How many keys are counted at present.
    pub fn counted(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

impl<K: Hash + Eq + Clone> fmt::Debug for Meter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("quota", &self.quota)
            .field("keys", &self.counted())
            .finish_non_exhaustive()
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn counts<K: Hash + Eq + Clone>(quota: Quota) -> Counts<K> {
    RateLimiter::hashmap_with_clock(quota, TokioClock(Instant::now()))
}

/// Lets governor measure time with tokio's clock, so that rates obey paused time in tests like every other timer here.
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
    use std::num::NonZeroU32;

    use tokio::time::advance;

    use super::*;

    const MOST: usize = 65_536;

    fn meter(per_second: u32, burst: u32) -> Meter<u32> {
        let number = |of| NonZeroU32::new(of).unwrap();
        let quota = Quota::per_second(number(per_second)).allow_burst(number(burst));
        Meter::new(quota, MOST)
    }

    fn passed(meter: &Meter<u32>, key: u32, of: usize) -> usize {
        (0..of).filter(|_| meter.count(&key).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_a_burst_and_then_the_rate() {
        let meter = meter(10, 20);
        assert_eq!(passed(&meter, 1, 50), 20);
        assert_eq!(meter.count(&1), Err(Duration::from_millis(100)));
        assert_eq!(passed(&meter, 2, 50), 20);
        advance(Duration::from_secs(1)).await;
        assert_eq!(passed(&meter, 1, 50), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_what_is_within_its_rate_is_forgotten_first() {
        let meter = meter(1, 1);
        for key in 0..200_000 {
            meter.count(&key).ok();
        }
        assert!(meter.counted() <= MOST, "{}", meter.counted());
        advance(Duration::from_secs(2)).await;
        meter.count(&7).unwrap();
        meter.tidy();
        assert_eq!(meter.counted(), 1);
        assert!(meter.count(&7).is_err());
    }
}
