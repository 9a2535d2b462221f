//! How large the fleet is, and who serves what.

use crate::chance::Dice;
use crate::inputs::{REGION_MS, ROUND_TRIP_MS};
use crate::table::{Table, number};

/// A fleet in its steady state.
#[derive(Debug, Clone)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) tunnels: usize,
    /// Links of each tunnel, to different nodes.
    pub(crate) links: usize,
    /// A second, from visitors.
    pub(crate) requests: usize,
    /// One of so many requests is for a name that nobody serves, each for another name.
    pub(crate) unknown: usize,
    /// Agents that come, and that go, each second.
    pub(crate) churn: usize,
    /// Regions the nodes are spread over.
    pub(crate) regions: usize,
    /// Bytes of a request's head and of a response with its head, as frames carry them.
    pub(crate) request_bytes: usize,
    pub(crate) response_bytes: usize,
}

impl Size {
    pub(crate) const LARGE: Self = Self {
        nodes: 100,
        tunnels: 1_000_000,
        links: 2,
        requests: 200_000,
        unknown: 100,
        churn: 500,
        regions: 3,
        request_bytes: 300,
        response_bytes: 1224,
    };

    /// The same fleet with more or fewer nodes, each with as much to do.
    pub(crate) fn with_nodes(&self, nodes: usize) -> Self {
        let scaled = |count: usize| count * nodes / self.nodes;
        Self {
            nodes,
            tunnels: scaled(self.tunnels),
            requests: scaled(self.requests),
            churn: scaled(self.churn).max(1),
            ..self.clone()
        }
    }

    pub(crate) fn links_per_node(&self) -> f64 {
        (self.tunnels * self.links) as f64 / self.nodes as f64
    }

    /// The nodes that hold a tunnel's links: two at most, never the same one.
    pub(crate) fn holders(&self, tunnel: usize) -> (usize, Option<usize>) {
        let mut dice = Dice::new(u64::try_from(tunnel).unwrap_or_default());
        let first = dice.below(self.nodes);
        if self.links < 2 || self.nodes < 2 {
            return (first, None);
        }
        let second = (first + 1 + dice.below(self.nodes - 1)) % self.nodes;
        (first, Some(second))
    }

    pub(crate) fn region_of(&self, node: usize) -> usize {
        node % self.regions
    }

    /// A node's name in Redis.
    pub(crate) fn node_id(node: usize) -> messages::NodeId {
        let mut dice = Dice::new(0xad17 ^ (u64::try_from(node).unwrap_or_default() << 20));
        let bits = (u128::from(dice.bits()) << 64) | u128::from(dice.bits());
        messages::NodeId(bits.to_be_bytes())
    }
}

pub(crate) fn table(size: &Size) -> Table {
    let mut table = Table::new("The fleet", &["what", "how many"]);
    for (what, count) in [
        ("nodes", size.nodes),
        ("tunnels", size.tunnels),
        ("links of each, to different nodes", size.links),
        ("requests a second", size.requests),
        (
            "of which for names nobody serves",
            size.requests / size.unknown,
        ),
        ("agents that come, and that go, a second", size.churn),
        ("bytes of a request's head", size.request_bytes),
        ("bytes of a response", size.response_bytes),
    ] {
        table.row(&[what.to_owned(), number(count as f64)]);
    }
    let regions = format!(
        "{}, {REGION_MS} ms apart; {ROUND_TRIP_MS} ms within",
        size.regions
    );
    table.row(&["regions".to_owned(), regions]);
    table
}
