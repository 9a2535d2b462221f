//! The same work on each node, and more nodes: what grows faster than they do.

use crate::inputs::PLANNED;
use crate::loss::announce_all;
use crate::size::Size;
use crate::steady::{Load, probes, under_way};
use crate::table::{Table, memory, number, percent};
use crate::traffic::Traffic;

pub(crate) fn table(size: &Size) -> Table {
    let columns = [
        "nodes",
        "requests a second",
        "served on the same node",
        "Redis threads",
        "of which probes",
        "masters, at least",
        "under way to a node, at most",
        "all announced again, one master",
    ];
    let mut table = Table::new("Growth", &columns);
    for nodes in [3, 10, 30, 100, 300] {
        let size = size.with_nodes(nodes);
        let traffic = Traffic::of(&size, 1.0);
        let load = Load::of(&size, &traffic);
        let probing = load
            .kinds
            .iter()
            .find(|kind| kind.per_second == probes(&size));
        table.row(&[
            nodes.to_string(),
            number(size.requests as f64),
            percent(traffic.local / traffic.requests),
            number(load.share()),
            number(probing.map_or(0.0, |kind| kind.share())),
            number((load.share() / PLANNED).ceil()),
            memory(under_way(&size).0),
            format!("{} s", number(announce_all(&size) / 1e6)),
        ]);
    }
    table.with_note(format!(
        "Each node with {} tunnels and {} requests a second. Masters: were the load even.",
        number(size.tunnels as f64 / size.nodes as f64),
        number(size.requests as f64 / size.nodes as f64)
    ))
}
