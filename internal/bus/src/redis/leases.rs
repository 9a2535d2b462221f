//! Which nodes live: one key each in Redis, which expires unless its node refreshes it.
//!
//! A lease also says whether its node is draining, so marking all routes of a node costs one command.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use messages::NodeId;
use redis::{Cmd, Value};
use tokio::time::Instant;

use super::error::StoreError;
use super::locked;
use super::names::Names;
use super::scripts::text;
use super::session::Session;

/// How many leases are kept in the cache.
const MAX_CACHED: usize = 4096;

/// What a living node's lease says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    Serving,
    Draining,
}

impl Lease {
    fn word(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

#[derive(Default)]
pub(super) struct Leases {
    known: Mutex<HashMap<NodeId, (Option<Lease>, Instant)>>,
}

impl Leases {
    /// The leases of some nodes, none older than `max_age`. A node without one is absent.
    pub(super) async fn of(
        &self,
        session: &Session,
        names: &Names,
        nodes: &[NodeId],
        max_age: Duration,
    ) -> Result<HashMap<NodeId, Lease>, StoreError> {
        let asked = Instant::now();
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let known = locked(&self.known);
            for node in nodes {
                match known.get(node) {
                    Some((lease, at)) if asked - *at < max_age => {
                        found.extend(lease.map(|lease| (*node, lease)));
                    }
                    _ => missing.push(*node),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let questions = missing.iter().map(|node| {
            let key = names.lease(*node);
            let mut get = redis::cmd("GET");
            get.arg(&key);
            (key, get)
        });
        let answers = session.run_all(questions.collect()).await;
        for (node, answer) in missing.into_iter().zip(answers) {
            let lease = match text(&answer?) {
                Some("draining") => Some(Lease::Draining),
                Some(_) => Some(Lease::Serving),
                None => None,
            };
            found.extend(lease.map(|lease| (node, lease)));
            self.remember(node, lease, asked);
        }
        Ok(found)
    }

    fn remember(&self, node: NodeId, lease: Option<Lease>, at: Instant) {
        let mut known = locked(&self.known);
        if known.len() >= MAX_CACHED {
            known.clear();
        }
        known.insert(node, (lease, at));
    }
}

/// The command that takes or changes a lease.
pub(super) fn set(key: &str, lease: Lease, ttl: Duration) -> Cmd {
    let mut set = redis::cmd("SET");
    set.arg(key).arg(lease.word()).arg("PX").arg(millis(ttl));
    set
}

/// The command that refreshes a lease, if it is still there ([`was_there`]). It needs no memory, so a full Redis does
/// not make every node look dead.
pub(super) fn refresh(key: &str, ttl: Duration) -> Cmd {
    let mut refresh = redis::cmd("PEXPIRE");
    refresh.arg(key).arg(millis(ttl));
    refresh
}

/// Reads the answer to [`refresh`].
pub(super) fn was_there(answer: &Value) -> bool {
    *answer == Value::Int(1)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
