//! The exchanges under way, by their id.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use bus::{Bus, Content, Envelope, ExchangeId, LinkId, Nack, Route};
use exchange::{Outlet, Port};
use foldhash::HashMap;
use messages::{Frame, NodeId, Reset, ResetCode, Tag, TunnelId};
use tokio::sync::Notify;

/// Locks are per shard, so that workers seldom meet.
const SHARDS: usize = 16;

/// Exchanges by id.
#[derive(Debug)]
pub(crate) struct Table {
    next: AtomicU64,
    shards: [Mutex<HashMap<u64, Arc<Entry>>>; SHARDS],
    /// Exchanges by link, for links that have any.
    loads: [Mutex<HashMap<LinkId, usize>>; SHARDS],
}

/// One exchange: where frames go in, and the line they came over.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) port: Port,
    pub(crate) line: Arc<Line>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(1),
            shards: Default::default(),
            loads: Default::default(),
        }
    }
}

impl Table {
    pub(crate) fn next_id(&self) -> ExchangeId {
        ExchangeId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Rises with every exchange: spreads requests over the links of a tunnel.
    pub(crate) fn turn(&self) -> usize {
        usize::try_from(self.next.load(Ordering::Relaxed)).unwrap_or_default()
    }

    pub(crate) fn insert(&self, port: Port, line: Arc<Line>) {
        *self
            .load(line.route.link)
            .entry(line.route.link)
            .or_default() += 1;
        self.shard(line.exchange)
            .insert(line.exchange.0, Arc::new(Entry { port, line }));
    }

    pub(crate) fn get(&self, id: ExchangeId) -> Option<Arc<Entry>> {
        self.shard(id).get(&id.0).cloned()
    }

    /// Exchanges that this node has under way over a link.
    pub(crate) fn in_flight(&self, link: LinkId) -> usize {
        self.load(link).get(&link).copied().unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    pub(crate) fn with_node(&self, node: NodeId) -> Vec<Arc<Entry>> {
        self.select(|entry| entry.line.route.node == node)
    }

    /// The exchanges whose visitor has taken nothing for longer than `limit`.
    pub(crate) fn stalled(&self, limit: Duration) -> Vec<Arc<Entry>> {
        self.select(|entry| entry.port.stalled_for() > limit)
    }

    /// The exchanges on which nothing has moved for longer than `limit`.
    pub(crate) fn quiet(&self, limit: Duration) -> Vec<Arc<Entry>> {
        self.select(|entry| entry.port.quiet_for() > limit)
    }

    fn select(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let pick = |shard: &Mutex<HashMap<u64, Arc<Entry>>>| {
            lock(shard)
                .values()
                .filter(|entry| wanted(entry))
                .cloned()
                .collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(pick).collect()
    }

    fn remove(&self, id: ExchangeId) {
        // Dropped without the lock: a port's last handle may do work.
        let removed = self.shard(id).remove(&id.0);
        if let Some(entry) = removed {
            self.unload(entry.line.route.link);
        }
    }

    fn unload(&self, link: LinkId) {
        let mut loads = self.load(link);
        match loads.get_mut(&link) {
            Some(load) if *load > 1 => *load -= 1,
            _ => drop(loads.remove(&link)),
        }
    }

    fn load(&self, link: LinkId) -> MutexGuard<'_, HashMap<LinkId, usize>> {
        let index = usize::try_from(link.0 % SHARDS as u64).unwrap_or_default();
        lock(&self.loads[index])
    }

    fn shard(&self, id: ExchangeId) -> MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        let index = usize::try_from(id.0 % SHARDS as u64).unwrap_or_default();
        lock(&self.shards[index])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What became of the opening envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Pending,
    Accepted,
    Refused(Nack),
}

/// One exchange's way to one link. The first frame opens it.
pub(crate) struct Line {
    pub(crate) exchange: ExchangeId,
    pub(crate) tunnel: TunnelId,
    pub(crate) route: Route,
    pub(crate) attempt: u8,
    bus: Arc<dyn Bus>,
    table: Weak<Table>,
    delivery: AtomicU8,
    changed: Notify,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("exchange", &self.exchange)
            .field("tunnel", &self.tunnel)
            .finish_non_exhaustive()
    }
}

const PENDING: u8 = 0;
const ACCEPTED: u8 = 1;

impl Line {
    pub(crate) fn new(
        table: &Arc<Table>,
        bus: Arc<dyn Bus>,
        tunnel: TunnelId,
        route: Route,
        attempt: u8,
    ) -> Arc<Self> {
        Arc::new(Self {
            exchange: table.next_id(),
            tunnel,
            route,
            attempt,
            bus,
            table: Arc::downgrade(table),
            delivery: AtomicU8::new(PENDING),
            changed: Notify::new(),
        })
    }

    /// The uplink has the request; or the agent has already answered.
    pub(crate) fn accepted(&self) {
        self.settle(ACCEPTED);
    }

    /// The uplink did not take the request: it may be offered elsewhere.
    pub(crate) fn refused(&self, nack: Nack) {
        self.settle(code(nack));
    }

    /// The first word counts.
    fn settle(&self, to: u8) {
        let first =
            self.delivery
                .compare_exchange(PENDING, to, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            self.changed.notify_one();
        }
    }

    pub(crate) fn delivery(&self) -> Delivery {
        match self.delivery.load(Ordering::Acquire) {
            PENDING => Delivery::Pending,
            ACCEPTED => Delivery::Accepted,
            other => Delivery::Refused(nack(other)),
        }
    }

    /// Waits until the opening is accepted or refused. Cancel safe.
    pub(crate) async fn settled(&self) -> Delivery {
        loop {
            match self.delivery() {
                Delivery::Pending => self.changed.notified().await,
                settled => return settled,
            }
        }
    }

    fn wrap(&self, frame: Frame) -> Content {
        let link = self.route.link;
        match frame.tag() {
            Some(Tag::HttpRequest | Tag::WsRequest) => Content::Open {
                link,
                generation: self.route.generation,
                policy: self.route.policy,
                attempt: self.attempt,
                frame,
            },
            _ => Content::ToAgent { link, frame },
        }
    }
}

impl Outlet for Line {
    fn send(&self, frame: Frame) {
        let envelope = Envelope {
            from: self.bus.node(),
            exchange: self.exchange,
            tunnel: self.tunnel,
            content: self.wrap(frame),
        };
        if let Err(error) = self.bus.send(self.route.node, envelope) {
            tracing::debug!(%error, node = %self.route.node, "a frame could not be sent");
            self.refused(Nack::NotHere);
            if let Some(entry) = self
                .table
                .upgrade()
                .and_then(|table| table.get(self.exchange))
            {
                entry.port.cut(Reset::new(
                    ResetCode::LinkLost,
                    "the node that holds the tunnel cannot be reached",
                ));
            }
        }
    }

    fn done(&self) {
        if let Some(table) = self.table.upgrade() {
            table.remove(self.exchange);
        }
    }
}

fn code(nack: Nack) -> u8 {
    match nack {
        Nack::NotHere => 2,
        Nack::Busy => 3,
        Nack::Stale => 4,
        Nack::Draining => 5,
    }
}

fn nack(code: u8) -> Nack {
    match code {
        3 => Nack::Busy,
        4 => Nack::Stale,
        5 => Nack::Draining,
        _ => Nack::NotHere,
    }
}
