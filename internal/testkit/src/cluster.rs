//! A fleet in one process: nodes put together as the server does it, and agents that publish closures.
//!
//! For tests that look inside, at counts no binary shows. What a user sees is tested with [`crate::process`].

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use agent::{Event, HttpTarget, HttpTargetConfig, Target, TargetUrl};
use bus::{Content, Delivery, Directory, Inbox, memory::Fleet};
use edge::{Body, Edge, Reserved};
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use hyper::body::Incoming;
use identity::SecretKey;
use messages::NodeId;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uplink::Uplink;

use crate::{
    origin::Origin,
    visitor::{PATIENCE, Visitor},
};

/// Tunnels are `*.` of this name.
const DOMAIN: &str = "localhost";

/// Nodes on one memory bus.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    /// So many nodes with the settings they come with.
    pub async fn of(count: u8) -> Self {
        Self::with(
            count,
            &edge::Config::default(),
            &uplink::Config::new(DOMAIN),
        )
        .await
    }

    /// So many nodes with these settings.
    pub async fn with(count: u8, edge: &edge::Config, uplink: &uplink::Config) -> Self {
        let fleet = Fleet::new();
        let mut nodes = Vec::new();
        for number in 1..=count {
            nodes.push(Node::join(&fleet, number, edge.clone(), uplink.clone()).await);
        }
        Self { nodes }
    }

    /// A node, counted from 0.
    pub fn node(&self, index: usize) -> &Node {
        self.nodes.get(index).expect("the cluster has that node")
    }
}

/// Both halves of one server process. It stops when dropped.
#[derive(Debug)]
pub struct Node {
    /// The public half.
    pub edge: Arc<Edge>,
    /// The agents' half.
    pub uplink: Arc<Uplink>,
    /// Where visitors and agents come in.
    pub addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Node {
    async fn join(
        fleet: &Fleet,
        number: u8,
        edge: edge::Config,
        mut uplink: uplink::Config,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("loopback has a free port");
        let addr = listener.local_addr().expect("it is bound");
        uplink.public_url.port = Some(addr.port());
        let hall = Arc::new(Hall::default());
        let place = fleet.join(NodeId([number; 16]), hall.clone());
        let uplink = Uplink::new(uplink, place.bus.clone(), place.directory.clone());
        let door = Arc::new(Door(uplink.clone()));
        let edge = Edge::new(edge, place.bus.clone(), place.directory.clone(), door);
        let halves = (edge.clone(), uplink.clone());
        hall.0.set(halves).expect("nothing else sets it");
        let mut tasks = JoinSet::new();
        let serving = edge.clone();
        tasks.spawn(async move { serving.serve(listener, CancellationToken::new()).await });
        tasks.spawn(keep_lease(place.directory));
        Self {
            edge,
            uplink,
            addr,
            _tasks: tasks,
        }
    }

    /// An agent that dials this node, with a key of its own.
    pub fn agent(&self) -> AgentToBe {
        AgentToBe { server: self.addr }
    }

    /// A visitor who comes in here for that agent's hostname.
    pub fn visitor(&self, agent: &ClusterAgent) -> Visitor {
        Visitor::new(
            self.addr,
            format!("{}:{}", agent.hostname, self.addr.port()),
        )
    }

    /// Streams open over all of this node's links.
    pub fn streams(&self) -> usize {
        self.uplink.stats().streams
    }
}

async fn keep_lease(directory: Arc<dyn Directory>) {
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        directory.renew().await.expect("the memory bus renews");
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

/// An agent that knows its server and not yet what it publishes.
#[derive(Debug)]
pub struct AgentToBe {
    server: SocketAddr,
}

impl AgentToBe {
    /// Publishes a local service; returns once the tunnel is up.
    pub async fn publishing(self, origin: &Origin) -> ClusterAgent {
        let url: TargetUrl = origin.port().parse().expect("a port is a target");
        let connections = TaskTracker::new();
        let target = HttpTarget::new(&url, &HttpTargetConfig::default(), &connections);
        self.serving(target).await
    }

    /// Publishes any target; returns once the tunnel is up.
    pub async fn serving(self, target: impl Target) -> ClusterAgent {
        let server = format!("http://{}", self.server);
        let server = server.parse().expect("an address is a server");
        let config = agent::Config::new(server, Arc::new(SecretKey::generate()));
        let agent = agent::Agent::new(config, Arc::new(target));
        let shutdown = CancellationToken::new();
        let (tell, mut events) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        let stop = shutdown.clone();
        tasks.spawn(async move {
            // Reports of exchanges may be more than fit; no test reads those.
            let telling = move |event| match event {
                Event::Exchange(_) => {}
                event => drop(tell.try_send(event)),
            };
            agent.run(stop, telling).await.expect("the agent is wanted");
        });
        let registered = async {
            loop {
                match events.recv().await.expect("the agent runs") {
                    Event::Registered(granted) => return granted.hostname,
                    Event::Retrying { why: Some(why), .. } => panic!("cannot register: {why}"),
                    _ => {}
                }
            }
        };
        let hostname = timeout(PATIENCE, registered).await;
        ClusterAgent {
            hostname: hostname.expect("it registers in time"),
            shutdown,
            events,
            tasks,
        }
    }
}

/// A registered agent. Dropped, its link is cut without a word.
#[derive(Debug)]
pub struct ClusterAgent {
    /// Its public hostname.
    pub hostname: String,
    shutdown: CancellationToken,
    events: mpsc::Receiver<Event>,
    tasks: JoinSet<()>,
}

impl ClusterAgent {
    /// Stops it in order; how many exchanges it still had when it was told.
    pub async fn stop(mut self) -> usize {
        self.shutdown.cancel();
        let leaving = async {
            loop {
                let event = self.events.recv().await;
                if let Event::Leaving { in_flight } = event.expect("it says that it leaves") {
                    return in_flight;
                }
            }
        };
        let in_flight = timeout(PATIENCE, leaving).await;
        let ended = timeout(PATIENCE, self.tasks.join_next()).await;
        ended
            .expect("the agent ends")
            .expect("it has a task")
            .expect("which does not panic");
        in_flight.expect("it leaves in time")
    }
}

/// Waits until `count` is zero; how long that took.
pub async fn until_none<D: fmt::Debug>(what: D, count: impl Fn() -> usize) -> Duration {
    let began = Instant::now();
    while count() > 0 {
        assert!(began.elapsed() < PATIENCE, "{} {what:?} are left", count());
        sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}
