//! The bus of a fleet: Redis carries envelopes between nodes and keeps the directory.
//!
//! # Delivery
//! Each node subscribes to one channel and publishes to those of others, over one connection in RESP3 (with a cluster,
//! one to each master, and sharded pub/sub). Pub/sub is at most once and silent about what it dropped; what makes it
//! fit for bodies is `pair`: numbered batches, probes, terms, budgets. The rules, from the outside:
//!
//! - Order is kept between two nodes. An envelope arrives at most once.
//! - When an envelope was lost, also the last one, both nodes get [`Delivery::Gap`](crate::Delivery::Gap) within a probe
//!   interval or two: no exchange goes on short of bytes.
//! - A node that nobody hears ([`PUBLISH` to no receivers](SendError::NoSuchNode)), that leaves, or that does not
//!   answer two probes is [`Delivery::Lost`](crate::Delivery::Lost); its routes are not returned any more.
//! - A node that loses its connection, or stood still for longer than [`Timing::stall`], has missed what was sent to
//!   it: it reports a gap for every node it shared exchanges with, and begins anew.
//!
//! # Directory
//! A record for each tunnel, decided by one script (`scripts/announce.lua`), one lease for each node. What a node itself
//! serves it knows without Redis (`own`), and tells Redis again whenever Redis may have lost it.
//!
//! `docs/bus.md` is the page for operators: names, settings, and what is lost when.

mod cache;
mod claims;
mod dial;
mod directory;
mod door;
mod error;
mod faults;
mod leases;
mod lookup;
mod member;
mod names;
mod notices;
mod own;
mod pair;
mod pairs;
mod publisher;
mod pulse;
mod scripts;
mod session;
mod supervisor;
mod timing;
mod upkeep;
mod url;
mod wire;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use messages::NodeId;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::timing::Timing;
pub(crate) use self::url::SCHEMES;

use self::cache::Cache;
use self::dial::Dialer;
use self::door::Door;
use self::error::StoreError;
use self::faults::Faults;
use self::leases::Leases;
use self::member::Member;
use self::names::Names;
use self::own::{Own, Withdrawal};
use self::pairs::Pairs;
use self::pulse::Pulse;
use self::session::Session;
use self::url::Target;
#[cfg(doc)]
use crate::SendError;
use crate::{ConnectError, Health, Inbox, Node};

/// How long joining waits for the first connection before it goes on without.
const PATIENCE: Duration = Duration::from_secs(3);

/// Joins the fleet that meets at `url` (see `docs/bus.md` for its forms).
///
/// Where Redis cannot be reached, the node joins all the same after some seconds: it serves what it holds itself, says
/// so by [`Bus::health`](crate::Bus::health), and joins the others when Redis is there.
///
/// # Errors
/// When the URL cannot be read, or Redis answers but refuses: a wrong password, a certificate that is not trusted, a
/// version without what is needed.
pub async fn join(
    url: &str,
    timing: Timing,
    node: NodeId,
    inbox: Arc<dyn Inbox>,
) -> Result<Joined, ConnectError> {
    let target = Target::parse(url).map_err(ConnectError::Malformed)?;
    let names = Names::new(&target.prefix);
    let dialer = Dialer::new(target).map_err(ConnectError::Refused)?;
    let shared = Arc::new(Shared {
        node,
        door: Door::new(inbox),
        pairs: Pairs::new(names.clone(), timing.clone()),
        names,
        own: Own::new(node),
        cache: Cache::new(&timing),
        leases: Leases::default(),
        session: ArcSwapOption::empty(),
        sessions: AtomicU64::new(0),
        echoes: watch::Sender::new(0),
        pulse: Pulse::start(),
        health: watch::Sender::new(None),
        said_full: AtomicBool::new(false),
        said_refused: AtomicBool::new(false),
        leaving: AtomicBool::new(false),
        gone: CancellationToken::new(),
        stopping: CancellationToken::new(),
        tasks: TaskTracker::new(),
        upkeep: tokio::sync::Mutex::new(None),
        faults: Faults::default(),
        timing,
    });
    let member = Arc::new(Member::new(Arc::clone(&shared)));
    let mut health = shared.health.subscribe();
    let supervisor = supervisor::supervise(Arc::clone(&shared), dialer);
    shared.tasks.spawn(supervisor);
    let settled = |health: &Option<Result<(), StoreError>>| {
        matches!(health, Some(Ok(()) | Err(StoreError::Refused(_))))
    };
    if let Ok(Ok(health)) = timeout(PATIENCE, health.wait_for(settled)).await
        && let Some(Err(StoreError::Refused(why))) = &*health
    {
        return Err(ConnectError::Refused(why.clone()));
    }
    let node = Node {
        bus: Arc::<Member>::clone(&member),
        directory: member,
    };
    Ok(Joined {
        node,
        #[cfg(feature = "conformance")]
        switch: Switch { shared },
    })
}

/// A node on the bus.
#[derive(Debug)]
pub struct Joined {
    /// The node.
    pub node: Node,
    /// What a test may do to it.
    #[cfg(feature = "conformance")]
    pub switch: Switch,
}

/// Breaks a node, for tests.
#[cfg(feature = "conformance")]
#[derive(Clone)]
pub struct Switch {
    shared: Arc<Shared>,
}

#[cfg(feature = "conformance")]
impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Switch({})", self.shared.node)
    }
}

#[cfg(feature = "conformance")]
impl Switch {
    /// Ends the node as SIGKILL would: its connection closes, and it tells nobody.
    pub async fn crash(&self) {
        self.shared.begin_leaving();
        self.shared.stop();
        self.shared.own.clear();
        self.shared.left();
        self.shared.tasks.wait().await;
    }

    /// The next batch for `to` is lost on the way.
    pub fn lose_next_batch(&self, to: NodeId) {
        self.shared.faults.lose_next_batch(to);
    }

    /// From now on nobody gets this node's notices of a takeover.
    pub fn lose_notices(&self) {
        self.shared.faults.lose_notices();
    }
}

/// What a node's handle and its tasks share.
struct Shared {
    node: NodeId,
    names: Names,
    timing: Timing,
    door: Door,
    pairs: Pairs,
    own: Own,
    cache: Cache,
    leases: Leases,
    /// While connected and subscribed.
    session: ArcSwapOption<Session>,
    /// The number of the latest session: what comes of an earlier one is stale.
    sessions: AtomicU64,
    /// The session that was last heard on the own channel.
    echoes: watch::Sender<u64>,
    pulse: Pulse,
    /// Nothing before the first attempt to connect.
    health: watch::Sender<Option<Result<(), StoreError>>>,
    said_full: AtomicBool,
    said_refused: AtomicBool,
    leaving: AtomicBool,
    /// Cancelled when leaving is done.
    gone: CancellationToken,
    stopping: CancellationToken,
    tasks: TaskTracker,
    /// One renewal at a time, and when links were last compared with Redis.
    upkeep: tokio::sync::Mutex<Option<Instant>>,
    faults: Faults,
}

impl Shared {
    /// Numbers a session; from now on nothing of an earlier one is delivered.
    fn begin_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn is_current(&self, session: u64) -> bool {
        self.sessions.load(Ordering::Acquire) == session
    }

    fn open_session(&self, session: &Arc<Session>) {
        self.pulse.beat();
        self.said_full.store(false, Ordering::Relaxed);
        self.said_refused.store(false, Ordering::Relaxed);
        self.cache.forget_all();
        self.own.announce_all_again();
        self.session.store(Some(Arc::clone(session)));
        self.pairs.open();
        tracing::debug!(session = session.id, "the bus is connected");
        self.set_health(Ok(()));
    }

    /// Everything under way is lost with a session.
    fn close_session(&self) {
        self.session.store(None);
        self.pairs.cut(&self.door);
        self.cache.forget_all();
    }

    fn set_health(&self, health: Result<(), StoreError>) {
        self.health.send_replace(Some(health));
    }

    fn health(&self) -> Health {
        if self.has_left() {
            return Health::Down {
                why: "this node has left the bus".to_owned(),
            };
        }
        match &*self.health.borrow() {
            Some(Ok(())) => Health::Up,
            Some(Err(error)) => Health::Down {
                why: error.to_string(),
            },
            None => Health::Down {
                why: "not connected yet".to_owned(),
            },
        }
    }

    /// Whether leaving has begun; true for the first who asks to.
    fn begin_leaving(&self) -> bool {
        !self.leaving.swap(true, Ordering::AcqRel)
    }

    fn has_left(&self) -> bool {
        self.leaving.load(Ordering::Acquire) || self.door.is_closed()
    }

    /// Ends every task, and lets go of the inbox.
    fn stop(&self) {
        self.stopping.cancel();
        self.door.close();
    }

    fn left(&self) {
        self.tasks.close();
        self.gone.cancel();
    }

    async fn tasks_done(&self) {
        self.gone.cancelled().await;
    }

    /// Withdraws links, and with them the lease, without remembering what failed: the node does not come back.
    async fn withdraw_for_good(&self, session: &Session, links: &[Withdrawal]) {
        for chunk in links.chunks(256) {
            if self.withdraw_all(session, chunk).await.is_err() {
                break;
            }
        }
        let key = self.names.lease(self.node);
        let mut delete = redis::cmd("DEL");
        delete.arg(&key);
        if let Err(error) = session.run(&key, delete).await {
            tracing::debug!(%error, "the lease could not be given up");
        }
    }
}

/// A poisoned lock is taken all the same: nothing panics while holding one, and a bus that stops for ever would be worse
/// than whatever did.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
