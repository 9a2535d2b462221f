//! Breaking a node from outside, for tests.

use std::sync::Arc;

use messages::NodeId;

use super::shared::Shared;

/// Breaks a node, for tests.
#[derive(Clone)]
pub struct Switch {
    pub(super) shared: Arc<Shared>,
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Switch({})", self.shared.node)
    }
}

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
