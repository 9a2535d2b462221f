//! Look-ups that find nothing, by visitor.
//!
//! Whether a look-up finds something is known only after it was paid for. So misses
//! are counted when they happen, and whoever has had too many is not looked up for
//! until his rate allows another. Tunnels of this very node need no look-up and are
//! his all the same.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use foldhash::{HashMap, HashMapExt};
use limit::Crowd;
use tokio::time::Instant;

use super::{Excess, excess, meter::Meter};
use crate::config::Rate;

/// Visitors that are barred at a time; more are let through.
const MAX_BARRED: usize = 4096;

/// Counts misses.
pub(super) struct Misses {
    meter: Meter<Crowd>,
    /// Until when somebody is not looked up for.
    barred: Mutex<HashMap<Crowd, Instant>>,
    /// Whether anybody is: nearly always nobody.
    any: AtomicBool,
}

impl Misses {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            meter: Meter::new(rate, 1),
            barred: Mutex::new(HashMap::new()),
            any: AtomicBool::new(false),
        }
    }

    /// # Errors
    /// When the visitor has missed too often lately.
    pub(super) fn check(&self, visitor: Crowd) -> Result<(), Excess> {
        if !self.any.load(Ordering::Relaxed) {
            return Ok(());
        }
        let wait = self.barred().get(&visitor).map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        if wait.is_zero() {
            return Ok(());
        }
        Err(Excess::new(excess::MISSES, self.meter.rate(), wait))
    }

    /// One more.
    pub(super) fn count(&self, visitor: Crowd) {
        if let Err(wait) = self.meter.count(&visitor) {
            let mut barred = self.barred();
            if barred.len() < MAX_BARRED {
                barred.insert(visitor, Instant::now() + wait);
                self.any.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Lets go of whoever is not barred any more.
    pub(super) fn tidy(&self) {
        self.meter.tidy();
        let now = Instant::now();
        let mut barred = self.barred();
        barred.retain(|_, until| *until > now);
        barred.shrink_to_fit();
        self.any.store(!barred.is_empty(), Ordering::Relaxed);
    }

    fn barred(&self) -> MutexGuard<'_, HashMap<Crowd, Instant>> {
        self.barred.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn visitor(host: u8) -> Crowd {
        Crowd::of([192, 0, 2, host].into())
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_misses_too_often_waits_and_nobody_else_does() {
        let misses = Misses::new(Rate::new(10, 5).unwrap());
        for _ in 0..5 {
            misses.count(visitor(1));
            assert!(misses.check(visitor(1)).is_ok());
        }
        misses.count(visitor(1));
        let excess = misses.check(visitor(1)).unwrap_err();
        assert_eq!((excess.whose, excess.retry_after), ("misses", 1));
        assert!(misses.check(visitor(2)).is_ok());
        advance(Duration::from_millis(100)).await;
        assert!(misses.check(visitor(1)).is_ok());
        misses.tidy();
        assert!(!misses.any.load(Ordering::Relaxed));
    }
}
