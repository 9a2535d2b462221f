//! The agent-facing half of a node, as the rest of the process sees it.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bus::{Bus, Content, Directory, Envelope, LinkId, Nack};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use messages::{Disconnect, DisconnectCode, NodeId, Notice, NoticeCode, Refused, TunnelId};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tunnel::{Transport, ws};

use crate::{
    admission::{
        caps::{Caps, Counts, PendingPermit},
        custom_domains::Prover,
        key_links::KeyLinks,
        rules::Rules,
    },
    admit::{self, Arrival},
    config::Config,
    link::{Link, RoutedBy, Surroundings},
    refusal,
    registry::Registry,
    spread::Spread,
    stats::{Counters, Stats},
    streams::Exchange,
};

/// How long a drain waits beyond its deadline: a link gives its agent a second
/// for the last words, a withdrawal needs a moment.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long the directory is waited for when it is told that the node leaves.
const TELLING: Duration = Duration::from_secs(2);

/// Admits agents and holds their links. Shared by all workers of a node.
pub struct Uplink {
    pub(crate) config: Config,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) rules: ArcSwap<Rules>,
    pub(crate) key_links: Arc<KeyLinks>,
    pub(crate) prover: Prover,
    pub(crate) counts: Arc<Counts>,
    /// Who asks for tickets. Apart, because whoever uses one asks for a link too.
    pub(crate) tickets: Arc<Counts>,
    pub(crate) spread: Spread,
    /// Every connection, from the upgrade to the last word.
    pub(crate) tasks: TaskTracker,
    draining: AtomicBool,
    /// Fired when handshakes in progress are no longer waited for.
    pub(crate) stopping: CancellationToken,
}

impl fmt::Debug for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uplink")
            .field("domain", &self.config.domain)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Uplink {
    /// An uplink that announces its links in `directory` and answers edges over
    /// `bus`.
    #[must_use]
    pub fn new(mut config: Config, bus: Arc<dyn Bus>, directory: Arc<dyn Directory>) -> Arc<Self> {
        config.state_limits();
        let caps = Caps {
            pending: config.max_pending,
            pending_per_address: config.max_pending_per_address,
            links: config.max_links,
            links_per_address: config.max_links_per_address,
            registrations_per_minute: config.registrations_per_minute_per_address,
        };
        let rules = std::mem::take(&mut config.rules);
        Arc::new(Self {
            rules: ArcSwap::from_pointee(rules),
            key_links: Arc::default(),
            prover: Prover::default(),
            config,
            bus,
            directory,
            registry: Arc::default(),
            counters: Arc::default(),
            counts: Counts::new(caps),
            tickets: Counts::new(Caps {
                links: None,
                links_per_address: u32::MAX,
                ..caps
            }),
            spread: Spread::default(),
            tasks: TaskTracker::new(),
            draining: AtomicBool::new(false),
            stopping: CancellationToken::new(),
        })
    }

    // ---- agents

    /// Answers a request for `/_adit/connect` from `peer`. An upgrade that is due
    /// and within the caps is accepted, and the link runs on the calling runtime;
    /// anything else is answered with a status and, over a cap, with the JSON of
    /// a refused registration.
    pub fn upgrade(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let switching = match ws::upgrade_response(&request) {
            Ok(switching) => switching,
            Err(refused) => return refused.response().map(Full::from),
        };
        let permit = match self.enter(peer) {
            Ok(permit) => permit,
            Err(refused) => return refusal::over_http(refused),
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let uplink = self.clone();
        self.tasks.spawn(async move {
            let arrival = uplink.arrival(peer, permit);
            match timeout_at(arrival.deadline, upgrade).await {
                Ok(Ok(io)) => {
                    admit::run(&uplink, ws::server(TokioIo::new(io)), arrival).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "the upgrade failed"),
                Err(_) => tracing::debug!(%peer, "the upgrade was not finished in time"),
            }
        });
        switching.map(|()| Full::default())
    }

    /// Admits an agent over any transport; its link runs on the calling runtime.
    ///
    /// # Errors
    /// What the agent should be told, when a cap is reached or the node is
    /// leaving. The transport has then not been touched.
    pub fn accept<T>(self: &Arc<Self>, transport: T, peer: SocketAddr) -> Result<(), Refused>
    where
        T: Transport + 'static,
    {
        let permit = self.enter(peer)?;
        let uplink = self.clone();
        self.tasks.spawn(async move {
            let arrival = uplink.arrival(peer, permit);
            admit::run(&uplink, transport, arrival).await;
        });
        Ok(())
    }

    pub(crate) fn arrival(&self, peer: SocketAddr, permit: PendingPermit) -> Arrival {
        let deadline = Instant::now() + self.config.handshake_timeout;
        Arrival {
            peer,
            deadline,
            permit,
            shown: None,
        }
    }

    /// The caps, before anything is verified.
    pub(crate) fn enter(&self, peer: SocketAddr) -> Result<PendingPermit, Refused> {
        if self.is_draining() {
            return Err(refusal::draining());
        }
        self.counts.enter(peer.ip()).map_err(|cap| {
            self.counters.capped.count();
            tracing::debug!(%peer, %cap, "turned an agent away");
            refusal::of_cap(cap)
        })
    }

    /// Exchanges the rules, and cuts the links that do not hold under the new ones:
    /// their agents are told which rule it is. Other links notice nothing. Returns
    /// how many were cut.
    ///
    /// Whoever registers meanwhile meets the new rules. Never blocks; costs a look
    /// at every link.
    pub fn set_rules(&self, rules: Rules) -> usize {
        let rules = Arc::new(rules);
        // First the rules, then the links: see `claim`.
        self.rules.store(rules.clone());
        let mut cut = 0;
        for link in self.registry.all() {
            let Some(standing) = link.standing.get() else {
                continue;
            };
            if let Err(denial) = rules.holds(standing, self.config.own_names()) {
                cut += 1;
                tracing::info!(tunnel = %link.tunnel, %denial, "ended a link: the rules have changed");
                link.close(Disconnect::new(DisconnectCode::Refused, denial.to_string()));
            }
        }
        cut
    }

    /// Visitors are refused because this tunnel gets more requests than its rate:
    /// tells its agents that are on this node, each once in a while. Cheap, never
    /// blocks.
    pub fn over_request_rate(&self, tunnel: TunnelId) {
        let Some(routes) = self.directory.local(tunnel) else {
            return;
        };
        for link in routes
            .iter()
            .filter_map(|route| self.find(route.link, tunnel))
        {
            link.tell(|| Notice {
                code: NoticeCode::RequestRate,
                message: match self.config.limits.requests_per_second {
                    Some(rate) => format!(
                        "visitors ask for more than the {rate} requests a second that the server lets this tunnel have: some are answered 429"
                    ),
                    None => "visitors ask for more than the server lets this tunnel have: some are answered 429".to_owned(),
                },
            });
        }
    }

    /// Whether the operator has granted a host (canonical, no port) to some key, by
    /// the rules that are in force now. Cheap.
    #[must_use]
    pub fn is_granted(&self, host: &str) -> bool {
        self.rules.load().keys.grant(host)
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            bus: self.bus.clone(),
            counters: self.counters.clone(),
            tasks: self.tasks.clone(),
        }
    }

    // ---- the bus

    /// Takes what an edge sends: [`Content::Open`] and [`Content::ToAgent`].
    /// Never blocks.
    pub fn deliver(&self, envelope: Envelope) {
        let Envelope {
            from,
            exchange,
            tunnel,
            content,
        } = envelope;
        let asked = Exchange {
            node: from,
            id: exchange,
        };
        match content {
            Content::Open {
                link,
                generation,
                frame,
                policy,
                attempt: _,
            } => match self.find(link, tunnel) {
                Some(link) => link.open(asked, RoutedBy { generation, policy }, frame),
                None => self.not_here(asked, tunnel),
            },
            Content::ToAgent { link, frame } => match self.find(link, tunnel) {
                Some(link) => link.to_agent(asked, frame),
                // The edge has been, or is being, told that the link is lost.
                None => self.counters.stray_frames.count(),
            },
            Content::Accepted | Content::Nack(_) | Content::ToVisitor(_) => {
                tracing::warn!(%from, "dropped an envelope meant for an edge");
            }
        }
    }

    /// A link of this node lost its tunnel to generation `by`: its agent is told,
    /// and the link ends within a second. Never blocks.
    pub fn superseded(&self, tunnel: TunnelId, link: LinkId, by: u64) {
        if let Some(link) = self.find(link, tunnel) {
            tracing::info!(%tunnel, by, "a newer session took the tunnel over");
            let reason = format!("generation {by} took the tunnel over");
            link.close(Disconnect::new(DisconnectCode::Replaced, reason));
        }
    }

    /// A node is gone, or envelopes from it were lost: what it had opened here is
    /// reset. Never blocks.
    pub fn node_lost(&self, node: NodeId) {
        for link in self.registry.all() {
            link.node_lost(node);
        }
    }

    fn find(&self, link: LinkId, tunnel: TunnelId) -> Option<Arc<Link>> {
        self.registry.get(link).filter(|link| link.tunnel == tunnel)
    }

    fn not_here(&self, asked: Exchange, tunnel: TunnelId) {
        let nack = Envelope {
            from: self.bus.node(),
            exchange: asked.id,
            tunnel,
            content: Content::Nack(Nack::NotHere),
        };
        if let Err(error) = self.bus.send(asked.node, nack) {
            tracing::debug!(node = %asked.node, %error, "a nack could not be sent");
        }
    }

    // ---- the end

    /// Tells everybody that this node is going: marks the own routes as draining,
    /// admits nobody any more, and asks the agents to move. Their links go on
    /// serving. Again, it does nothing.
    ///
    /// Cancel safe: dropped, only the directory may not have been told.
    pub async fn prepare_to_leave(&self) {
        if self.draining.swap(true, Ordering::SeqCst) {
            return;
        }
        self.spread.end();
        let moving = self.farewell(DisconnectCode::Draining);
        for link in self.registry.all() {
            link.notify(&moving);
        }
        let told = timeout(TELLING, self.directory.mark_draining()).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::warn!("the directory could not be told that this node is leaving");
        }
    }

    /// Leaves in order: prepares to, gives the agents their time to move, begins
    /// no exchange then, and sends each agent away as soon as its exchanges
    /// have ended; what is left at `deadline` is cut. Returns how many exchanges
    /// that were, two seconds after the deadline at the latest.
    ///
    /// Cancel safe: dropped, the uplink goes on leaving, without the cut.
    pub async fn drain(&self, deadline: Instant) -> usize {
        self.prepare_to_leave().await;
        self.tasks.close();
        let moved = deadline.min(Instant::now() + self.config.drain_move);
        if timeout_at(moved, self.tasks.wait()).await.is_ok() {
            return 0;
        }
        for link in self.registry.all() {
            link.leave(self.farewell(DisconnectCode::Draining));
        }
        if timeout_at(deadline, self.tasks.wait()).await.is_ok() {
            return 0;
        }
        let left = self.registry.all();
        let cut = left.iter().map(|link| link.streams()).sum();
        for link in left {
            link.close(self.farewell(DisconnectCode::ShuttingDown));
        }
        self.stopping.cancel();
        if timeout(LAST_WORDS, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                tasks = self.tasks.len(),
                "left without the last of the agents"
            );
        }
        cut
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    fn farewell(&self, code: DisconnectCode) -> Disconnect {
        let spread = self.config.drain_spread.as_millis();
        Disconnect {
            spread_ms: u64::try_from(spread).unwrap_or(u64::MAX),
            ..Disconnect::new(code, "this server is going down")
        }
    }

    // ---- figures

    /// Links that serve a tunnel, or are about to.
    #[must_use]
    pub fn link_count(&self) -> usize {
        self.registry.len()
    }

    /// The counters at this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let links = self.registry.all();
        let streams = links.iter().map(|link| link.streams()).sum();
        self.counters
            .read((links.len(), streams), self.counts.pending())
    }
}
