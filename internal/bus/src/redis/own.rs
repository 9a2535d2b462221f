//! This node's own links: what it serves, whatever Redis says, and what Redis has still to be told.
//!
//! `local` is answered from here, in memory. While Redis cannot be asked, claims are decided here by the same law, with
//! what this node knows: the generation is then **provisional**, drawn by this node's clock (set by Redis' clock when
//! that was last heard). Later it is announced as any other claim; whoever lost is told.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use messages::{NodeId, PolicyId, TunnelId};
use tokio::time::Instant;

use super::locked;
use super::scripts;
use crate::law::{Announcer, Clock, Holder, Ledger, Now};
use crate::table::RouteTable;
use crate::{AnnounceError, Announcement, LinkId, Routes};

/// How many withdrawals are kept until Redis can be told: what is beyond ends with the node's lease.
const MAX_WITHDRAWALS: usize = 64 * 1024;

/// A record in Redis is renewed at this age, long before it would expire.
const MAX_AGE: Duration = Duration::from_hours(6);

type Key = (TunnelId, LinkId);

/// A link that lost its tunnel, to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loser {
    pub(super) tunnel: TunnelId,
    pub(super) link: LinkId,
    pub(super) by: u64,
}

/// A link's withdrawal that Redis does not know of yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Withdrawal {
    pub(super) tunnel: TunnelId,
    pub(super) link: LinkId,
    pub(super) version: u64,
}

pub(super) struct Own {
    node: NodeId,
    state: Mutex<State>,
    /// The same routes, as requests read them.
    local: RouteTable,
    clock: Clock,
    /// By how many µs Redis' clock is ahead of ours.
    offset: AtomicI64,
}

#[derive(Default)]
struct State {
    ledger: Ledger,
    links: BTreeMap<Key, Link>,
    withdrawals: VecDeque<Withdrawal>,
    draining: bool,
    /// Up to where the links were compared with Redis.
    compared: Option<Key>,
}

struct Link {
    /// With the generation it was granted.
    announcement: Announcement,
    /// When Redis was told last; never, or no longer, when `None`.
    stored: Option<Instant>,
}

impl Own {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            state: Mutex::default(),
            local: RouteTable::default(),
            clock: Clock::start(),
            offset: AtomicI64::new(0),
        }
    }

    pub(super) fn local(&self, tunnel: TunnelId) -> Option<Routes> {
        self.local.get(tunnel)
    }

    pub(super) fn document(&self, tunnel: TunnelId, policy: PolicyId) -> Option<Bytes> {
        self.local.document(tunnel, policy)
    }

    /// Decides a claim without Redis. On an error nothing has changed.
    pub(super) fn decide(
        &self,
        announcement: &Announcement,
    ) -> Result<(u64, Vec<Loser>), AnnounceError> {
        let mut state = self.state();
        let by = self.announcer(&state);
        let claim = state.ledger.announce(by, announcement, self.now())?;
        let losers = self.settle(
            &mut state,
            announcement,
            claim.generation,
            None,
            &claim.superseded,
        );
        Ok((claim.generation, losers))
    }

    /// Takes over what Redis has granted: the losers on this node, or `None` when the link was withdrawn meanwhile.
    pub(super) fn adopt(&self, announcement: &Announcement, generation: u64) -> Option<Vec<Loser>> {
        let mut state = self.state();
        let by = self.announcer(&state);
        let now = Instant::now();
        let superseded = state.ledger.adopt(by, announcement, generation, now)?;
        Some(self.settle(&mut state, announcement, generation, Some(now), &superseded))
    }

    /// Redis has taken what was announced again.
    pub(super) fn stored(&self, announcement: &Announcement) {
        let mut state = self.state();
        let link = state
            .links
            .get_mut(&(announcement.tunnel, announcement.link));
        if let Some(link) = link.filter(|link| link.announcement == *announcement) {
            link.stored = Some(Instant::now());
        }
    }

    /// Removes a link that lost its tunnel to generation `by`; whether it was there, and so is to be told.
    pub(super) fn supersede(&self, tunnel: TunnelId, link: LinkId, by: u64) -> bool {
        let mut state = self.state();
        let generation = state.links.get(&(tunnel, link));
        let generation = generation.and_then(|link| link.announcement.generation);
        if generation.is_none_or(|generation| generation > by) {
            return false;
        }
        self.drop_link(&mut state, tunnel, link);
        true
    }

    /// Removes a link without a word: it is being closed already.
    pub(super) fn drop_withdrawn(&self, tunnel: TunnelId, link: LinkId) {
        self.drop_link(&mut self.state(), tunnel, link);
    }

    pub(super) fn withdraw(&self, withdrawal: Withdrawal) {
        let Withdrawal {
            tunnel,
            link,
            version,
        } = withdrawal;
        let mut state = self.state();
        let holder = self.holder(link);
        let now = self.now();
        state.ledger.withdraw(tunnel, holder, version, now);
        let links = &mut state.links;
        if links
            .get(&(tunnel, link))
            .is_some_and(|held| held.announcement.version <= version)
        {
            links.remove(&(tunnel, link));
        }
        self.publish(&state, tunnel);
    }

    /// Remembers a withdrawal until Redis can be told.
    pub(super) fn owe(&self, withdrawal: Withdrawal) {
        let mut state = self.state();
        if state.withdrawals.len() < MAX_WITHDRAWALS {
            state.withdrawals.push_back(withdrawal);
        }
    }

    /// Some of the withdrawals that Redis is owed; they are owed until [`paid`](Self::paid).
    pub(super) fn owed(&self, limit: usize) -> Vec<Withdrawal> {
        let state = self.state();
        state.withdrawals.iter().take(limit).copied().collect()
    }

    /// The first so many are owed no longer.
    pub(super) fn paid(&self, count: usize) {
        let mut state = self.state();
        let count = count.min(state.withdrawals.len());
        state.withdrawals.drain(..count);
    }

    pub(super) fn drain(&self) {
        let mut state = self.state();
        state.draining = true;
        for tunnel in state.ledger.drain_node(self.node) {
            self.publish(&state, tunnel);
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state().draining
    }

    /// Nothing that Redis was told can be relied on any more.
    pub(super) fn announce_all_again(&self) {
        let mut state = self.state();
        state.links.values_mut().for_each(|link| link.stored = None);
    }

    /// Some links that Redis has to be told of, those after `after`.
    pub(super) fn pending(&self, after: Option<Key>, limit: usize) -> Vec<Announcement> {
        let state = self.state();
        let pending = following(&state.links, after).filter(|(_, link)| link.stored.is_none());
        let pending = pending.map(|(_, link)| link.announcement.clone());
        pending.take(limit).collect()
    }

    /// The next links to compare with Redis, round and round; those whose record grows old become pending instead.
    /// With each, how it should stand there.
    pub(super) fn to_compare(&self, limit: usize) -> Vec<(Key, String)> {
        let now = Instant::now();
        let mut state = self.state();
        let after = state.compared;
        let mut compare = Vec::new();
        let mut old = Vec::new();
        for (key, link) in following(&state.links, after).take(limit) {
            let Some(stored) = link.stored else { continue };
            if now - stored > MAX_AGE {
                old.push(*key);
            } else {
                let generation = link.announcement.generation.unwrap_or(0);
                compare.push((*key, scripts::held(&link.announcement, generation)));
            }
        }
        let last = following(&state.links, after).take(limit).last();
        state.compared = last.map(|(key, _)| *key);
        for key in old {
            if let Some(link) = state.links.get_mut(&key) {
                link.stored = None;
            }
        }
        compare
    }

    /// Redis has this link otherwise, or not at all: it is to be announced again.
    pub(super) fn differs(&self, key: Key) {
        if let Some(link) = self.state().links.get_mut(&key) {
            link.stored = None;
        }
    }

    pub(super) fn all(&self) -> Vec<Announcement> {
        let state = self.state();
        let links = state.links.values();
        links.map(|link| link.announcement.clone()).collect()
    }

    pub(super) fn clear(&self) {
        let mut state = self.state();
        *state = State::default();
        self.local.clear();
    }

    pub(super) fn count(&self) -> usize {
        self.state().links.len()
    }

    /// Redis' clock says so many µs since 1970.
    pub(super) fn set_clock(&self, micros: u64) {
        let own = self.clock.now().micros;
        let ahead = i128::from(micros) - i128::from(own);
        let ahead = i64::try_from(ahead).unwrap_or_default();
        self.offset.store(ahead, Ordering::Relaxed);
    }

    pub(super) fn forget_old(&self) {
        self.state().ledger.forget_old(Instant::now());
    }

    fn now(&self) -> Now {
        let now = self.clock.now();
        let offset = self.offset.load(Ordering::Relaxed);
        Now {
            micros: now.micros.saturating_add_signed(offset),
            instant: now.instant,
        }
    }

    fn settle(
        &self,
        state: &mut State,
        announcement: &Announcement,
        generation: u64,
        stored: Option<Instant>,
        superseded: &[Holder],
    ) -> Vec<Loser> {
        let tunnel = announcement.tunnel;
        let losers = superseded.iter().map(|loser| Loser {
            tunnel,
            link: loser.link,
            by: generation,
        });
        let losers: Vec<Loser> = losers.collect();
        for loser in &losers {
            state.links.remove(&(tunnel, loser.link));
        }
        let key = (tunnel, announcement.link);
        let version = announcement.version;
        let known = state.links.get(&key);
        if known.is_none_or(|known| known.announcement.version <= version) {
            let announcement = Announcement {
                generation: Some(generation),
                ..announcement.clone()
            };
            let link = Link {
                announcement,
                stored,
            };
            state.links.insert(key, link);
        }
        self.publish(state, tunnel);
        losers
    }

    fn drop_link(&self, state: &mut State, tunnel: TunnelId, link: LinkId) {
        state.links.remove(&(tunnel, link));
        let holder = self.holder(link);
        state.ledger.remove(tunnel, holder, Instant::now());
        self.publish(state, tunnel);
    }

    fn publish(&self, state: &State, tunnel: TunnelId) {
        let ledger = &state.ledger;
        self.local
            .set(tunnel, ledger.routes(tunnel), ledger.documents(tunnel));
    }

    fn announcer(&self, state: &State) -> Announcer {
        Announcer {
            node: self.node,
            draining: state.draining,
        }
    }

    fn holder(&self, link: LinkId) -> Holder {
        Holder {
            node: self.node,
            link,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

fn following(
    links: &BTreeMap<Key, Link>,
    after: Option<Key>,
) -> impl Iterator<Item = (&Key, &Link)> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    links.range((from, Bound::Unbounded))
}
