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
mod census;
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
mod pins;
mod publisher;
mod pulse;
mod scripts;
mod session;
mod shared;
mod socket;
mod supervisor;
#[cfg(feature = "conformance")]
mod switch;
mod timing;
mod topology;
mod upkeep;
mod url;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messages::NodeId;
use tokio::time::timeout;

#[cfg(feature = "conformance")]
pub use self::switch::Switch;
pub use self::timing::Timing;
pub(crate) use self::url::SCHEMES;

use self::dial::Dialer;
use self::error::StoreError;
use self::member::Member;
use self::names::Names;
use self::shared::Shared;
use self::url::Target;
#[cfg(doc)]
use crate::SendError;
use crate::{ConnectError, Inbox, Node};

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
    let shared = Arc::new(Shared::new(node, names, timing, inbox));
    let member = Arc::new(Member::new(Arc::clone(&shared)));
    let mut health = shared.health.subscribe();
    let supervisor = supervisor::supervise(Arc::clone(&shared), dialer);
    shared.tasks.spawn(supervisor);
    let settled = |health: &Option<Result<(), StoreError>>| {
        matches!(health, Some(Ok(()) | Err(StoreError::Refused(_))))
    };
    if let Ok(Ok(health)) = timeout(PATIENCE, health.wait_for(settled)).await
        && let Some(Err(error @ StoreError::Refused(_))) = &*health
    {
        return Err(ConnectError::Refused(error.to_string()));
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

/// A poisoned lock is taken all the same: nothing panics while holding one, and a bus that stops for ever would be worse
/// than whatever did.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
