//! Both halves of one server process on one bus, as the server puts them together.

use std::{
    net::SocketAddr,
    process,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bus::{Content, Delivery, Directory, Inbox, memory};
use edge::{Body, Edge, Reserved};
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use hyper::body::Incoming;
use messages::NodeId;
use tokio::{net::TcpListener, task::JoinSet, time::interval};
use tokio_util::sync::CancellationToken;
use uplink::Uplink;

use super::{
    agent::{AgentToBe, ClusterAgent},
    home::Home,
};
use crate::{fault::FaultProxy, port::Port, visitor::Visitor};

/// Where nodes meet.
#[derive(Debug, Clone)]
pub(super) enum Meeting {
    Memory(memory::Fleet),
    Redis(SocketAddr),
}

impl Meeting {
    pub(super) fn memory() -> Self {
        Self::Memory(memory::Fleet::new())
    }

    async fn join(&self, way: Option<SocketAddr>, id: NodeId, inbox: Arc<Hall>) -> bus::Node {
        match (self, way) {
            (Self::Memory(fleet), _) => fleet.join(id, inbox),
            (Self::Redis(redis), way) => {
                let url = format!("redis://{}", way.unwrap_or(*redis));
                let node = bus::connect(&url, id, inbox).await;
                node.expect("the node joins over Redis")
            }
        }
    }
}

/// A node's address and settings, which stay when it dies.
#[derive(Debug)]
pub(super) struct Place {
    meeting: Meeting,
    port: Port,
    edge: edge::Config,
    uplink: uplink::Config,
    living: Option<(Home, Node)>,
}

impl Place {
    pub(super) fn new(meeting: Meeting, edge: edge::Config, mut uplink: uplink::Config) -> Self {
        let port = Port::free();
        uplink.public_url.port = Some(port.number());
        Self {
            meeting,
            port,
            edge,
            uplink,
            living: None,
        }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    pub(super) fn node(&self) -> &Node {
        let (_, node) = self.living.as_ref().expect("the node lives");
        node
    }

    pub(super) async fn start(&mut self) {
        assert!(self.living.is_none(), "the node lives");
        let redis = match &self.meeting {
            Meeting::Memory(_) => None,
            Meeting::Redis(redis) => Some(FaultProxy::to(*redis).await),
        };
        let (meeting, way) = (self.meeting.clone(), redis.as_ref().map(FaultProxy::addr));
        let (edge, uplink) = (self.edge.clone(), self.uplink.clone());
        let (id, listener) = (fresh_id(), self.port.bind());
        let settling = move || async move {
            let hall = Arc::new(Hall::default());
            let joined = meeting.join(way, id, hall.clone()).await;
            let listener = TcpListener::from_std(listener).expect("the runtime has I/O");
            settle(edge, uplink, joined, &hall, listener)
        };
        let (home, (edge, uplink)) = Home::found(settling).await;
        let node = Node {
            id,
            edge,
            uplink,
            addr: self.addr(),
            redis,
        };
        self.living = Some((home, node));
    }

    pub(super) async fn kill(&mut self) {
        let (home, node) = self.living.take().expect("the node lives");
        if let Meeting::Memory(fleet) = &self.meeting {
            // First, or what its tasks do when they are dropped would be a goodbye.
            fleet.crash(node.id);
        }
        home.raze().await;
    }

    pub(super) async fn freeze(&mut self) {
        self.home().freeze().await;
    }

    pub(super) fn thaw(&mut self) {
        self.home().thaw();
    }

    fn home(&mut self) -> &mut Home {
        let (home, _) = self.living.as_mut().expect("the node lives");
        home
    }
}

/// Both halves of one server process. It stops when its cluster is dropped.
#[derive(Debug)]
pub struct Node {
    /// Its id in the fleet.
    pub id: NodeId,
    /// The public half.
    pub edge: Arc<Edge>,
    /// The agents' half.
    pub uplink: Arc<Uplink>,
    /// Where visitors and agents come in.
    pub addr: SocketAddr,
    redis: Option<FaultProxy>,
}

impl Node {
    /// An agent that dials this node, with a key of its own.
    pub fn agent(&self) -> AgentToBe {
        AgentToBe::dialling(self.addr)
    }

    /// A visitor who comes in here for that agent's hostname.
    pub fn visitor(&self, agent: &ClusterAgent) -> Visitor {
        Visitor::new(
            self.addr,
            format!("{}:{}", agent.hostname, self.addr.port()),
        )
    }

    /// The way to Redis.
    pub fn redis(&self) -> &FaultProxy {
        self.redis.as_ref().expect("the cluster is over Redis")
    }

    /// Streams open over all of this node's links.
    pub fn streams(&self) -> usize {
        self.uplink.stats().streams
    }
}

/// Unlike any other's, also on a Redis that several tests share.
fn fresh_id() -> NodeId {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    NodeId((u128::from(process::id()) << 64 | u128::from(count)).to_be_bytes())
}

fn settle(
    edge: edge::Config,
    uplink: uplink::Config,
    joined: bus::Node,
    hall: &Hall,
    listener: TcpListener,
) -> (Arc<Edge>, Arc<Uplink>) {
    let uplink = Uplink::new(uplink, joined.bus.clone(), joined.directory.clone());
    let door = Arc::new(Door(uplink.clone()));
    let edge = Edge::new(edge, joined.bus, joined.directory.clone(), door);
    let halves = (edge.clone(), uplink.clone());
    hall.0.set(halves).expect("nothing else sets it");
    let mut tasks = JoinSet::new();
    let serving = edge.clone();
    tasks.spawn(async move { serving.serve(listener, CancellationToken::new()).await });
    tasks.spawn(keep_lease(joined.directory));
    // They end with the runtime, which is the node's alone.
    tasks.detach_all();
    (edge, uplink)
}

async fn keep_lease(directory: Arc<dyn Directory>) {
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        // It fails while Redis is away, and is tried again: so does the server.
        directory.renew().await.ok();
    }
}

/// The node's one inbox, in front of its two halves.
#[derive(Default)]
struct Hall(OnceLock<(Arc<Edge>, Arc<Uplink>)>);

impl Inbox for Hall {
    fn deliver(&self, delivery: Delivery) {
        let Some((edge, uplink)) = self.0.get() else {
            return;
        };
        match delivery {
            Delivery::Envelope(envelope) => match envelope.content {
                Content::Open { .. } | Content::ToAgent { .. } => uplink.deliver(envelope),
                Content::Accepted | Content::Nack(_) | Content::ToVisitor(_) => {
                    edge.deliver(envelope);
                }
            },
            Delivery::Gap(node) | Delivery::Lost(node) => {
                edge.lost(node);
                uplink.node_lost(node);
            }
            Delivery::Superseded { tunnel, link, by } => uplink.superseded(tunnel, link, by),
        }
    }
}

/// The domain itself: nothing but the agents' way in.
struct Door(Arc<Uplink>);

impl Reserved for Door {
    fn call(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> BoxFuture<'static, Response<Body>> {
        let answer = self.0.upgrade(request, peer).map(Body::boxed);
        std::future::ready(answer).boxed()
    }
}
