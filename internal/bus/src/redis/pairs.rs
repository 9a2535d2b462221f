//! All pairs of this node, and the publisher's list of those that have something to say.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use foldhash::fast::RandomState;
use messages::{NodeId, TunnelId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::door::Door;
use super::locked;
use super::names::Names;
use super::pair::{self, Pair};
use super::timing::Timing;
use super::wire::{Envelopes, Header};
use crate::{Content, Delivery, Envelope, ExchangeId, Nack, SendError};

/// How many other nodes are known at once.
const MAX_PEERS: usize = 4096;

/// Another node.
pub(super) struct Peer {
    pub(super) node: NodeId,
    /// Where it listens.
    pub(super) channel: String,
    pair: Mutex<Pair>,
}

impl Peer {
    pub(super) fn pair(&self) -> MutexGuard<'_, Pair> {
        locked(&self.pair)
    }
}

/// What a message would have begun.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    exchange: ExchangeId,
    tunnel: TunnelId,
}

impl Opening {
    pub(super) fn of(envelope: &Envelope) -> Option<Self> {
        matches!(envelope.content, Content::Open { .. }).then_some(Self {
            exchange: envelope.exchange,
            tunnel: envelope.tunnel,
        })
    }

    /// The answer that the node would have given.
    fn not_here(self, node: NodeId) -> Envelope {
        Envelope {
            from: node,
            exchange: self.exchange,
            tunnel: self.tunnel,
            content: Content::Nack(Nack::NotHere),
        }
    }
}

pub(super) struct Pairs {
    /// Looked up with each envelope and each batch; node ids are no visitor's to choose.
    peers: RwLock<HashMap<NodeId, Arc<Peer>, RandomState>>,
    /// Those with something to say, each at most once.
    ready: Mutex<VecDeque<Arc<Peer>>>,
    /// Rung when `ready` is no longer empty.
    pub(super) bell: Notify,
    /// Whether the bus is there. Looked at under the lock of a pair, so that nothing is queued after it was cut.
    open: AtomicBool,
    /// How many nodes send to this one at present.
    senders: AtomicUsize,
    names: Names,
    timing: Timing,
}

impl Pairs {
    pub(super) fn new(names: Names, timing: Timing) -> Self {
        Self {
            names,
            peers: RwLock::default(),
            ready: Mutex::default(),
            bell: Notify::new(),
            open: AtomicBool::new(false),
            senders: AtomicUsize::new(1),
            timing,
        }
    }

    /// Queues an envelope.
    pub(super) fn send(&self, to: NodeId, envelope: Envelope) -> Result<(), SendError> {
        let peer = self.peer(to).ok_or(SendError::Full)?;
        let mut pair = peer.pair();
        if !self.open.load(Ordering::Acquire) {
            return Err(SendError::Unavailable);
        }
        pair.push(envelope, Instant::now())?;
        self.schedule(&peer, &mut pair);
        Ok(())
    }

    /// Judges a message and delivers what it brings. To be called with the door held.
    pub(super) fn receive(&self, header: &Header, envelopes: Envelopes, door: &Door) {
        if !self.open.load(Ordering::Acquire) {
            return;
        }
        let Some(peer) = self.peer(header.from) else {
            return;
        };
        let received = {
            let mut pair = peer.pair();
            let now = Instant::now();
            let received = pair.receive(header, envelopes.len(), &self.timing, now);
            self.schedule(&peer, &mut pair);
            received
        };
        door.report(header.from, received.report);
        if !received.deliver {
            return;
        }
        for envelope in envelopes {
            match envelope {
                Ok(envelope) if envelope.from == header.from => {
                    door.deliver(Delivery::Envelope(envelope));
                }
                Ok(_) => self.spoil(&peer, "it is signed by another node", door),
                Err(error) => self.spoil(&peer, &error.to_string(), door),
            }
        }
    }

    fn spoil(&self, peer: &Arc<Peer>, why: &str, door: &Door) {
        tracing::warn!(node = %peer.node, why, "a batch from another node cannot be read");
        let report = {
            let mut pair = peer.pair();
            let report = pair.spoiled();
            self.schedule(peer, &mut pair);
            report
        };
        door.report(peer.node, report);
    }

    /// Redis said that nobody heard a message. What was to open an exchange was then certainly not delivered, and its
    /// sender may offer it to another node, whatever it was.
    pub(super) fn unheard(&self, peer: &Arc<Peer>, term: u64, openings: Vec<Opening>, door: &Door) {
        let _held = door.hold();
        for opening in openings {
            door.deliver(Delivery::Envelope(opening.not_here(peer.node)));
        }
        let now = Instant::now();
        let report = peer.pair().published(term, 0, &self.timing, now);
        door.report(peer.node, report);
    }

    /// Lets each pair look at the clock.
    pub(super) fn tick(&self, door: &Door) {
        let now = Instant::now();
        let peers = self.all();
        let mut senders = 0;
        let mut forgotten = Vec::new();
        for peer in &peers {
            let _held = door.hold();
            let report = {
                let mut pair = peer.pair();
                let report = pair.tick(&self.timing, now);
                senders += usize::from(pair.is_sending(&self.timing, now));
                if pair.is_forgotten(now) {
                    forgotten.push(peer.node);
                }
                self.schedule(peer, &mut pair);
                report
            };
            door.report(peer.node, report);
        }
        self.senders.store(senders, Ordering::Relaxed);
        if !forgotten.is_empty() {
            let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
            peers.retain(|_, peer| {
                !forgotten.contains(&peer.node) || !peer.pair().is_forgotten(now)
            });
        }
    }

    /// The bus is there: what waits to be said is said.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Release);
        for peer in self.all() {
            let mut pair = peer.pair();
            pair.taken_up();
            self.schedule(&peer, &mut pair);
        }
    }

    /// The bus is gone, with all that was under way.
    pub(super) fn cut(&self, door: &Door) {
        let _held = door.hold();
        self.open.store(false, Ordering::Release);
        locked(&self.ready).clear();
        for peer in self.all() {
            let report = peer.pair().cut();
            door.report(peer.node, report);
        }
    }

    /// Says goodbye to everybody once all that is queued has gone.
    pub(super) fn leave(&self) {
        for peer in self.all() {
            let mut pair = peer.pair();
            pair.leave();
            self.schedule(&peer, &mut pair);
        }
    }

    /// Whether nothing is left to be said to anybody.
    pub(super) fn are_silent(&self) -> bool {
        self.all().iter().all(|peer| peer.pair().is_silent())
    }

    /// The next pair that has something to say.
    pub(super) fn next_ready(&self) -> Option<Arc<Peer>> {
        let peer = locked(&self.ready).pop_front()?;
        peer.pair().taken_up();
        Some(peer)
    }

    /// Puts a pair on the list if it has something to say and is not there.
    pub(super) fn schedule(&self, peer: &Arc<Peer>, pair: &mut Pair) {
        if self.open.load(Ordering::Acquire) && pair.schedule() {
            locked(&self.ready).push_back(Arc::clone(peer));
            self.bell.notify_one();
        }
    }

    /// The budget of each node that sends to this one.
    pub(super) fn share(&self) -> u64 {
        pair::share(self.senders.load(Ordering::Relaxed))
    }

    /// Whether a node is taken to be gone, so that its routes do not count.
    pub(super) fn is_gone(&self, node: NodeId) -> bool {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers
            .get(&node)
            .is_some_and(|peer| peer.pair().is_gone(Instant::now()))
    }

    fn all(&self) -> Vec<Arc<Peer>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.values().cloned().collect()
    }

    fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        {
            let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(peer) = peers.get(&node) {
                return Some(Arc::clone(peer));
            }
        }
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MAX_PEERS && !peers.contains_key(&node) {
            let now = Instant::now();
            peers.retain(|_, peer| !peer.pair().is_forgotten(now));
            if peers.len() >= MAX_PEERS {
                tracing::warn!(%node, "too many other nodes are known; one more cannot be talked to");
                return None;
            }
        }
        let new = || {
            Arc::new(Peer {
                node,
                channel: self.names.channel(node),
                pair: Mutex::new(Pair::new()),
            })
        };
        Some(Arc::clone(peers.entry(node).or_insert_with(new)))
    }
}
