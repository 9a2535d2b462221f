//! Routes as requests read them: a sharded map of ready-made slices, so a look-up is one read lock and one count up.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use messages::{NodeId, PolicyId, TunnelId};

use crate::Routes;
use crate::documents::Documents;

/// Enough that workers asking for different tunnels rarely meet on one lock; a power of two for a cheap remainder.
const SHARDS: usize = 16;

/// Which routes serve which tunnel, and by which rules. It holds no tunnels without routes.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    shards: [Shard; SHARDS],
}

type Shard = RwLock<HashMap<TunnelId, Served>>;

#[derive(Debug)]
struct Served {
    routes: Routes,
    documents: Documents,
}

impl RouteTable {
    pub(crate) fn get(&self, tunnel: TunnelId) -> Option<Routes> {
        let shard = self.shard(tunnel).read();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        shard
            .get(&tunnel)
            .map(|served| Routes::clone(&served.routes))
    }

    /// The text of a policy that one of the tunnel's routes names.
    pub(crate) fn document(&self, tunnel: TunnelId, policy: PolicyId) -> Option<Bytes> {
        let shard = self.shard(tunnel).read();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        shard.get(&tunnel)?.documents.get(policy)
    }

    /// Replaces what is known of a tunnel; no routes remove it.
    pub(crate) fn set(&self, tunnel: TunnelId, routes: Routes, documents: Documents) {
        let shard = self.shard(tunnel).write();
        let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
        if routes.is_empty() {
            shard.remove(&tunnel);
        } else {
            shard.insert(tunnel, Served { routes, documents });
        }
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let shard = shard.write();
            shard.unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// A tunnel id is a hash, so any of its bytes spreads well.
    fn shard(&self, tunnel: TunnelId) -> &Shard {
        let [first, ..] = tunnel.0;
        &self.shards[usize::from(first) % SHARDS]
    }
}

/// The routes that `node` itself holds; shared rather than copied where that is all of them.
pub(crate) fn held_by(node: NodeId, routes: &Routes) -> Routes {
    if routes.iter().all(|route| route.node == node) {
        return Routes::clone(routes);
    }
    let own = routes.iter().filter(|route| route.node == node);
    own.copied().collect()
}
