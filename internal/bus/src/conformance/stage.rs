//! What the checks are written with: nodes that remember what they were sent, and claims in words.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use messages::{Flags, Frame, NodeId, PolicyId, StreamId, TunnelId};

use super::Backend;
use crate::{
    AnnounceError, Announced, Announcement, Content, Delivery, Envelope, ExchangeId, Inbox, LinkId,
    Mode, Node, Route, Routes, SendError, SessionId,
};

/// How long a backend may take until a change or a delivery has reached another node, or a lost one is noticed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long is waited between two looks.
const STEP: Duration = Duration::from_millis(250);

/// One check's nodes.
pub(super) struct Stage<'a> {
    backend: &'a dyn Backend,
    joined: Mutex<Vec<Node>>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(backend: &'a dyn Backend) -> Self {
        Self {
            backend,
            joined: Mutex::default(),
        }
    }

    /// A new node with an inbox that remembers.
    pub(super) async fn node(&self) -> Actor<'_> {
        let inbox = Arc::new(Recorder::default());
        let node = self.join(Arc::<Recorder>::clone(&inbox)).await;
        Actor {
            stage: self,
            id: node.bus.node(),
            node,
            inbox,
        }
    }

    /// A new node with an inbox of the check's own.
    pub(super) async fn join(&self, inbox: Arc<dyn Inbox>) -> Node {
        let node = self.backend.join(a_node_id(), inbox).await;
        self.joined().push(node.clone());
        node
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        self.backend
    }

    pub(super) async fn crash(&self, actor: &Actor<'_>) {
        self.backend.crash(&actor.node).await;
    }

    /// Lets time pass while every node that is still there renews its lease each second.
    pub(super) async fn advance(&self, by: Duration) {
        let mut left = by;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(1));
            self.backend.advance(step).await;
            left -= step;
            let nodes = self.joined().clone();
            for node in nodes {
                // A node that left or crashed cannot, and need not.
                let _renewed = node.directory.renew().await;
            }
        }
    }

    /// Waits until `look` sees something, or gives up.
    pub(super) async fn eventually<T>(
        &self,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> Option<T> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(seen) = look().await {
                return Some(seen);
            }
            if waited >= PATIENCE {
                return None;
            }
            self.advance(STEP).await;
            waited += STEP;
        }
    }

    /// Takes every node off the stage.
    pub(super) async fn clear(&self) {
        let nodes = std::mem::take(&mut *self.joined());
        for node in nodes {
            node.leave().await;
        }
    }

    fn joined(&self) -> MutexGuard<'_, Vec<Node>> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An inbox that keeps what it gets, in order.
#[derive(Default)]
pub(super) struct Recorder {
    taken: Mutex<Vec<Delivery>>,
}

impl Inbox for Recorder {
    fn deliver(&self, delivery: Delivery) {
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(delivery);
    }
}

impl Recorder {
    pub(super) fn all(&self) -> Vec<Delivery> {
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A node on the stage.
pub(super) struct Actor<'a> {
    stage: &'a Stage<'a>,
    pub(super) id: NodeId,
    pub(super) node: Node,
    pub(super) inbox: Arc<Recorder>,
}

impl Actor<'_> {
    pub(super) fn send(&self, to: NodeId, envelope: Envelope) -> Result<(), SendError> {
        self.node.bus.send(to, envelope)
    }

    /// An envelope of this node's, told apart by the number of its exchange.
    pub(super) fn envelope(&self, exchange: u64, content: Content) -> Envelope {
        Envelope {
            from: self.id,
            exchange: ExchangeId(exchange),
            tunnel: TunnelId([9; 32]),
            content,
        }
    }

    /// Waits for `count` envelopes and returns what has come.
    pub(super) async fn envelopes(&self, count: usize) -> Vec<Envelope> {
        let look = async || {
            let (taken, _) = self.taken();
            (taken.len() >= count).then_some(taken)
        };
        let come = self.stage.eventually(look).await;
        come.unwrap_or_else(|| {
            let (taken, others) = self.taken();
            let came = taken.len();
            panic!("{came} of {count} envelopes arrived, and of other deliveries {others:?}")
        })
    }

    /// Envelopes, and whatever else has come.
    fn taken(&self) -> (Vec<Envelope>, Vec<Delivery>) {
        let (mut envelopes, mut others) = (Vec::new(), Vec::new());
        for delivery in self.inbox.all() {
            match delivery {
                Delivery::Envelope(envelope) => envelopes.push(envelope),
                other => others.push(other),
            }
        }
        (envelopes, others)
    }

    /// Waits until this delivery has come, and says how many times it has.
    pub(super) async fn gets(&self, delivery: &Delivery) -> usize {
        let look = async || {
            let taken = self.inbox.all();
            let count = taken.iter().filter(|taken| *taken == delivery).count();
            (count > 0).then_some(count)
        };
        let come = self.stage.eventually(look).await;
        come.unwrap_or_else(|| panic!("{delivery:?} never arrived"))
    }

    pub(super) async fn announce(&self, claim: Claim) -> Result<u64, AnnounceError> {
        let announced = self.node.directory.announce(claim.0).await;
        announced.map(|Announced { generation }| generation)
    }

    /// Announces what must be granted.
    pub(super) async fn holds(&self, claim: Claim) -> u64 {
        let words = format!("{claim:?}");
        let announced = self.announce(claim).await;
        announced.unwrap_or_else(|error| panic!("{error}: {words}"))
    }

    pub(super) async fn withdraw(&self, tunnel: TunnelId, link: u64, version: u64) {
        let withdrawn = self
            .node
            .directory
            .withdraw(tunnel, LinkId(link), version)
            .await;
        withdrawn.expect("the directory is there");
    }

    /// Waits until this node finds just these links for the tunnel, in whatever order, and returns their routes.
    pub(super) async fn finds(&self, tunnel: TunnelId, links: &[(&Actor<'_>, u64)]) -> Routes {
        let mut wanted: Vec<_> = links
            .iter()
            .map(|(actor, link)| (actor.id, LinkId(*link)))
            .collect();
        wanted.sort_by_key(|(node, link)| (node.0, *link));
        let found = self.stage.eventually(async || {
            let routes = self.lookup(tunnel).await;
            (held_links(&routes) == wanted).then_some(routes)
        });
        if let Some(routes) = found.await {
            return routes;
        }
        panic!(
            "found {:?} instead of {wanted:?}",
            self.lookup(tunnel).await
        )
    }

    pub(super) async fn lookup(&self, tunnel: TunnelId) -> Routes {
        let routes = self.node.directory.lookup(tunnel).await;
        routes.expect("the directory is there")
    }

    pub(super) fn local_links(&self, tunnel: TunnelId) -> Option<Vec<(NodeId, LinkId)>> {
        self.node
            .directory
            .local(tunnel)
            .map(|routes| held_links(&routes))
    }
}

fn held_links(routes: &[Route]) -> Vec<(NodeId, LinkId)> {
    let mut links: Vec<_> = routes
        .iter()
        .map(|route| (route.node, route.link))
        .collect();
    links.sort_by_key(|(node, link)| (node.0, *link));
    links
}

/// An announcement said in words; version 1, no generation yet, no rules, and the tunnel's name as its owner, unless it
/// says so.
#[derive(Debug, Clone)]
pub(super) struct Claim(Announcement);

impl Claim {
    pub(super) fn exclusive(tunnel: TunnelId, session: SessionId, link: u64) -> Self {
        Self(Announcement {
            tunnel,
            link: LinkId(link),
            session,
            generation: None,
            mode: Mode::Exclusive,
            version: 1,
            owner: tunnel.0,
            policy: PolicyId::NONE,
            document: Bytes::new(),
        })
    }

    pub(super) fn shared(tunnel: TunnelId, session: SessionId, link: u64) -> Self {
        let Self(exclusive) = Self::exclusive(tunnel, session, link);
        Self(Announcement {
            mode: Mode::Shared,
            ..exclusive
        })
    }

    pub(super) fn presenting(self, generation: u64) -> Self {
        Self(Announcement {
            generation: Some(generation),
            ..self.0
        })
    }

    pub(super) fn of(self, owner: [u8; 32]) -> Self {
        Self(Announcement { owner, ..self.0 })
    }

    pub(super) fn ruled_by(self, policy: PolicyId, document: impl Into<Bytes>) -> Self {
        Self(Announcement {
            policy,
            document: document.into(),
            ..self.0
        })
    }

    pub(super) fn version(self, version: u64) -> Self {
        Self(Announcement { version, ..self.0 })
    }
}

pub(super) fn a_node_id() -> NodeId {
    NodeId(random())
}

pub(super) fn a_tunnel() -> TunnelId {
    TunnelId(random())
}

/// An owner, or whatever else is a hash.
pub(super) fn a_hash() -> [u8; 32] {
    random()
}

pub(super) fn a_session() -> SessionId {
    random()
}

/// A key for a one-shot value.
pub(super) fn a_key() -> String {
    format!("conformance-{:032x}", u128::from_be_bytes(random()))
}

/// A frame that no link would accept, for the bus must not look.
pub(super) fn frame(payload: impl Into<Bytes>) -> Frame {
    Frame {
        tag: 0xee,
        flags: Flags(0x7f),
        stream: StreamId(0),
        payload: payload.into(),
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}
