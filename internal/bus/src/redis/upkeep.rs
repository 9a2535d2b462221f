//! Keeping Redis true to what this node serves: the lease, and links that Redis lost, never had, or gave to another.

use redis::Value;
use tokio::time::{Instant, timeout};

use super::error::StoreError;
use super::leases::{self, Lease};
use super::names;
use super::scripts::{Claim, Verdict, text};
use super::session::Session;
use super::shared::Shared;
use super::wire::Notice;
use crate::{Announcement, Unavailable};

/// How many links are announced, withdrawn or compared in one go: few, so that a hundred nodes that do so at the same
/// time, after a flush, still get their answers in time.
const CHUNK: usize = 64;

/// How many links a second are compared with Redis at most: 4,000 in each interval of 2 s, so that a node with more
/// takes longer than one interval rather than more of Redis.
const COMPARED_PER_SECOND: u64 = 2_000;

impl Shared {
    /// Refreshes the lease, compares some links with Redis when it is time, and announces what Redis does not have: as
    /// much of it as can be done in time for the next refresh.
    pub(super) async fn renew(&self) -> Result<(), Unavailable> {
        if self.has_left() {
            return Err(Unavailable);
        }
        self.own.forget_old();
        let session = self.session.load_full().ok_or(Unavailable)?;
        self.answered(self.hold_lease(&session).await)?;
        // Announcing everything, which may take longer than a lease lives, is under way already.
        let Ok(mut last_compared) = self.upkeep.try_lock() else {
            return Ok(());
        };
        let now = Instant::now();
        let is_due = last_compared.is_none_or(|last| now - last >= self.timing.refresh);
        let upkeep = async {
            if is_due {
                *last_compared = Some(now);
                self.compare(&session).await?;
            }
            self.announce_pending(&session).await?;
            self.pin_owed(&session).await
        };
        match timeout(self.timing.command, upkeep).await {
            Ok(kept) => self.answered(kept),
            // The rest is done next time.
            Err(_elapsed) => Ok(()),
        }
    }

    /// Refreshes the lease. Where it is missing, Redis has lost what it knew, or this node came too late: everything is
    /// announced again.
    pub(super) async fn hold_lease(&self, session: &Session) -> Result<(), StoreError> {
        let key = self.names.lease(self.node);
        let commands = vec![
            (key.clone(), leases::refresh(&key, self.timing.lease)),
            (key.clone(), redis::cmd("TIME")),
        ];
        let mut answers = session.run_all(commands).await.into_iter();
        let refreshed = answers.next().transpose()?;
        if let Some(micros) = answers.next().transpose()?.as_ref().and_then(micros_of) {
            self.own.set_clock(micros);
        }
        if refreshed.as_ref().is_some_and(leases::was_there) {
            return Ok(());
        }
        self.own.announce_all_again();
        self.pins.owe_all();
        self.set_lease(session).await
    }

    pub(super) async fn set_lease(&self, session: &Session) -> Result<(), StoreError> {
        let key = self.names.lease(self.node);
        let lease = match self.own.is_draining() {
            true => Lease::Draining,
            false => Lease::Serving,
        };
        let set = leases::set(&key, lease, self.timing.lease);
        session.run(&key, set).await.map(drop)
    }

    /// Looks whether links still stand in Redis as they should: a superseded one does not.
    async fn compare(&self, session: &Session) -> Result<(), StoreError> {
        let millis = u64::try_from(self.timing.refresh.as_millis()).unwrap_or(u64::MAX);
        let limit = COMPARED_PER_SECOND.saturating_mul(millis) / 1000;
        let links = self
            .own
            .to_compare(usize::try_from(limit).unwrap_or(usize::MAX));
        for chunk in links.chunks(CHUNK) {
            let questions = chunk.iter().map(|((tunnel, link), _)| {
                let key = self.names.links(*tunnel);
                let mut get = redis::cmd("HGET");
                get.arg(&key).arg(names::field(self.node, *link));
                (key, get)
            });
            let answers = session.run_all(questions.collect()).await;
            for ((link, expected), answer) in chunk.iter().zip(answers) {
                if text(&answer?) != Some(expected) {
                    self.own.differs(*link);
                }
            }
        }
        Ok(())
    }

    /// Tells Redis of every link and withdrawal that it does not know, or has lost.
    pub(super) async fn announce_pending(&self, session: &Session) -> Result<(), StoreError> {
        loop {
            let owed = self.own.owed(CHUNK);
            if owed.is_empty() {
                break;
            }
            let withdrawn = self.withdraw_all(session, &owed).await;
            // What failed is owed anew, behind the others.
            self.own.paid(owed.len());
            withdrawn.map_err(|_| StoreError::Down("a withdrawal failed".to_owned()))?;
        }
        let mut after = None;
        loop {
            let pending = self.own.pending(after, CHUNK);
            let Some(last) = pending.last() else {
                return Ok(());
            };
            after = Some((last.tunnel, last.link));
            let claims = pending.iter().map(|announcement| Claim {
                announcement: announcement.clone(),
                again: true,
            });
            let verdicts = self.claim(session, claims.collect()).await;
            for (announcement, verdict) in pending.iter().zip(verdicts) {
                match verdict {
                    Ok(verdict) => self.granted_again(announcement, verdict),
                    // The lease is held all the same; they stay pending.
                    Err(error @ StoreError::Full) => {
                        self.complain(&error);
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn granted_again(&self, announcement: &Announcement, verdict: Verdict) {
        let Announcement { tunnel, link, .. } = *announcement;
        match verdict {
            Verdict::Granted { generation, losers } => {
                self.own.stored(announcement);
                self.tell_others(tunnel, generation, &losers);
                self.supersede_own(tunnel, generation, &losers);
            }
            Verdict::Replaced { by } | Verdict::ModeConflict { by } | Verdict::Taken { by } => {
                self.superseded(&Notice { tunnel, link, by });
            }
            Verdict::Withdrawn => self.own.drop_withdrawn(tunnel, link),
            // Two fight, or nobody knows who lives: it stays pending.
            Verdict::Contended | Verdict::Who(_) => {}
        }
    }
}

/// Reads `TIME`: seconds and µs.
fn micros_of(answer: &Value) -> Option<u64> {
    let [seconds, micros] = answer.as_sequence()? else {
        return None;
    };
    let number = |value| text(value)?.parse::<u64>().ok();
    number(seconds)?
        .checked_mul(1_000_000)?
        .checked_add(number(micros)?)
}
