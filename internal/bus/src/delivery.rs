//! The moving half of the bus: envelopes out by [`Bus::send`], everything in by one [`Inbox`] a node.
//!
//! Nothing here waits. A send queues and goes, a delivery is taken on the spot; the bound on what may be under way is
//! the credit of each exchange, so a bus never needs to hold a sender back.

use futures_util::future::BoxFuture;
use messages::{NodeId, TunnelId};
use thiserror::Error;

use crate::{Envelope, LinkId};

/// What the bus brings to a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// An envelope, in the order its sender sent it.
    Envelope(Envelope),
    /// Envelopes from this node went missing. Every exchange shared with it must end: none may go on short of bytes.
    Gap(NodeId),
    /// This node is gone, by leaving or by dying. Its exchanges are over and its routes no longer count.
    Lost(NodeId),
    /// A link of this node no longer serves the tunnel: a newer session took the name. It must be told and closed.
    Superseded {
        /// The tunnel that was taken over.
        tunnel: TunnelId,
        /// The link, on this node, that lost it.
        link: LinkId,
        /// The generation that holds the tunnel now.
        by: u64,
    },
}

/// Where a node takes its deliveries.
pub trait Inbox: Send + Sync {
    /// Takes one delivery.
    ///
    /// It never blocks and never waits: it is called on the stack of whoever sent (which may hold nothing the inbox
    /// wants) or of the backend's reader. It may send in turn.
    fn deliver(&self, delivery: Delivery);
}

/// Moves envelopes from this node to others and to itself.
pub trait Bus: Send + Sync {
    /// The node this handle speaks for.
    fn node(&self) -> NodeId;

    /// Queues an envelope for `to` and returns: order is kept per pair of nodes, delivery is at most once.
    ///
    /// An envelope to the own node never leaves the process, whatever the backend: it is in the inbox when this
    /// returns. `Ok` for another node means only that it is under way; a loss shows later, as [`Delivery::Gap`] or
    /// [`Delivery::Lost`].
    ///
    /// # Errors
    /// See [`SendError`]; in every case the envelope was certainly not delivered.
    fn send(&self, to: NodeId, envelope: Envelope) -> Result<(), SendError>;

    /// Whether other nodes can be reached at present. The own node always can.
    fn health(&self) -> Health;

    /// Leaves the fleet in order: own routes are withdrawn, peers hear [`Delivery::Lost`], and nothing is sent or
    /// delivered any more. Closing twice is harmless. Cancel safe: once polled it completes, or can be called again.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Why an envelope could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// No such node is in the fleet (any more): try another link.
    #[error("no such node in the fleet")]
    NoSuchNode,
    /// The backend cannot be reached, or this node has left the fleet.
    #[error("the bus is unavailable")]
    Unavailable,
    /// The queue towards that node is at its bound.
    #[error("the queue to that node is full")]
    Full,
}

/// Whether the backend is reachable, for readiness and for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Other nodes, if there are any, can be reached.
    Up,
    /// They cannot; tunnels on this node keep working.
    Down {
        /// What is wrong, in one line for an operator.
        why: String,
    },
}
