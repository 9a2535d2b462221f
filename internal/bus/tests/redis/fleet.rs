//! Nodes on a real server, which renew by themselves and remember what they were sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_bus::redis::{self, Switch, Timing};
use adit_bus::{
    AnnounceError, Announced, Announcement, Content, Delivery, Envelope, ExchangeId, Health, Inbox,
    LinkId, Mode, Node, Route,
};
use bytes::Bytes;
use messages::{Flags, Frame, NodeId, PolicyId, StreamId, TunnelId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::hasty::hasty;
pub(crate) use crate::server::eventually;

/// Remembers what it gets.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Delivery>>);

impl Inbox for Recorder {
    fn deliver(&self, delivery: Delivery) {
        self.0.lock().expect("nobody panicked").push(delivery);
    }
}

/// A node.
pub(crate) struct Actor {
    pub(crate) id: NodeId,
    pub(crate) node: Node,
    pub(crate) switch: Switch,
    pub(crate) inbox: Arc<Recorder>,
    _renewing: JoinSet<()>,
}

impl Actor {
    pub(crate) async fn join(url: &str, id: u8) -> Self {
        Self::join_with(url, id, hasty()).await
    }

    pub(crate) async fn join_with(url: &str, id: u8, timing: Timing) -> Self {
        let id = NodeId([id; 16]);
        let inbox = Arc::new(Recorder::default());
        let joined = redis::join(url, timing, id, Arc::<Recorder>::clone(&inbox)).await;
        let joined = joined.expect("the URL is right");
        let mut renewing = JoinSet::new();
        let directory = Arc::clone(&joined.node.directory);
        renewing.spawn(async move {
            loop {
                let _renewed = directory.renew().await;
                sleep(Duration::from_millis(200)).await;
            }
        });
        Self {
            id,
            node: joined.node,
            switch: joined.switch,
            inbox,
            _renewing: renewing,
        }
    }

    pub(crate) fn all(&self) -> Vec<Delivery> {
        self.inbox.0.lock().expect("nobody panicked").clone()
    }

    pub(crate) fn forget(&self) {
        self.inbox.0.lock().expect("nobody panicked").clear();
    }

    pub(crate) fn envelopes(&self) -> Vec<Envelope> {
        let all = self.all().into_iter();
        let envelopes = all.filter_map(|delivery| match delivery {
            Delivery::Envelope(envelope) => Some(envelope),
            Delivery::Gap(_) | Delivery::Lost(_) | Delivery::Superseded { .. } => None,
        });
        envelopes.collect()
    }

    pub(crate) fn envelope(&self, exchange: u64, content: Content) -> Envelope {
        Envelope {
            from: self.id,
            exchange: ExchangeId(exchange),
            tunnel: TunnelId([9; 32]),
            content,
        }
    }

    /// Waits until this delivery has come.
    pub(crate) async fn gets(&self, delivery: &Delivery) {
        let come = eventually(async || self.all().contains(delivery)).await;
        assert!(come, "{delivery:?} never came; there is {:?}", self.all());
    }

    /// Waits until the bus is up, and says how long that took.
    pub(crate) async fn is_up(&self) -> Duration {
        let began = Instant::now();
        let up = eventually(async || self.node.bus.health() == Health::Up).await;
        assert!(up, "{:?}", self.node.bus.health());
        began.elapsed()
    }

    pub(crate) async fn is_down(&self) {
        let down = eventually(async || self.node.bus.health() != Health::Up).await;
        assert!(down, "it is still up");
    }

    pub(crate) async fn announce(&self, claim: &Announcement) -> Result<u64, AnnounceError> {
        let announced = self.node.directory.announce(claim.clone()).await;
        announced.map(|Announced { generation }| generation)
    }

    pub(crate) async fn holds(&self, claim: &Announcement) -> u64 {
        self.announce(claim)
            .await
            .expect("nothing speaks against it")
    }

    /// Waits until this node finds just these links.
    pub(crate) async fn finds(&self, tunnel: TunnelId, links: &[(&Self, u64)]) {
        let mut wanted: Vec<_> = links.iter().map(|(it, link)| (it.id.0, *link)).collect();
        wanted.sort_unstable();
        let mut found = Vec::new();
        let same = eventually(async || {
            let routes = self.node.directory.lookup(tunnel).await;
            let routes = routes.unwrap_or_default();
            found = routes
                .iter()
                .map(|route| (route.node.0, route.link.0))
                .collect();
            found.sort_unstable();
            found == wanted
        });
        let same = same.await;
        assert!(same, "found {found:?} instead of {wanted:?}");
    }

    pub(crate) fn serves(&self, tunnel: TunnelId) -> Vec<Route> {
        self.node
            .directory
            .local(tunnel)
            .unwrap_or_default()
            .to_vec()
    }

    /// Waits until an envelope from here reaches the other, and one back.
    pub(crate) async fn talks_with(&self, other: &Self) {
        for (from, to) in [(self, other), (other, self)] {
            let before = to.envelopes().len();
            let mut sent = 0;
            let come = eventually(async || {
                // What is refused or lost by the way is said again, as a retry would.
                let envelope = from.envelope(sent, Content::Accepted);
                sent += u64::from(from.node.bus.send(to.id, envelope).is_ok());
                sleep(Duration::from_millis(50)).await;
                to.envelopes().len() > before
            });
            assert!(come.await, "{} does not reach {}", from.id, to.id);
        }
    }
}

pub(crate) fn tunnel(n: u8) -> TunnelId {
    TunnelId([n; 32])
}

/// An exclusive claim of a session's link.
pub(crate) fn claim(tunnel: TunnelId, session: u8, link: u64) -> Announcement {
    Announcement {
        tunnel,
        link: LinkId(link),
        session: [session; 16],
        generation: None,
        mode: Mode::Exclusive,
        version: 1,
        owner: tunnel.0,
        policy: PolicyId::NONE,
        document: Bytes::new(),
    }
}

/// Bytes on their way to a visitor.
pub(crate) fn body(payload: Bytes) -> Content {
    Content::ToVisitor(Frame {
        tag: 0x12,
        flags: Flags(0),
        stream: StreamId(1),
        payload,
    })
}
