//! One tunnel's record, and the law of claiming it: pure, with the time given by the caller.
//!
//! A record keeps two marks. `highest` is the highest generation ever granted: each draw exceeds it, and an exclusive
//! session must not be below it. `floor` is the generation of the last exclusive takeover: shared sessions, which pool
//! and therefore differ in generation, must not be below that one. A session the record knows may stand at its mark; a
//! stranger who presents a generation must be above it.
//!
//! While it has links, a record has one owner. The next owner begins with the former's `highest`, so that generations
//! rise, and with nothing else of its past: an agent that was away while another key had its name is not replaced.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use messages::NodeId;
use tokio::time::Instant;

use super::clock::Now;
use crate::documents::Documents;
use crate::{AnnounceError, Announcement, LinkId, Mode, Route, Routes, SessionId};

/// More takeovers than this within [`TAKEOVER_PERIOD`] are a fight between two agents, not a failover.
pub(crate) const MAX_TAKEOVERS: usize = 5;

/// The period that takeovers are counted over.
pub(crate) const TAKEOVER_PERIOD: Duration = Duration::from_mins(1);

/// How far ahead of the clock a presented generation is believed: room for nodes whose clocks differ, none for a
/// session that would hold a name for ever with a number from the year 3000.
pub(crate) const MAX_AHEAD_MICROS: u64 = 5 * 60 * 1_000_000;

/// How many sessions are remembered beyond their links, so that one whose answer was lost finds its generation again.
pub(crate) const MAX_KNOWN: usize = 8;

/// How long a withdrawal is remembered against announcements that come late. Far above any time-out of an operation.
pub(crate) const LATE_PERIOD: Duration = Duration::from_mins(1);

/// How many withdrawals are remembered, the newest: an agent that connects in a tight loop must not grow its record.
pub(crate) const MAX_WITHDRAWN: usize = 64;

/// Who holds, or held, a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) node: NodeId,
    pub(crate) link: LinkId,
}

/// The node that announces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announcer {
    pub(crate) node: NodeId,
    pub(crate) draining: bool,
}

/// A claim that was granted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) generation: u64,
    /// The links that lost the tunnel by it, to be told.
    pub(crate) superseded: Vec<Holder>,
}

#[derive(Debug, Default)]
pub(crate) struct Record {
    highest: u64,
    floor: u64,
    /// Whoever was granted the tunnel last.
    owner: Option<[u8; 32]>,
    held: Vec<Held>,
    /// The latest sessions, whether or not they have links.
    known: VecDeque<(SessionId, u64)>,
    withdrawn: VecDeque<Withdrawn>,
    takeovers: VecDeque<Instant>,
    /// Kept by the ledger: since when there are no routes.
    pub(crate) idle_since: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    route: Route,
    session: SessionId,
    version: u64,
    document: Bytes,
}

impl Held {
    fn holder(&self) -> Holder {
        Holder {
            node: self.route.node,
            link: self.route.link,
        }
    }
}

#[derive(Debug)]
struct Withdrawn {
    holder: Holder,
    version: u64,
    at: Instant,
}

impl Record {
    /// Decides a claim. On an error nothing has changed.
    pub(crate) fn announce(
        &mut self,
        by: Announcer,
        claim: &Announcement,
        now: Now,
    ) -> Result<Claim, AnnounceError> {
        let holder = Holder {
            node: by.node,
            link: claim.link,
        };
        self.forget_withdrawn(now.instant);
        if self.is_withdrawn(holder, claim.version) {
            return Err(AnnounceError::Withdrawn);
        }
        if let Some(generation) = self.newer_announcement(holder, claim.version) {
            return Ok(Claim {
                generation,
                superseded: Vec::new(),
            });
        }
        if self.owned_by_another(claim) && !self.is_idle() {
            return Err(AnnounceError::Taken);
        }
        let generation = self.generation_for(claim, now)?;
        let superseded = match claim.mode {
            Mode::Shared => self.join_pool(claim)?,
            Mode::Exclusive => self.take_over(claim, generation, now.instant)?,
        };
        self.belong_to(claim.owner);
        self.remember(claim.session, generation);
        self.hold(by, claim, generation);
        Ok(Claim {
            generation,
            superseded,
        })
    }

    /// Takes over what a store has already decided: the link serves with this generation, and the losers, which are
    /// returned, do not. `None`, and nothing has changed, when the link was withdrawn meanwhile.
    pub(crate) fn adopt(
        &mut self,
        by: Announcer,
        claim: &Announcement,
        generation: u64,
        now: Instant,
    ) -> Option<Vec<Holder>> {
        let holder = Holder {
            node: by.node,
            link: claim.link,
        };
        self.forget_withdrawn(now);
        if self.is_withdrawn(holder, claim.version) {
            return None;
        }
        if self.newer_announcement(holder, claim.version).is_some() {
            return Some(Vec::new());
        }
        let mut superseded = Vec::new();
        if self.owned_by_another(claim) {
            superseded.extend(self.held.drain(..).map(|held| held.holder()));
        }
        self.belong_to(claim.owner);
        if claim.mode == Mode::Exclusive {
            superseded.extend(self.others(claim.session).map(Held::holder));
            self.held.retain(|held| held.session == claim.session);
            self.floor = self.floor.max(generation);
        }
        self.remember(claim.session, generation);
        self.hold(by, claim, generation);
        Some(superseded)
    }

    /// Removes a link's route, whatever its version, and forgets nothing else.
    pub(crate) fn remove(&mut self, holder: Holder) {
        self.held.retain(|held| held.holder() != holder);
    }

    /// Removes a link's route, unless a later announcement of the same link stands.
    pub(crate) fn withdraw(&mut self, holder: Holder, version: u64, now: Instant) {
        self.held
            .retain(|held| held.holder() != holder || held.version > version);
        self.forget_withdrawn(now);
        if self.withdrawn.len() == MAX_WITHDRAWN {
            self.withdrawn.pop_front();
        }
        self.withdrawn.push_back(Withdrawn {
            holder,
            version,
            at: now,
        });
    }

    pub(crate) fn remove_node(&mut self, node: NodeId) {
        self.held.retain(|held| held.route.node != node);
    }

    pub(crate) fn drain_node(&mut self, node: NodeId) {
        let own = self.held.iter_mut().filter(|held| held.route.node == node);
        own.for_each(|held| held.route.draining = true);
    }

    pub(crate) fn is_served_by(&self, node: NodeId) -> bool {
        self.held.iter().any(|held| held.route.node == node)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    pub(crate) fn routes(&self) -> Routes {
        let mut routes: Vec<Route> = self.held.iter().map(|held| held.route).collect();
        routes.sort_by_key(|route| (route.draining, Reverse(route.generation)));
        routes.into()
    }

    /// The texts of the policies that the routes name.
    pub(crate) fn documents(&self) -> Documents {
        let held = self.held.iter();
        held.map(|held| (held.route.policy, held.document.clone()))
            .collect()
    }

    fn hold(&mut self, by: Announcer, claim: &Announcement, generation: u64) {
        let route = Route {
            node: by.node,
            link: claim.link,
            generation,
            draining: by.draining,
            mode: claim.mode,
            policy: claim.policy,
        };
        let held = Held {
            route,
            session: claim.session,
            version: claim.version,
            document: claim.document.clone(),
        };
        let holder = held.holder();
        self.held.retain(|held| held.holder() != holder);
        self.held.push(held);
    }

    /// The generation the claim is judged by: the session's own, else the one it presents, else a new one.
    fn generation_for(&self, claim: &Announcement, now: Now) -> Result<u64, AnnounceError> {
        let drawn = self.highest.saturating_add(1).max(now.micros);
        if self.owned_by_another(claim) {
            return Ok(drawn);
        }
        let own = self.generation_of(claim.session);
        let latest = self
            .highest
            .max(now.micros.saturating_add(MAX_AHEAD_MICROS));
        let presented = claim
            .generation
            .filter(|presented| (1..=latest).contains(presented));
        let Some(generation) = own.or(presented) else {
            return Ok(drawn);
        };
        let by = match claim.mode {
            Mode::Exclusive => self.highest,
            Mode::Shared => self.floor,
        };
        if generation < by || (generation == by && own.is_none()) {
            return Err(AnnounceError::Replaced { by });
        }
        Ok(generation)
    }

    fn owned_by_another(&self, claim: &Announcement) -> bool {
        self.owner.is_some_and(|owner| owner != claim.owner)
    }

    /// Nothing of another owner's past is held against this one, nor for it.
    fn belong_to(&mut self, owner: [u8; 32]) {
        if self.owner.replace(owner).is_some_and(|was| was != owner) {
            self.known.clear();
            self.takeovers.clear();
            self.floor = 0;
        }
    }

    fn generation_of(&self, session: SessionId) -> Option<u64> {
        let held = self.held.iter().find(|held| held.session == session);
        let known = || self.known.iter().find(|(known, _)| *known == session);
        held.map(|held| held.route.generation)
            .or_else(|| known().map(|(_, generation)| *generation))
    }

    /// A shared session supersedes nobody, and shares with no exclusive one.
    fn join_pool(&self, claim: &Announcement) -> Result<Vec<Holder>, AnnounceError> {
        let meets_exclusive = self
            .others(claim.session)
            .any(|held| held.route.mode == Mode::Exclusive);
        if meets_exclusive {
            Err(AnnounceError::ModeConflict)
        } else {
            Ok(Vec::new())
        }
    }

    /// An exclusive session leaves no other its routes. Only a claim that takes routes away counts as a takeover.
    fn take_over(
        &mut self,
        claim: &Announcement,
        generation: u64,
        now: Instant,
    ) -> Result<Vec<Holder>, AnnounceError> {
        let losers: Vec<Holder> = self.others(claim.session).map(Held::holder).collect();
        if !losers.is_empty() {
            self.takeovers
                .retain(|at| now.duration_since(*at) < TAKEOVER_PERIOD);
            if self.takeovers.len() >= MAX_TAKEOVERS {
                return Err(AnnounceError::Contended);
            }
            self.takeovers.push_back(now);
            self.held.retain(|held| held.session == claim.session);
        }
        self.floor = self.floor.max(generation);
        Ok(losers)
    }

    fn others(&self, session: SessionId) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(move |held| held.session != session)
    }

    /// The oldest generation is forgotten first: a session that low has been replaced, or will be told a new number.
    fn remember(&mut self, session: SessionId, generation: u64) {
        self.highest = self.highest.max(generation);
        if self.known.iter().any(|(known, _)| *known == session) {
            return;
        }
        self.known.push_back((session, generation));
        if self.known.len() > MAX_KNOWN {
            let oldest = self
                .known
                .iter()
                .enumerate()
                .min_by_key(|(_, (_, generation))| *generation);
            if let Some((at, _)) = oldest {
                self.known.remove(at);
            }
        }
    }

    fn is_withdrawn(&self, holder: Holder, version: u64) -> bool {
        let mut withdrawn = self.withdrawn.iter();
        withdrawn.any(|withdrawn| withdrawn.holder == holder && withdrawn.version >= version)
    }

    /// What an announcement overtaken by a later one of the same link is answered.
    fn newer_announcement(&self, holder: Holder, version: u64) -> Option<u64> {
        let held = self
            .held
            .iter()
            .find(|held| held.holder() == holder && held.version > version);
        held.map(|held| held.route.generation)
    }

    fn forget_withdrawn(&mut self, now: Instant) {
        self.withdrawn
            .retain(|withdrawn| now.duration_since(withdrawn.at) < LATE_PERIOD);
    }
}

#[cfg(test)]
mod tests;
