//! How long everything takes: one place, so that a test may run the same rules in less time.

use std::time::Duration;

use crate::law;

/// The intervals of a node on the Redis bus. All nodes of a fleet must use the same.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Between two probes of a pair of nodes, and between two pings of the connection. A peer that leaves two probes
    /// unanswered is lost half an interval after the second.
    pub probe: Duration,
    /// How long a node's lease lives in Redis when nobody refreshes it.
    pub lease: Duration,
    /// How often a node asks whether its own links still hold their tunnels: the longest a lost notice can cost.
    pub refresh: Duration,
    /// How long the routes found for a tunnel are believed. A nack or a lost node ends that at once.
    pub found: Duration,
    /// How long it is believed that nobody serves a tunnel, and how long a lease is believed to live.
    pub not_found: Duration,
    /// How long one command may take.
    pub command: Duration,
    /// A process that did nothing for so long has missed what was sent to it: it discards it and begins anew.
    pub stall: Duration,
    /// The longest pause between two attempts to connect.
    pub reconnect: Duration,
    /// The period over which takeovers of one tunnel are counted (more than 5 are a fight).
    pub takeovers: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            probe: Duration::from_secs(1),
            lease: Duration::from_secs(5),
            refresh: Duration::from_secs(2),
            found: Duration::from_secs(2),
            not_found: Duration::from_secs(1),
            command: Duration::from_secs(1),
            stall: Duration::from_secs(2),
            reconnect: Duration::from_secs(1),
            takeovers: law::TAKEOVER_PERIOD,
        }
    }
}
