//! A node dies, and Redis forgets: how long until all is as it should be.
//!
//! The agents' side is the agent's: it waits 100 to 200 ms, dials again through the balancer, and dials up to five times
//! more where it lands on a node it has a link to. Its node's processor and the Redis of its tunnel serve one after another.

use bus::redis::Timing;

use crate::chance::Dice;
use crate::inputs::{ANNOUNCE, ANNOUNCE_ASKING, REGISTRATION};
use crate::size::Size;
use crate::steady::Load;
use crate::table::{Table, number};

/// Seconds a balancer still sends connections to a dead node, and how much longer these take.
const NOTICED: f64 = 2.0;
const ELSEWHERE: f64 = 0.01;

/// How many more times an agent dials for a node that it has no link to.
const REDIALS: usize = 5;

/// How many claims a node has under way to Redis at most while it announces everything.
const CHUNK: f64 = 64.0;

/// What came of it. Times are seconds since the agents noticed.
struct Healed {
    lost: usize,
    /// Registrations in the busiest tenth of a second, a second.
    peak: f64,
    half: f64,
    most: f64,
    last: f64,
    /// The longest that a claim waited for Redis.
    waited: f64,
}

/// `busy` is what of each master the rest of the fleet takes.
fn lose_a_node(size: &Size, masters: usize, busy: f64) -> Healed {
    let mut dice = Dice::new(2);
    let mut arrivals = Vec::new();
    for tunnel in 0..size.tunnels {
        let (first, second) = size.holders(tunnel);
        let other = match (first, second) {
            (0, other) => other,
            (other, Some(0)) => Some(other),
            _ => continue,
        };
        let (at, node) = dial(size, other, &mut dice);
        arrivals.push((at, node, dice.below(masters)));
    }
    let peak = peak(arrivals.iter().map(|(at, ..)| *at));
    let mut free = vec![0.0_f64; size.nodes];
    serve(
        &mut arrivals,
        &mut free,
        |(_, node, _)| *node,
        REGISTRATION / 1e6,
    );
    let claim = if size.links > 1 {
        ANNOUNCE_ASKING
    } else {
        ANNOUNCE
    };
    let mut free = vec![0.0_f64; masters];
    let micros = claim / (1.0 - busy);
    let waited = serve(
        &mut arrivals,
        &mut free,
        |(.., master)| *master,
        micros / 1e6,
    );
    let at = |share: usize| arrivals.get(arrivals.len() * share / 100);
    let at = |share| {
        at(share)
            .or_else(|| arrivals.last())
            .map_or(0.0, |(at, ..)| *at)
    };
    Healed {
        lost: arrivals.len(),
        peak,
        half: at(50),
        most: at(99),
        last: at(100),
        waited,
    }
}

/// When and where an agent that has a link to `other` gets in again. Node 0 is the one that died.
fn dial(size: &Size, other: Option<usize>, dice: &mut Dice) -> (f64, usize) {
    let mut at = 0.1 + 0.1 * dice.share();
    let mut dials = 0;
    loop {
        let mut node = dice.below(size.nodes);
        if node == 0 && at < NOTICED {
            at += ELSEWHERE;
        }
        if node == 0 {
            node = 1 + dice.below(size.nodes - 1);
        }
        if other != Some(node) || dials == REDIALS {
            return (at, node);
        }
        dials += 1;
        at += ELSEWHERE;
    }
}

/// The most in a tenth of a second, a second.
fn peak(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    let within =
        |(at, time): (usize, &f64)| times.partition_point(|other| *other < time + 0.1) - at;
    let most = times.iter().enumerate().map(within).max();
    most.unwrap_or_default() as f64 * 10.0
}

/// Lets each have its turn, in the order they came; the longest wait.
fn serve(
    arrivals: &mut [(f64, usize, usize)],
    free: &mut [f64],
    at: impl Fn(&(f64, usize, usize)) -> usize,
    seconds: f64,
) -> f64 {
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut longest = 0.0_f64;
    for arrival in arrivals.iter_mut() {
        let free = &mut free[at(arrival)];
        let begin = free.max(arrival.0);
        longest = longest.max(begin - arrival.0);
        *free = begin + seconds;
        arrival.0 = *free;
    }
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    longest
}

pub(crate) fn table(size: &Size, load: &Load) -> Table {
    let columns = [
        "links of an agent, masters",
        "links lost",
        "registrations a second, at the peak",
        "half are back after",
        "99 %",
        "all",
        "longest wait for Redis",
    ];
    let mut table = Table::new("A node is killed", &columns);
    for (links, masters) in [(2, 16), (2, 32), (1, 16)] {
        let size = Size {
            links,
            ..size.clone()
        };
        let busy = (load.share() / masters as f64).min(0.95);
        let healed = lose_a_node(&size, masters, busy);
        let ms = |seconds: f64| format!("{} ms", number(seconds * 1e3));
        table.row(&[
            format!("{links}, {masters}"),
            number(healed.lost as f64),
            number(healed.peak),
            ms(healed.half),
            ms(healed.most),
            ms(healed.last),
            ms(healed.waited),
        ]);
    }
    table.with_note(
        "From the moment the agents notice: at once where the node's kernel closes its connections, within 20 s where it \
         cannot. With two links nobody is away meanwhile."
            .to_owned(),
    )
}

/// µs of Redis for announcing every link again when it remembers none.
pub(crate) fn announce_all(size: &Size) -> f64 {
    let further = (size.links - 1) as f64 * ANNOUNCE_ASKING;
    size.tunnels as f64 * (ANNOUNCE + further)
}

pub(crate) fn forgotten(size: &Size) -> Table {
    let columns = [
        "masters",
        "all links are announced after",
        "other commands wait",
        "nodes at which they time out",
    ];
    let mut table = Table::new("Redis forgets everything", &columns);
    let command = Timing::default().command.as_secs_f64();
    let mean = announce_all(size) / (size.tunnels * size.links) as f64;
    for masters in [1, 4, 8, 16, 32] {
        let shards = f64::from(masters);
        let seconds = announce_all(size) / shards / 1e6;
        let waits = |nodes: f64| nodes * CHUNK / shards * mean / 1e6;
        table.row(&[
            masters.to_string(),
            format!("{} s", number(seconds)),
            format!("{} ms", number(waits(size.nodes as f64) * 1e3)),
            number(command / waits(1.0)),
        ]);
    }
    table.with_note(format!(
        "With nothing else to do. Each node has {CHUNK} claims under way; a command may take {command} s."
    ))
}
