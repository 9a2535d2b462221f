//! The door to the inbox.
//!
//! Deliveries of other nodes come from two tasks (the connection's reader and the clock), and what the one reports of a
//! pair must not be overtaken by what the other still delivers of it: so both hold the door while they judge and
//! deliver. `send` never takes it, hence an inbox may send while it takes a delivery.

use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwapOption;
use messages::NodeId;

use super::locked;
use super::pair::Report;
use crate::{Delivery, Inbox};

/// The inbox, until the node leaves.
pub(super) struct Door {
    /// The inbox usually owns the node: emptying this breaks the circle.
    inbox: ArcSwapOption<Arc<dyn Inbox>>,
    held: Mutex<()>,
}

impl Door {
    pub(super) fn new(inbox: Arc<dyn Inbox>) -> Self {
        Self {
            inbox: ArcSwapOption::from_pointee(inbox),
            held: Mutex::new(()),
        }
    }

    pub(super) fn hold(&self) -> MutexGuard<'_, ()> {
        locked(&self.held)
    }

    /// Hands over a delivery unless the node has left.
    pub(super) fn deliver(&self, delivery: Delivery) -> bool {
        let inbox = self.inbox.load();
        let Some(inbox) = inbox.as_deref() else {
            return false;
        };
        inbox.deliver(delivery);
        true
    }

    /// Tells the inbox what came of another node.
    pub(super) fn report(&self, node: NodeId, report: Option<Report>) {
        match report {
            None => {}
            Some(Report::Gap) => {
                tracing::warn!(%node, "envelopes between this node and another were lost; their exchanges end");
                self.deliver(Delivery::Gap(node));
            }
            Some(Report::Lost) => {
                tracing::info!(%node, "another node is gone; the exchanges with it end");
                self.deliver(Delivery::Lost(node));
            }
        }
    }

    pub(super) fn close(&self) {
        self.inbox.store(None);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inbox.load().is_none()
    }
}
