//! What all of it asks of Redis each second, by kind, by shard and by channel.

use bus::redis::Timing;

use crate::inputs::{
    ANNOUNCE, ANNOUNCE_ASKING, GET, HGET, HGETALL, PLANNED, PUBLISH, PUBLISH_KIB, ROUND_TRIP_MS,
    SMALL, WITHDRAW,
};
use crate::size::Size;
use crate::table::{Table, memory, number, percent};
use crate::traffic::{HEADER, Into, Traffic};

/// How many own links a node compares with Redis each second, at most.
const COMPARED: f64 = 2000.0;

/// Seconds after which a record is told again.
const RENEWED: f64 = 6.0 * 3600.0;

/// What all others together may have under way to a node, and the least that each may.
const TOTAL_BUDGET: f64 = 6.0 * 1024.0 * 1024.0;
const LEAST_BUDGET: f64 = 64.0 * 1024.0;

/// What a node may send before it was told its budget.
const FIRST_BUDGET: f64 = 256.0 * 1024.0;

/// Redis' limits for a subscriber: lasting for a minute, and at once.
const SOFT_LIMIT: f64 = 8.0 * 1024.0 * 1024.0;
const HARD_LIMIT: f64 = 32.0 * 1024.0 * 1024.0;

/// Operations of one kind.
pub(crate) struct Kind {
    what: &'static str,
    pub(crate) per_second: f64,
    micros: f64,
    /// Goes to the shard of a channel, of which there are few, rather than to that of a tunnel.
    is_publish: bool,
}

impl Kind {
    /// Of one Redis thread.
    pub(crate) fn share(&self) -> f64 {
        self.per_second * self.micros / 1e6
    }
}

/// All kinds.
pub(crate) struct Load {
    pub(crate) kinds: Vec<Kind>,
}

impl Load {
    pub(crate) fn of(size: &Size, traffic: &Traffic) -> Self {
        let mut kinds = Vec::new();
        let mut kind = |what, per_second, micros, is_publish| {
            kinds.push(Kind {
                what,
                per_second,
                micros,
                is_publish,
            });
        };
        let nodes = size.nodes as f64;
        let bytes: f64 = traffic.into.iter().map(|into| into.bytes).sum();
        let messages = traffic.messages();
        let each = publish(bytes / messages.max(1.0));
        kind("`PUBLISH`, requests and answers", messages, each, true);
        let probes = probes(size);
        let probe = publish(HEADER as f64);
        kind("`PUBLISH`, probes of pairs", probes, probe, true);
        kind("`HGETALL`, look-ups", traffic.found, HGETALL, false);
        kind("`HGETALL`, unknown names", traffic.unknown, SMALL, false);
        kind("`GET`, leases", traffic.leases, GET, false);
        let compared = size.links_per_node().min(COMPARED);
        kind("`HGET`, own links compared", nodes * compared, HGET, false);
        let beats = 3.0 * nodes / Timing::default().probe.as_secs_f64();
        kind("lease, clock, ping", beats, SMALL, false);
        let churn = size.churn as f64;
        let further = (size.links - 1) as f64;
        let (first, others) = (churn * ANNOUNCE, churn * further * ANNOUNCE_ASKING);
        let links = churn * size.links as f64;
        let mean = (first + others) / links;
        kind("`announce.lua`, agents that come", links, mean, false);
        kind("`withdraw.lua`, agents that go", links, WITHDRAW, false);
        let renewed = (size.tunnels * size.links) as f64 / RENEWED;
        kind(
            "`announce.lua`, old records",
            renewed,
            ANNOUNCE_ASKING,
            false,
        );
        Self { kinds }
    }

    /// Of one Redis thread, so above 1 where one is not enough.
    pub(crate) fn share(&self) -> f64 {
        self.kinds.iter().map(Kind::share).sum()
    }

    fn publishing(&self) -> f64 {
        let kinds = self.kinds.iter().filter(|kind| kind.is_publish);
        kinds.map(Kind::share).sum()
    }

    pub(crate) fn table(&self) -> Table {
        let columns = ["operation", "a second", "µs each", "Redis threads"];
        let mut table = Table::new("What Redis does", &columns);
        for kind in &self.kinds {
            table.row(&[
                kind.what.to_owned(),
                number(kind.per_second),
                number(kind.micros),
                number(kind.share()),
            ]);
        }
        let all = self.kinds.iter().map(|kind| kind.per_second).sum();
        let all = number(all);
        table.row(&["all".to_owned(), all, String::new(), number(self.share())]);
        table
    }
}

/// µs for publishing so many bytes.
fn publish(bytes: f64) -> f64 {
    PUBLISH + PUBLISH_KIB * bytes / 1024.0
}

/// Messages a second that two nodes who share exchanges tell each other though nothing happens: a probe, an answer.
pub(crate) fn probes(size: &Size) -> f64 {
    let nodes = size.nodes as f64;
    nodes * (nodes - 1.0) / 2.0 * 2.0 / Timing::default().probe.as_secs_f64()
}

/// The most that may be under way to a node: in the steady state, and before its senders were told their budgets.
pub(crate) fn under_way(size: &Size) -> (f64, f64) {
    let senders = (size.nodes as f64 - 1.0).max(1.0);
    let share = (TOTAL_BUDGET / senders).max(LEAST_BUDGET);
    (senders * share, senders * share.max(FIRST_BUDGET))
}

/// How the load falls on the masters of a cluster. Keys of tunnels spread evenly, channels of nodes do not: they are few.
pub(crate) fn shards(traffic: &Traffic, load: &Load) -> Table {
    let columns = [
        "masters",
        "mean load of each",
        "load of the busiest",
        "channels there",
    ];
    let mut table = Table::new("Redis Cluster", &columns);
    for masters in [1, 4, 8, 12, 16, 24, 32] {
        let share = masters as f64;
        let even = (load.share() - load.publishing()) / share;
        let mut publishing = vec![(0.0, 0); masters];
        for (node, into) in traffic.into.iter().enumerate() {
            let at = slot(node) * masters / 16384;
            publishing[at].0 += load.publishing() * into.messages / traffic.messages();
            publishing[at].1 += 1;
        }
        let busiest = publishing.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        let (most, channels) = busiest.unwrap_or_default();
        let verdict = if even + most <= PLANNED {
            ""
        } else {
            " (too much)"
        };
        table.row(&[
            masters.to_string(),
            percent(load.share() / share),
            format!("{}{verdict}", percent(even + most)),
            channels.to_string(),
        ]);
    }
    table.with_note(format!(
        "Of one thread each. Planned for at most {}, so that queues do not show.",
        percent(PLANNED)
    ))
}

/// The slot of a node's channel: CRC16 (XMODEM) of what stands in the braces.
fn slot(node: usize) -> usize {
    let tag = format!("n:{}", Size::node_id(node));
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    });
    usize::from(crc % 16384)
}

/// What a node's channel carries, beside what Redis would bear.
pub(crate) fn channels(size: &Size, traffic: &Traffic) -> Table {
    let mut table = Table::new("A node's channel", &["what", "how much"]);
    let probes = probes(size) / size.nodes as f64;
    let nodes = size.nodes as f64;
    let mean = |what: fn(&Into) -> f64| traffic.into.iter().map(what).sum::<f64>() / nodes;
    let bytes = mean(|into| into.bytes) + probes * HEADER as f64;
    let messages = mean(|into| into.messages) + probes;
    let pair = traffic.messages() / (nodes * (nodes - 1.0)).max(1.0);
    let usual = bytes * ROUND_TRIP_MS / 1e3;
    let (steady, first) = under_way(size);
    for (what, much) in [
        ("messages in, a second", number(messages)),
        ("bytes in, a second", memory(bytes)),
        ("messages a second from one node to another", number(pair)),
        ("under way at one time, as a rule", memory(usual)),
        ("under way at most, by all budgets", memory(steady)),
        ("Redis' limit for a minute", memory(SOFT_LIMIT)),
        ("before budgets are told, at most", memory(first)),
        ("Redis' limit at once", memory(HARD_LIMIT)),
    ] {
        table.row(&[what.to_owned(), much]);
    }
    table
}
