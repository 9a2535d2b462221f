//! What a node's handle and its tasks share, and how a session and the node begin and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use messages::NodeId;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cache::Cache;
use super::census::Census;
use super::door::Door;
use super::error::StoreError;
use super::faults::Faults;
use super::leases::Leases;
use super::names::Names;
use super::own::{Own, Withdrawal};
use super::pairs::Pairs;
use super::pins::Pins;
use super::pulse::Pulse;
use super::session::Session;
use super::timing::Timing;
use crate::{Health, Inbox};

/// What a node's handle and its tasks share.
pub(super) struct Shared {
    pub(super) node: NodeId,
    pub(super) names: Names,
    pub(super) timing: Timing,
    pub(super) door: Door,
    pub(super) pairs: Pairs,
    pub(super) own: Own,
    pub(super) pins: Pins,
    pub(super) cache: Cache,
    pub(super) leases: Leases,
    pub(super) census: Census,
    /// While connected and subscribed.
    pub(super) session: ArcSwapOption<Session>,
    /// The number of the latest session: what comes of an earlier one is stale.
    pub(super) sessions: AtomicU64,
    /// The session that was last heard on the own channel.
    pub(super) echoes: watch::Sender<u64>,
    pub(super) pulse: Pulse,
    /// Nothing before the first attempt to connect.
    pub(super) health: watch::Sender<Option<Result<(), StoreError>>>,
    pub(super) said_full: AtomicBool,
    pub(super) said_refused: AtomicBool,
    pub(super) leaving: AtomicBool,
    /// Cancelled when leaving is done.
    pub(super) gone: CancellationToken,
    pub(super) stopping: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// One renewal at a time, and when links were last compared with Redis.
    pub(super) upkeep: tokio::sync::Mutex<Option<Instant>>,
    pub(super) faults: Faults,
}

impl Shared {
    pub(super) fn new(node: NodeId, names: Names, timing: Timing, inbox: Arc<dyn Inbox>) -> Self {
        Self {
            node,
            door: Door::new(inbox),
            pairs: Pairs::new(names.clone(), timing.clone()),
            names,
            own: Own::new(node),
            pins: Pins::default(),
            cache: Cache::new(&timing),
            leases: Leases::default(),
            census: Census::default(),
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
            faults: Faults::none(),
            timing,
        }
    }

    /// Numbers a session; from now on nothing of an earlier one is delivered.
    pub(super) fn begin_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(super) fn is_current(&self, session: u64) -> bool {
        self.sessions.load(Ordering::Acquire) == session
    }

    pub(super) fn open_session(&self, session: &Arc<Session>) {
        self.pulse.beat();
        self.said_full.store(false, Ordering::Relaxed);
        self.said_refused.store(false, Ordering::Relaxed);
        self.cache.forget_all();
        self.own.announce_all_again();
        self.pins.owe_all();
        self.session.store(Some(Arc::clone(session)));
        self.pairs.open();
        tracing::debug!(session = session.id, "the bus is connected");
        self.set_health(Ok(()));
    }

    /// Everything under way is lost with a session.
    pub(super) fn close_session(&self) {
        self.session.store(None);
        self.pairs.cut(&self.door);
        self.cache.forget_all();
    }

    pub(super) fn set_health(&self, health: Result<(), StoreError>) {
        self.health.send_replace(Some(health));
    }

    pub(super) fn health(&self) -> Health {
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
    pub(super) fn begin_leaving(&self) -> bool {
        !self.leaving.swap(true, Ordering::AcqRel)
    }

    pub(super) fn has_left(&self) -> bool {
        self.leaving.load(Ordering::Acquire) || self.door.is_closed()
    }

    /// Ends every task, and lets go of the inbox.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
        self.door.close();
    }

    pub(super) fn left(&self) {
        self.tasks.close();
        self.gone.cancel();
    }

    pub(super) async fn tasks_done(&self) {
        self.gone.cancelled().await;
    }

    /// Withdraws links, and with them the lease, without remembering what failed: the node does not come back.
    pub(super) async fn withdraw_for_good(&self, session: &Session, links: &[Withdrawal]) {
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
