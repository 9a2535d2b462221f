//! Visitors on all nodes: what is found locally, in a node's cache, or asked of Redis, and who tells whom.
//!
//! The cache is that of the bus: 65,536 tunnels, routes believed for `Timing::found`, absences for `Timing::not_found`,
//! leases for as long as an absence. An answer takes no time, so that several who ask at once count as hits.

use std::collections::HashMap;

use bus::redis::Timing;
use bus::{Content, Envelope, ExchangeId, LinkId};
use bytes::Bytes;
use messages::{Flags, Frame, NodeId, PolicyId, StreamId, Tag, TunnelId};

use crate::chance::{Dice, Zipf};
use crate::inputs::REGION_MS;
use crate::size::Size;
use crate::table::{Table, number, percent};

/// What a message between nodes has beside its envelopes: the header of a pair.
pub(crate) const HEADER: usize = 59;

/// What each envelope has before it.
const LENGTH: usize = 4;

/// How many tunnels a node's cache remembers.
const MAX_KNOWN: usize = 64 * 1024;

/// Seconds before counting: caches are as full as they get. And seconds counted.
const WARM: usize = 3;
const COUNTED: usize = 2;

/// What happened, a second.
#[derive(Debug, Default, Clone)]
pub(crate) struct Traffic {
    pub(crate) requests: f64,
    /// Served by a link of the visitor's own node: Redis hears nothing.
    pub(crate) local: f64,
    pub(crate) hits: f64,
    /// `HGETALL` that found routes.
    pub(crate) found: f64,
    /// `HGETALL` that found none.
    pub(crate) unknown: f64,
    /// `GET` of leases.
    pub(crate) leases: f64,
    /// To each node's channel.
    pub(crate) into: Vec<Into>,
    /// ms that a request across nodes waits for regions on its way, with one Redis in the first region.
    pub(crate) far_ms: f64,
}

/// What one node hears.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Into {
    pub(crate) messages: f64,
    pub(crate) bytes: f64,
}

impl Traffic {
    pub(crate) fn of(size: &Size, steepness: f64) -> Self {
        let zipf = Zipf::new(size.tunnels, steepness);
        let mut world = World::new(size);
        let mut dice = Dice::new(1);
        for at in 0..size.requests * (WARM + COUNTED) {
            if at == size.requests * WARM {
                world.counted = Self {
                    into: vec![Into::default(); size.nodes],
                    ..Self::default()
                };
            }
            let now = at as f64 / size.requests as f64;
            world.visit(now, &zipf, &mut dice);
        }
        world.counted.a_second(COUNTED as f64)
    }

    /// Requests that cross from one node to another.
    pub(crate) fn across(&self) -> f64 {
        self.hits + self.found
    }

    /// The share of look-ups that the caches answered.
    pub(crate) fn hit_ratio(&self) -> f64 {
        self.hits / (self.across() + self.unknown)
    }

    pub(crate) fn messages(&self) -> f64 {
        self.into.iter().map(|into| into.messages).sum()
    }

    fn a_second(mut self, seconds: f64) -> Self {
        self.far_ms /= self.across().max(1.0);
        for count in [
            &mut self.requests,
            &mut self.local,
            &mut self.hits,
            &mut self.found,
            &mut self.unknown,
            &mut self.leases,
        ] {
            *count /= seconds;
        }
        for into in &mut self.into {
            into.messages /= seconds;
            into.bytes /= seconds;
        }
        self
    }
}

struct World<'a> {
    size: &'a Size,
    timing: Timing,
    nodes: Vec<Edge>,
    counted: Traffic,
    open: f64,
    accepted: f64,
    answer: f64,
}

/// What one node remembers.
struct Edge {
    /// Until when a tunnel's routes are believed.
    known: HashMap<usize, f64>,
    /// When each node's lease was asked for.
    leases: Vec<f64>,
}

impl<'a> World<'a> {
    fn new(size: &'a Size) -> Self {
        let edge = || Edge {
            known: HashMap::new(),
            leases: vec![f64::MIN; size.nodes],
        };
        let frame = |len| Frame {
            tag: Tag::Ping.as_u8(),
            flags: Flags(0),
            stream: StreamId(1),
            payload: Bytes::from(vec![0; len]),
        };
        let open = Content::Open {
            link: LinkId(1),
            generation: 1,
            policy: PolicyId::NONE,
            attempt: 0,
            frame: frame(size.request_bytes),
        };
        Self {
            size,
            timing: Timing::default(),
            nodes: (0..size.nodes).map(|_| edge()).collect(),
            counted: Traffic {
                into: vec![Into::default(); size.nodes],
                ..Traffic::default()
            },
            open: message_len(open),
            accepted: message_len(Content::Accepted),
            answer: message_len(Content::ToVisitor(frame(size.response_bytes))),
        }
    }

    fn visit(&mut self, now: f64, zipf: &Zipf, dice: &mut Dice) {
        let edge = dice.below(self.size.nodes);
        self.counted.requests += 1.0;
        if dice.below(self.size.unknown) == 0 {
            // Each another name, so no cache helps.
            self.counted.unknown += 1.0;
            return;
        }
        let tunnel = zipf.draw(dice);
        let (first, second) = self.size.holders(tunnel);
        if first == edge || second == Some(edge) {
            self.counted.local += 1.0;
            return;
        }
        self.look_up(now, edge, tunnel, (first, second));
        let holder = match second {
            Some(second) if dice.below(2) == 0 => second,
            _ => first,
        };
        self.tell(holder, self.open);
        self.tell(edge, self.accepted);
        self.tell(edge, self.answer);
        self.counted.far_ms += self.far(edge, holder);
    }

    fn look_up(&mut self, now: f64, at: usize, tunnel: usize, holders: (usize, Option<usize>)) {
        let edge = &mut self.nodes[at];
        if edge.known.get(&tunnel).is_some_and(|until| now < *until) {
            self.counted.hits += 1.0;
            return;
        }
        self.counted.found += 1.0;
        if edge.known.len() >= MAX_KNOWN {
            edge.known.retain(|_, until| now < *until);
        }
        if edge.known.len() >= MAX_KNOWN {
            edge.known.clear();
        }
        let believed = self.timing.found.as_secs_f64();
        edge.known.insert(tunnel, now + believed);
        for node in [Some(holders.0), holders.1].into_iter().flatten() {
            if now - edge.leases[node] >= self.timing.not_found.as_secs_f64() {
                edge.leases[node] = now;
                self.counted.leases += 1.0;
            }
        }
        // Asking Redis in the first region, and its answer.
        if self.size.region_of(at) != 0 {
            self.counted.far_ms += 2.0 * REGION_MS;
        }
    }

    /// From the edge to Redis and on to the holder; and all the way back.
    fn far(&self, edge: usize, holder: usize) -> f64 {
        let away = [edge, holder].map(|node| self.size.region_of(node) != 0);
        let legs = away.into_iter().filter(|away| *away).count();
        2.0 * legs as f64 * REGION_MS
    }

    fn tell(&mut self, node: usize, bytes: f64) {
        let into = &mut self.counted.into[node];
        into.messages += 1.0;
        into.bytes += bytes;
    }
}

/// How many bytes a message with this one envelope has.
fn message_len(content: Content) -> f64 {
    let envelope = Envelope {
        from: NodeId([0; 16]),
        exchange: ExchangeId(0),
        tunnel: TunnelId([0; 32]),
        content,
    };
    (HEADER + LENGTH + envelope.encoded_len()) as f64
}

pub(crate) fn table(size: &Size, steepness: &[f64], runs: &[Traffic]) -> Table {
    let columns = [
        "visitors' preference s",
        "served on the same node",
        "look-ups a second",
        "cache hits",
        "asked of Redis a second",
        "leases asked a second",
    ];
    let mut table = Table::new("Look-ups", &columns);
    for (steepness, run) in steepness.iter().zip(runs) {
        table.row(&[
            steepness.to_string(),
            percent(run.local / run.requests),
            number(run.across() + run.unknown),
            percent(run.hit_ratio()),
            number(run.found + run.unknown),
            number(run.leases),
        ]);
    }
    let far = runs.get(1).map_or(0.0, |run| run.far_ms);
    table.with_note(format!(
        "The n-th most visited tunnel gets a share of 1/n^s. With one Redis for {} regions, a request between nodes waits {} ms \
         for the distance.",
        size.regions,
        number(far)
    ))
}
