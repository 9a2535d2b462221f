//! The records of all tunnels: finds the record, lets it decide, and sees to it that records without routes do not pile up.
//!
//! Keys are free, so names are too: a record outlives its links (the next session must draw a higher generation), but
//! only so many such records are kept, and only for so long. Forgetting one is harmless: generations are drawn from a
//! clock as well.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use messages::{NodeId, TunnelId};
use tokio::time::Instant;

use super::clock::Now;
use super::record::{Announcer, Claim, Holder, Record};
use crate::documents::Documents;
use crate::{AnnounceError, Announcement, Routes};

/// How many records without routes are kept: some 400 bytes each, so about 25 MiB at worst.
const MAX_IDLE: usize = 64 * 1024;

/// How long one is kept. An agent that comes back later is decided by the clock alone.
pub(crate) const MAX_IDLE_AGE: Duration = Duration::from_hours(24);

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: HashMap<TunnelId, Record>,
    /// Records without routes, those longest without first.
    idle: BTreeSet<(Instant, TunnelId)>,
}

impl Ledger {
    pub(crate) fn announce(
        &mut self,
        by: Announcer,
        announcement: &Announcement,
        now: Now,
    ) -> Result<Claim, AnnounceError> {
        self.change(announcement.tunnel, now.instant, |record| {
            record.announce(by, announcement, now)
        })
    }

    pub(crate) fn withdraw(&mut self, tunnel: TunnelId, holder: Holder, version: u64, now: Now) {
        self.change(tunnel, now.instant, |record| {
            record.withdraw(holder, version, now.instant);
        });
    }

    /// See [`Record::adopt`].
    pub(crate) fn adopt(
        &mut self,
        by: Announcer,
        announcement: &Announcement,
        generation: u64,
        now: Instant,
    ) -> Option<Vec<Holder>> {
        self.change(announcement.tunnel, now, |record| {
            record.adopt(by, announcement, generation, now)
        })
    }

    /// Removes a link's route, whatever its version.
    pub(crate) fn remove(&mut self, tunnel: TunnelId, holder: Holder, now: Instant) {
        self.change(tunnel, now, |record| record.remove(holder));
    }

    /// Removes every route of a node and says which tunnels had one.
    pub(crate) fn remove_node(&mut self, node: NodeId, now: Now) -> Vec<TunnelId> {
        let served = self.served_by(node);
        for &tunnel in &served {
            self.change(tunnel, now.instant, |record| record.remove_node(node));
        }
        served
    }

    /// Marks every route of a node as draining and says which tunnels have one.
    pub(crate) fn drain_node(&mut self, node: NodeId) -> Vec<TunnelId> {
        let served = self.served_by(node);
        for tunnel in &served {
            if let Some(record) = self.records.get_mut(tunnel) {
                record.drain_node(node);
            }
        }
        served
    }

    /// The tunnel's routes in the order a directory returns them.
    pub(crate) fn routes(&self, tunnel: TunnelId) -> Routes {
        let record = self.records.get(&tunnel);
        record.map(Record::routes).unwrap_or_default()
    }

    /// The texts of the policies that the tunnel's routes name.
    pub(crate) fn documents(&self, tunnel: TunnelId) -> Documents {
        let record = self.records.get(&tunnel);
        record.map(Record::documents).unwrap_or_default()
    }

    pub(crate) fn forget_old(&mut self, now: Instant) {
        while let Some(&(since, tunnel)) = self.idle.first() {
            let is_old = now.duration_since(since) >= MAX_IDLE_AGE;
            if !is_old && self.idle.len() <= MAX_IDLE {
                return;
            }
            self.idle.pop_first();
            self.records.remove(&tunnel);
        }
    }

    /// All records are walked: a node leaves once, and an index would have to be right for ever.
    fn served_by(&self, node: NodeId) -> Vec<TunnelId> {
        let records = self.records.iter();
        let served = records.filter(|(_, record)| record.is_served_by(node));
        served.map(|(tunnel, _)| *tunnel).collect()
    }

    /// The one door to a record, which keeps the list of idle ones true.
    fn change<R>(
        &mut self,
        tunnel: TunnelId,
        now: Instant,
        change: impl FnOnce(&mut Record) -> R,
    ) -> R {
        let record = match self.records.entry(tunnel) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Record::default()),
        };
        let result = change(record);
        let was_idle = record.idle_since;
        record.idle_since = match was_idle {
            _ if !record.is_idle() => None,
            Some(since) => Some(since),
            None => Some(now),
        };
        let is_idle = record.idle_since;
        if was_idle != is_idle {
            if let Some(since) = was_idle {
                self.idle.remove(&(since, tunnel));
            }
            if let Some(since) = is_idle {
                self.idle.insert((since, tunnel));
            }
            self.forget_old(now);
        }
        result
    }
}

#[cfg(test)]
mod tests;
