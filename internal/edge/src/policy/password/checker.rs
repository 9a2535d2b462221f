//! Where passwords are checked: slowly, a few at a time, and each only once.
//!
//! Argon2 is slow by intent, so it runs on threads of its own, two at a time, with
//! a bounded line before them. A password that was right is remembered by a mark,
//! a keyed digest of which nobody outside this process knows the key, so that the
//! requests after the first cost a microsecond.

use std::{net::IpAddr, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use messages::TunnelId;
use quick_cache::{UnitWeighter, sync::Cache};
use sha2::Sha256;
use tokio::sync::{AcquireError, Semaphore};
use tokio_util::task::TaskTracker;

use super::guesses::Guesses;
use crate::failure::Failure;

/// Passwords checked at one time, each with 19 MiB.
const AT_ONCE: usize = 2;

/// Passwords checked or waiting for it; about half a second of work.
const LINE: usize = 32;

/// Right passwords that are remembered, all tunnels together.
const MAX_KNOWN: u64 = 16_384;

/// Stands for one name and password under one policy.
pub(super) type Mark = [u8; 32];

/// Whose password it is, and for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who {
    pub(super) tunnel: TunnelId,
    pub(super) address: IpAddr,
}

/// What the passwords of all tunnels share.
pub(in crate::policy) struct Passwords {
    key: Hmac<Sha256>,
    known: Arc<Cache<Mark, ()>>,
    guesses: Guesses,
    line: Semaphore,
    workers: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords")
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

impl Passwords {
    /// Work runs under `tasks`, so that a drain waits for it.
    pub(in crate::policy) fn new(tasks: TaskTracker) -> Self {
        let mut key = [0; 64];
        getrandom::fill(&mut key).expect("the system has random bytes");
        Self {
            key: Hmac::new(&key.into()),
            known: Arc::new(Cache::with_weighter(16, MAX_KNOWN, UnitWeighter)),
            guesses: Guesses::new(),
            line: Semaphore::new(LINE),
            workers: Arc::new(Semaphore::new(AT_ONCE)),
            tasks,
        }
    }

    pub(super) fn mark(&self, policy: &[u8; 32], offered: &[u8]) -> Mark {
        let mac = self.key.clone().chain_update(policy);
        mac.chain_update(offered).finalize().into_bytes().into()
    }

    /// Whether the password of that mark is right, as `work` finds out when it is
    /// not known. Cancel safe: work that has begun ends on its own.
    ///
    /// # Errors
    /// [`Failure::TooManyPasswords`], [`Failure::PasswordsBusy`].
    pub(super) async fn check(
        &self,
        who: Who,
        mark: Mark,
        work: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<bool, Failure> {
        if self.known.get(&mark).is_some() {
            return Ok(true);
        }
        let _place = self
            .line
            .try_acquire()
            .map_err(|_| Failure::PasswordsBusy)?;
        // After the line: who is turned away there has not tried.
        self.guesses.count(who).map_err(|wait| {
            let seconds = wait.as_millis().div_ceil(1000);
            Failure::TooManyPasswords(u32::try_from(seconds).unwrap_or(u32::MAX))
        })?;
        self.work(mark, work)
            .await
            .map_err(|_| Failure::PasswordsBusy)
    }

    async fn work(
        &self,
        mark: Mark,
        work: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<bool, AcquireError> {
        let permit = self.workers.clone().acquire_owned().await?;
        // A browser opens several connections at once with the same password.
        if self.known.get(&mark).is_some() {
            return Ok(true);
        }
        let known = self.known.clone();
        let right = self.tasks.spawn_blocking(move || {
            let right = work();
            // Before the next one in the line is let in: it may have the same password.
            if right {
                known.insert(mark, ());
            }
            drop(permit);
            right
        });
        // Work that is lost has proven nothing.
        Ok(right.await.unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use futures_util::future::join_all;

    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(TaskTracker::new())
    }

    fn who(address: [u8; 4]) -> Who {
        Who {
            tunnel: TunnelId([1; 32]),
            address: address.into(),
        }
    }

    const ANYBODY: [u8; 4] = [192, 0, 2, 7];

    #[tokio::test]
    async fn a_right_password_is_checked_once() {
        let passwords = passwords();
        let mark = passwords.mark(&[1; 32], b"a:b");
        let right = passwords.check(who(ANYBODY), mark, || true);
        assert_eq!(right.await, Ok(true));
        for _ in 0..100 {
            let again = passwords.check(who(ANYBODY), mark, || panic!("it is known"));
            assert_eq!(again.await, Ok(true));
        }
    }

    #[tokio::test]
    async fn a_wrong_password_is_checked_each_time_and_counts() {
        let passwords = passwords();
        let mark = passwords.mark(&[1; 32], b"a:b");
        for _ in 0..10 {
            let wrong = passwords.check(who(ANYBODY), mark, || false);
            assert_eq!(wrong.await, Ok(false));
        }
        let more = passwords.check(who(ANYBODY), mark, || panic!("it is not looked at"));
        assert_eq!(more.await, Err(Failure::TooManyPasswords(6)));
    }

    #[test]
    fn a_mark_is_good_for_one_policy_in_one_process() {
        let (passwords, another) = (passwords(), passwords());
        let mark = passwords.mark(&[1; 32], b"a:b");
        assert_eq!(mark, passwords.mark(&[1; 32], b"a:b"));
        assert_ne!(mark, passwords.mark(&[2; 32], b"a:b"));
        assert_ne!(mark, another.mark(&[1; 32], b"a:b"));
    }

    #[tokio::test]
    async fn the_same_password_from_many_connections_is_checked_few_times() {
        let passwords = passwords();
        let checked = Arc::new(AtomicUsize::new(0));
        let mark = passwords.mark(&[1; 32], b"a:b");
        let asking = (0..8).map(|_| {
            let checked = checked.clone();
            passwords.check(who(ANYBODY), mark, move || {
                checked.fetch_add(1, Ordering::Relaxed);
                true
            })
        });
        assert_eq!(join_all(asking).await, vec![Ok(true); 8]);
        assert!(checked.load(Ordering::Relaxed) <= AT_ONCE);
    }

    #[tokio::test]
    async fn two_are_checked_at_a_time_and_the_line_has_an_end() {
        let passwords = passwords();
        let (at_work, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let asking = (0..40_u8).map(|host| {
            let mark = passwords.mark(&[1; 32], &[host]);
            let (at_work, most, gate) = (at_work.clone(), most.clone(), gate.clone());
            passwords.check(who([10, 0, 0, host]), mark, move || {
                let now = at_work.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                gate.lock().unwrap().recv().ok();
                at_work.fetch_sub(1, Ordering::SeqCst);
                false
            })
        });
        let answers = join_all(asking.map(|check| async {
            let answer = check.await;
            // Whoever is turned away, the line being full, lets five others through.
            if answer.is_err() {
                (0..5).for_each(|_| open.send(()).unwrap());
            }
            answer
        }))
        .await;
        let busy = Err(Failure::PasswordsBusy);
        assert_eq!(answers.iter().filter(|answer| **answer == busy).count(), 8);
        assert!(most.load(Ordering::SeqCst) <= AT_ONCE);
    }
}
