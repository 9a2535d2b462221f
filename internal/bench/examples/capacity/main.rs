//! What a fleet of a hundred nodes would ask of Redis: directory, look-ups, churn and the loss of a node, simulated in memory.
//!
//!     cargo run --release -p adit-bench --example capacity
//!
//! prints the tables of `docs/capacity.md`. Nothing is sent anywhere: the rules are those of the bus (its own `Timing`, its
//! own envelopes, its record layout), the costs of an operation are measured ones (`inputs`), and the dice always fall the
//! same. Only what says "measured here" depends on the machine.
//!
//! It is a model: an answer of Redis takes no time in the steady state, every node is alike, and a balancer sends each
//! visitor to any node.

mod chance;
mod directory;
mod growth;
mod inputs;
mod layout;
mod loss;
mod size;
mod steady;
mod table;
mod traffic;

use std::io::{self, Write};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use self::size::Size;
use self::traffic::Traffic;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// How steeply visitors prefer some tunnels: the n-th most visited gets a share of 1/n^s.
const STEEPNESS: [f64; 3] = [0.8, 1.0, 1.2];

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let size = Size::LARGE;
    size::table(&size).print(&mut out)?;

    let runs = STEEPNESS.map(|steepness| Traffic::of(&size, steepness));
    traffic::table(&size, &STEEPNESS, &runs).print(&mut out)?;
    let [_, usual, _] = &runs;

    let load = steady::Load::of(&size, usual);
    load.table().print(&mut out)?;
    steady::shards(usual, &load).print(&mut out)?;
    steady::channels(&size, usual).print(&mut out)?;
    layout::table(&size).print(&mut out)?;
    loss::table(&size, &load).print(&mut out)?;
    loss::forgotten(&size).print(&mut out)?;
    growth::table(&size).print(&mut out)?;
    directory::table(&size).print(&mut out)?;
    out.flush()
}
