//! What the links of one agent know of each other: who is where, what the session was granted, and what to tell of it.
//!
//! Each link is the business of its own slot; this is the table between them. Nothing here waits.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messages::{Granted, NodeId};
use tokio::sync::watch;

use crate::event::{Event, Events, PoolChange, PoolSize};
use crate::link::Control;
use crate::streams::Notice;
use crate::{Links, Via};

/// The links of one session.
pub(super) struct Pool {
    links: Links,
    events: Events,
    /// How many links there should be: one until the first grant has said it.
    wanted: watch::Sender<usize>,
    /// What was last granted, while there is a link.
    up: watch::Sender<Option<Granted>>,
    /// How often all links were to be made anew.
    renewals: watch::Sender<u64>,
    /// What the latest link runs over.
    via: Mutex<Option<Via>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A few for each slot: the link that serves, one in the making, those that run dry.
    held: Vec<Held>,
    last_id: u64,
    generation: Option<u64>,
    url: Option<String>,
}

struct Held {
    id: u64,
    node: NodeId,
    /// Its server has said that it is going down.
    leaving: bool,
    phase: Phase,
}

enum Phase {
    /// Hello was heard, the grant was not.
    Coming,
    Serving(Control),
    /// Another link has taken its place.
    Drying(Control),
}

/// A link's place in the pool. Dropped it is free again, without a word.
pub(super) struct Place {
    pool: Arc<Pool>,
    id: u64,
    node: NodeId,
    /// Renewals when it was taken.
    renewals: u64,
}

/// Why a link to this node is not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwanted {
    /// Another link is there.
    Taken,
    /// The node is going down.
    Leaving,
}

impl Pool {
    pub(super) fn new(links: Links, events: Events) -> Arc<Self> {
        Arc::new(Self {
            links,
            events,
            wanted: watch::Sender::new(1),
            up: watch::Sender::new(None),
            renewals: watch::Sender::new(0),
            via: Mutex::default(),
            state: Mutex::default(),
        })
    }

    /// Waits until there should be more links than `index`. Cancel safe.
    pub(super) async fn wants(&self, index: usize) {
        let mut wanted = self.wanted.subscribe();
        let wanted = wanted.wait_for(|wanted| index < *wanted).await;
        drop(wanted.expect("the sender is in this pool"));
    }

    /// What the session was last granted, for its next registration.
    pub(super) fn generation(&self) -> Option<u64> {
        self.lock().generation
    }

    /// What was last granted, while there is a link.
    pub(super) fn up(&self) -> watch::Receiver<Option<Granted>> {
        self.up.subscribe()
    }

    /// Has every link that there is replaced by another: visitors do not get through.
    pub(super) fn renew(&self) {
        self.renewals.send_modify(|renewals| *renewals += 1);
    }

    /// Waits until the link of this place is to be replaced. Cancel safe.
    pub(super) async fn renewal(&self, place: &Place) {
        let mut renewals = self.renewals.subscribe();
        let renewed = renewals.wait_for(|renewals| *renewals > place.renewals);
        drop(renewed.await.expect("the sender is in this pool"));
    }

    /// A link is up that runs over this; told when it is another than before.
    pub(super) fn carried(&self, via: Via) {
        let mut latest = self.via.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.replace(via) != Some(via) {
            self.events.tell(Event::Via(via));
        }
    }

    /// Whether no link serves.
    pub(super) fn is_down(&self) -> bool {
        self.lock().size(0).links == 0
    }

    /// Whether a link has ever served.
    pub(super) fn has_been_up(&self) -> bool {
        self.lock().url.is_some()
    }

    /// Holds a place at this node, if no other link is there or two may share it.
    pub(super) fn reserve(
        self: &Arc<Self>,
        node: NodeId,
        may_share: bool,
    ) -> Result<Place, Unwanted> {
        let mut state = self.lock();
        let there = |held: &&Held| held.node == node;
        if state.held.iter().filter(there).any(|held| held.leaving) {
            return Err(Unwanted::Leaving);
        }
        let taken = |held: &Held| !matches!(held.phase, Phase::Drying(_));
        if !may_share && state.held.iter().filter(there).any(taken) {
            return Err(Unwanted::Taken);
        }
        state.last_id += 1;
        let id = state.last_id;
        state.held.push(Held {
            id,
            node,
            leaving: false,
            phase: Phase::Coming,
        });
        Ok(Place {
            pool: self.clone(),
            id,
            node,
            renewals: *self.renewals.borrow(),
        })
    }

    /// A link serves at this place from now on, `instead_of` another that runs dry.
    pub(super) fn enter(
        &self,
        place: &Place,
        (control, granted): (Control, &Granted),
        instead_of: Option<&Place>,
    ) {
        let mut state = self.lock();
        let was_down = state.size(0).links == 0;
        if let Some(held) = state.find(place) {
            held.phase = Phase::Serving(control);
        }
        if let Some(held) = instead_of.and_then(|old| state.find(old))
            && let Phase::Serving(control) = &held.phase
        {
            held.phase = Phase::Drying(control.clone());
        }
        state.generation = Some(granted.generation);
        let wanted = self.links.of(granted.links);
        self.wanted
            .send_if_modified(|before| std::mem::replace(before, wanted) != wanted);
        let known = state.url.as_ref() == Some(&granted.url);
        state.url = Some(granted.url.clone());
        let change = match instead_of {
            None => PoolChange::Up,
            Some(old) if old.renewals < place.renewals || old.node == place.node => {
                PoolChange::Renewed
            }
            Some(_) => PoolChange::Moved,
        };
        let size = state.size(wanted);
        // Told under the lock, so that everything is told in the order in which it happened.
        if was_down || !known {
            self.up.send_replace(Some(granted.clone()));
            self.events.tell(Event::Registered(granted.clone()));
        } else {
            self.events.tell(Event::Pool { change, size });
        }
    }

    /// The link of this place has ended unasked. Gives whether it was the last.
    pub(super) fn lost(&self, place: &Place, why: String) -> bool {
        let mut state = self.lock();
        state.held.retain(|held| held.id != place.id);
        let size = state.size(*self.wanted.borrow());
        let last = size.links == 0;
        if last {
            self.up.send_replace(None);
        }
        self.events.tell(match last {
            true => Event::Lost { why },
            false => Event::Pool {
                change: PoolChange::Lost { why },
                size,
            },
        });
        last
    }

    /// The server of this place is going down: no link goes to its node while this one lasts.
    pub(super) fn going_down(&self, place: &Place) {
        if let Some(held) = self.lock().find(place) {
            held.leaving = true;
        }
    }

    /// How long a link waits before it moves. The only one has the most to lose by waiting, and half the time.
    pub(super) fn pause_before_moving(&self, notice: Notice) -> Duration {
        let waited = notice.heard.elapsed();
        match self.lock().size(0).links {
            0 | 1 => (notice.pause / 2).saturating_sub(waited),
            _ => notice.pause.saturating_sub(waited),
        }
    }

    /// Whether another link serves at the same node.
    pub(super) fn is_shared(&self, place: &Place) -> bool {
        let state = self.lock();
        let other = |held: &&Held| held.id != place.id && held.node == place.node;
        let serving = |held: &Held| matches!(held.phase, Phase::Serving(_));
        state.held.iter().filter(other).any(serving)
    }

    /// Says that the agent was told to leave, if there is anything to leave.
    pub(super) fn leave(&self) {
        let state = self.lock();
        let up: Vec<usize> = state
            .held
            .iter()
            .filter_map(|held| match &held.phase {
                Phase::Coming => None,
                Phase::Serving(control) | Phase::Drying(control) => Some(control.in_flight()),
            })
            .collect();
        if !up.is_empty() {
            let in_flight = up.iter().sum();
            self.events.tell(Event::Leaving { in_flight });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole by itself, should whoever is told of it panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&mut self, place: &Place) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.id == place.id)
    }

    fn size(&self, wanted: usize) -> PoolSize {
        let serving = |held: &&Held| matches!(held.phase, Phase::Serving(_));
        let nodes = self.held.iter().filter(serving).map(|held| held.node);
        PoolSize {
            links: nodes.clone().count(),
            nodes: nodes.collect::<HashSet<_>>().len(),
            wanted,
        }
    }
}

impl Place {
    pub(super) fn node(&self) -> NodeId {
        self.node
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.lock().held.retain(|held| held.id != self.id);
    }
}
