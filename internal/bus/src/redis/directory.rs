//! What the directory is asked for, but for look-ups: claims, withdrawals, one-shot values.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::error::StoreError;
use super::leases::{self, Lease};
use super::own::Withdrawal;
use super::scripts::{Claim, Verdict};
use super::shared::Shared;
use crate::{AnnounceError, Announced, Announcement, MAX_KEY, MAX_VALUE, PutError, Unavailable};

/// A value nobody takes within a day is not a one-shot value.
const MAX_TTL: Duration = Duration::from_hours(24);

impl Shared {
    pub(super) async fn announce(
        &self,
        announcement: Announcement,
    ) -> Result<Announced, AnnounceError> {
        if self.has_left() {
            return Err(AnnounceError::Unavailable);
        }
        announcement.check()?;
        self.cache.forget(announcement.tunnel);
        if let Some(session) = self.session.load_full() {
            let claim = Claim {
                announcement: announcement.clone(),
                again: false,
            };
            let mut verdicts = self.claim(&session, vec![claim]).await;
            match verdicts.pop() {
                Some(Ok(verdict)) => return self.granted(&announcement, verdict),
                Some(Err(error)) => self.complain(&error),
                None => {}
            }
        }
        if self.has_left() {
            return Err(AnnounceError::Unavailable);
        }
        let (generation, losers) = self.own.decide(&announcement)?;
        tracing::info!(tunnel = %announcement.tunnel, generation, "granted provisionally: Redis cannot be asked");
        self.tell_own(&losers);
        Ok(Announced { generation })
    }

    fn granted(
        &self,
        announcement: &Announcement,
        verdict: Verdict,
    ) -> Result<Announced, AnnounceError> {
        match verdict {
            Verdict::Granted { generation, losers } => {
                let own = self.own.adopt(announcement, generation);
                self.tell_others(announcement.tunnel, generation, &losers);
                self.tell_own(&own.ok_or(AnnounceError::Withdrawn)?);
                Ok(Announced { generation })
            }
            Verdict::Replaced { by } => Err(AnnounceError::Replaced { by }),
            Verdict::Contended => Err(AnnounceError::Contended),
            Verdict::ModeConflict { .. } => Err(AnnounceError::ModeConflict),
            Verdict::Taken { .. } => Err(AnnounceError::Taken),
            Verdict::Withdrawn => Err(AnnounceError::Withdrawn),
            Verdict::Who(_) => Err(AnnounceError::Unavailable),
        }
    }

    pub(super) async fn withdraw(&self, withdrawal: Withdrawal) -> Result<(), Unavailable> {
        if self.has_left() {
            return Err(Unavailable);
        }
        self.own.withdraw(withdrawal);
        self.cache.forget(withdrawal.tunnel);
        let Some(session) = self.session.load_full() else {
            self.own.owe(withdrawal);
            return Err(Unavailable);
        };
        self.withdraw_all(&session, &[withdrawal]).await
    }

    pub(super) async fn mark_draining(&self) -> Result<(), Unavailable> {
        self.own.drain();
        self.cache.forget_all();
        let session = self.session.load_full().ok_or(Unavailable)?;
        let key = self.names.lease(self.node);
        let set = leases::set(&key, Lease::Draining, self.timing.lease);
        self.answered(session.run(&key, set).await).map(drop)
    }

    pub(super) async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), PutError> {
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            return Err(PutError::TooLarge);
        }
        let session = self.session.load_full().ok_or(PutError::Unavailable)?;
        let key = self.names.value(key);
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(value);
        set.arg("PX").arg(leases::millis(ttl.min(MAX_TTL)));
        match session.run(&key, set).await {
            Ok(_) => Ok(()),
            Err(StoreError::Full) => Err(PutError::Full),
            Err(error) => {
                self.complain(&error);
                Err(PutError::Unavailable)
            }
        }
    }

    pub(super) async fn take(&self, key: &str) -> Result<Option<Bytes>, Unavailable> {
        if key.len() > MAX_KEY {
            return Ok(None);
        }
        let session = self.session.load_full().ok_or(Unavailable)?;
        let key = self.names.value(key);
        let mut take = redis::cmd("GETDEL");
        take.arg(&key);
        match self.answered(session.run(&key, take).await)? {
            Value::BulkString(value) => Ok(Some(Bytes::from(value))),
            _ => Ok(None),
        }
    }

    /// Turns an error into the one callers know, and says it once in the log.
    pub(super) fn answered<T>(&self, answer: Result<T, StoreError>) -> Result<T, Unavailable> {
        answer.map_err(|error| {
            self.complain(&error);
            Unavailable
        })
    }

    /// Logs an error of Redis, each kind once until the next session.
    pub(super) fn complain(&self, error: &StoreError) {
        match error {
            // The supervisor says that there is no connection.
            StoreError::Down(_) | StoreError::Moved(_) => tracing::debug!(%error, "no answer"),
            StoreError::Full if !self.said_full.swap(true, Ordering::Relaxed) => {
                tracing::error!(
                    "Redis is out of memory: new links are served by this node alone until it has some"
                );
            }
            StoreError::Refused(_) if !self.said_refused.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, "the directory does not work as it should");
            }
            StoreError::Full | StoreError::Refused(_) => {}
        }
    }
}
