//! One node: both halves on one bus, and the way they leave together.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use bus::{Content, Delivery, Directory, Envelope, Health, Inbox};
use edge::Edge;
use messages::NodeId;
use runtime::config::Loaded;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use uplink::{Rules, Uplink};

use crate::dns::Dns;
use crate::pages::Pages;
use crate::settings::{PublicUrl, Settings};

/// How often the directory's lease is renewed.
const LEASE_INTERVAL: Duration = Duration::from_secs(1);

/// Both halves of a server process.
pub(crate) struct Node {
    pub(crate) edge: Arc<Edge>,
    pub(crate) uplink: Arc<Uplink>,
    fleet: bus::Node,
    /// From here on the node is not ready for new visitors.
    leaving: CancellationToken,
}

impl Node {
    /// Joins the fleet and puts both halves on its bus.
    ///
    /// # Errors
    /// When the bus cannot be joined, or the system has no randomness.
    pub(crate) async fn join(
        loaded: &Loaded<Settings>,
        rules: Rules,
        public: &PublicUrl,
        channel: Option<uplink::Channel>,
    ) -> anyhow::Result<Self> {
        let settings = &loaded.settings;
        let inbox = Arc::new(NodeInbox::default());
        let fleet = fleet(loaded, inbox.clone()).await?;
        if let Health::Down { why } = fleet.bus.health() {
            tracing::warn!(
                why,
                "the bus cannot be reached: serving what is on this node, and trying on"
            );
        }
        let leaving = CancellationToken::new();
        let name_servers = settings.admission.name_servers.0.iter();
        let dns = Dns::of(name_servers.map(|server| server.0).collect());
        let config = uplink::Config {
            rules,
            channel,
            txt_resolver: Some(Arc::new(dns)),
            ..settings.uplink(public)
        };
        let uplink = Uplink::new(config, fleet.bus.clone(), fleet.directory.clone());
        let pages = Arc::new(Pages::new(public, leaving.clone(), uplink.clone()));
        let (rules, agents) = (uplink.clone(), uplink.clone());
        let edge = Edge::new(
            edge::Config {
                granted: edge::Granted::asking(move |host| rules.is_granted(host)),
                tunnels_over_rate: edge::OverRate::telling(move |tunnel| {
                    agents.over_request_rate(tunnel);
                }),
                ..settings.edge()
            },
            fleet.bus.clone(),
            fleet.directory.clone(),
            pages,
        );
        // Nothing is delivered before both are set: no agent and no visitor has been let in yet.
        inbox.uplink.set(uplink.clone()).ok();
        inbox.edge.set(edge.clone()).ok();
        Ok(Self {
            edge,
            uplink,
            fleet,
            leaving,
        })
    }

    /// Renews the directory's lease for as long as it is polled.
    pub(crate) async fn keep_lease(&self) {
        let directory: &dyn Directory = &*self.fleet.directory;
        let mut ticks = interval(LEASE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held = true;
        loop {
            ticks.tick().await;
            let renewed = directory.renew().await;
            match &renewed {
                Err(error) if held => {
                    tracing::warn!(%error, "cannot renew the directory's lease; trying each second");
                }
                Ok(()) if !held => tracing::info!("the directory's lease is renewed again"),
                Ok(()) | Err(_) => {}
            }
            held = renewed.is_ok();
        }
    }

    /// Leaves: not ready, and agents are asked to move; new visitors are served for `delay` still, over the bus once their
    /// agents have moved; then `stop_accepting` is cancelled and what is in flight ends; then the bus. Returns how much
    /// was left at the deadline and cut.
    ///
    /// Agents keep their links until they have others: in a fleet of one there is no node to move to.
    pub(crate) async fn leave(
        &self,
        delay: Duration,
        stop_accepting: &CancellationToken,
        deadline: Instant,
    ) -> usize {
        self.leaving.cancel();
        self.edge.leave();
        tracing::info!(delay_ms = delay.as_millis(), "draining: not ready any more");
        tokio::join!(sleep(delay), self.uplink.prepare_to_leave());
        stop_accepting.cancel();
        let (links, visitors) =
            tokio::join!(self.uplink.drain(deadline), self.edge.drain(deadline));
        self.fleet.leave().await;
        // An exchange that was cut had an end on each side: the larger count has them all.
        links.max(visitors)
    }
}

/// Whether the fleet of these settings can be joined now; leaves it at once.
///
/// # Errors
/// As [`Node::join`], and when the bus cannot be reached: a server would start all the same, and go on trying.
pub(crate) async fn try_fleet(loaded: &Loaded<Settings>) -> anyhow::Result<()> {
    if let Some(file) = &loaded.settings.pins_file {
        // It belongs to a server that may be running: only looked at.
        let folder = file.as_path().parent();
        if folder.is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            let why = format!("{file}: its folder is not there; make it");
            return Err(loaded.fault("pins_file", why).into());
        }
    }
    let fleet = connect(loaded, Arc::new(NodeInbox::default())).await?;
    let health = fleet.bus.health();
    fleet.leave().await;
    match health {
        Health::Up => Ok(()),
        Health::Down { why } => Err(loaded.fault("bus", why).into()),
    }
}

async fn fleet(loaded: &Loaded<Settings>, inbox: Arc<NodeInbox>) -> anyhow::Result<bus::Node> {
    let Some(file) = &loaded.settings.pins_file else {
        return connect(loaded, inbox).await;
    };
    let fleet = bus::memory::Fleet::with_snapshot(file.as_path());
    let fleet = fleet.map_err(|error| loaded.fault("pins_file", error.to_string()))?;
    Ok(fleet.join(random_id()?, inbox))
}

async fn connect(loaded: &Loaded<Settings>, inbox: Arc<NodeInbox>) -> anyhow::Result<bus::Node> {
    let fleet = bus::connect(loaded.settings.bus.expose(), random_id()?, inbox).await;
    Ok(fleet.map_err(|error| loaded.fault("bus", error.to_string()))?)
}

fn random_id() -> anyhow::Result<NodeId> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).context("the system gives no random bytes for a node id")?;
    Ok(NodeId(id))
}

/// The node's one inbox. It exists before the bus, and the halves after it.
#[derive(Default)]
struct NodeInbox {
    edge: OnceLock<Arc<Edge>>,
    uplink: OnceLock<Arc<Uplink>>,
}

impl Inbox for NodeInbox {
    fn deliver(&self, delivery: Delivery) {
        let (Some(edge), Some(uplink)) = (self.edge.get(), self.uplink.get()) else {
            return;
        };
        match delivery {
            Delivery::Envelope(envelope) if is_for_uplink(&envelope) => uplink.deliver(envelope),
            Delivery::Envelope(envelope) => edge.deliver(envelope),
            Delivery::Gap(node) | Delivery::Lost(node) => {
                edge.lost(node);
                uplink.node_lost(node);
            }
            Delivery::Superseded { tunnel, link, by } => uplink.superseded(tunnel, link, by),
        }
    }
}

fn is_for_uplink(envelope: &Envelope) -> bool {
    match envelope.content {
        Content::Open { .. } | Content::ToAgent { .. } => true,
        Content::Accepted | Content::Nack(_) | Content::ToVisitor(_) => false,
    }
}
