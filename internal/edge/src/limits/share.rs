//! A tunnel's rate, which is the whole fleet's.
//!
//! Each node counts for itself and lets a tunnel have an equal part: the rate and
//! the burst divided by the nodes that live. Nothing is asked of another node on
//! the way of a request. What that is worth: with visitors spread evenly, as
//! balancers do, the fleet lets the rate through; where they are not, less than
//! that, down to one node's part. More goes through in two cases only: a burst
//! smaller than the number of nodes is one a node; and a count of nodes is up to
//! [`UPKEEP`](super::UPKEEP) old, and begins anew with full bursts when it changes.
//! A node that is gone is counted for some minutes still, which errs to less.

use std::{num::NonZeroU32, sync::Arc};

use arc_swap::ArcSwap;
use bus::Directory;
use messages::TunnelId;

use super::{Excess, excess, meter::Meter};
use crate::config::Rate;

/// The part of this node.
pub(super) struct Shared {
    rate: Rate,
    part: ArcSwap<Part>,
}

struct Part {
    nodes: u32,
    meter: Meter<TunnelId>,
}

impl Shared {
    /// All of it, until the fleet is known.
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            part: ArcSwap::new(part(rate, 1)),
        }
    }

    /// # Errors
    /// What the tunnel has exceeded.
    pub(super) fn count(&self, tunnel: TunnelId) -> Result<(), Excess> {
        let counted = self.part.load().meter.count(&tunnel);
        counted.map_err(|wait| Excess::new(excess::TUNNEL, self.rate, wait))
    }

    pub(super) fn tidy(&self) {
        self.part.load().meter.tidy();
    }

    /// Counts the nodes. While they cannot be counted, as many share as before.
    pub(super) async fn share_among(&self, directory: &dyn Directory) {
        // More than there can be: every answer that is right is a fresh one.
        let counted = directory.nodes(usize::MAX).await;
        let nodes = counted.ok().and_then(|nodes| u32::try_from(nodes).ok());
        let nodes = nodes.and_then(NonZeroU32::new).map(NonZeroU32::get);
        if let Some(nodes) = nodes.filter(|nodes| *nodes != self.part.load().nodes) {
            tracing::debug!(nodes, "a tunnel's rate is shared anew");
            self.part.store(part(self.rate, nodes));
        }
    }
}

fn part(rate: Rate, nodes: u32) -> Arc<Part> {
    let meter = Meter::new(rate, nodes);
    Arc::new(Part { nodes, meter })
}

#[cfg(test)]
mod tests {
    use bus::{Delivery, Inbox, memory::Fleet};
    use messages::NodeId;

    use super::*;

    struct Nobody;

    impl Inbox for Nobody {
        fn deliver(&self, _: Delivery) {}
    }

    const TUNNEL: TunnelId = TunnelId([1; 32]);

    fn passed(shared: &Shared) -> usize {
        (0..100).filter(|_| shared.count(TUNNEL).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_comes_takes_its_part() {
        let fleet = Fleet::new();
        let first = fleet.join(NodeId([1; 16]), Arc::new(Nobody));
        let shared = Shared::new(Rate::new(40, 40).unwrap());
        shared.share_among(&*first.directory).await;
        assert_eq!(passed(&shared), 40);
        let second = fleet.join(NodeId([2; 16]), Arc::new(Nobody));
        shared.share_among(&*first.directory).await;
        assert_eq!(passed(&shared), 20);
        shared.share_among(&*first.directory).await;
        assert_eq!(passed(&shared), 0, "nothing has changed");
        second.leave().await;
        shared.share_among(&*first.directory).await;
        assert_eq!(passed(&shared), 40);
    }
}
