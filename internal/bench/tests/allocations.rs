//! How often a tunnel asks for memory, held to a budget: edge, uplink and agent in one process over the memory bus,
//! between two ends that ask for none. No log is written.
//!
//!     cargo test -p adit-bench --test allocations                        print the figures; fail above the budget
//!     cargo test -p adit-bench --test allocations -- --write-budget      take these figures as the budget
//!
//! The figures are the same in every run but for timers that fire meanwhile: hence the least of several rounds. They are
//! those of a build without optimisation, which removes hardly any; `benches/instructions.py --top` says who asks.

#![allow(clippy::print_stdout, reason = "the figures are what this is for")]

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use adit_bench::{LARGE, STEPS, Service, Visitor};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use testkit::{
    cluster::{Cluster, ClusterAgent},
    origin::Origin,
};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// What was measured, by name.
type Figures = BTreeMap<String, f64>;

const ROUNDS: usize = 5;
const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/allocations.toml");

fn main() -> ExitCode {
    let runtime = Builder::new_current_thread().enable_all().build();
    let figures = runtime.expect("a runtime").block_on(measure());
    if std::env::args().any(|arg| arg == "--write-budget") {
        write(&figures);
    }
    if keeps_budget(&figures) {
        ExitCode::SUCCESS
    } else {
        println!(
            "See who asks for it: benches/instructions.py --top. If it is worth that, run this with --write-budget."
        );
        ExitCode::FAILURE
    }
}

/// A tunnel, and what goes through it.
struct Tunnel {
    cluster: Cluster,
    agent: ClusterAgent,
    service: Service,
    _origin: Origin,
}

impl Tunnel {
    async fn open() -> Self {
        let edge = edge::Config {
            max_body: None,
            ..edge::Config::default()
        };
        let mut uplink = uplink::Config::new("localhost");
        uplink.limits.max_body = None;
        let cluster = Cluster::with(1, &edge, &uplink).await;
        let service = Service::default();
        let serving = service.clone();
        let origin = Origin::accepting(move |tcp| serving.clone().serve(tcp)).await;
        let agent = cluster.node(0).agent().publishing(&origin).await;
        Self {
            cluster,
            agent,
            service,
            _origin: origin,
        }
    }

    async fn visitor(&self) -> Visitor {
        Visitor::open(
            self.cluster.node(0).addr,
            &self.agent.hostname,
            &self.service,
        )
        .await
    }
}

async fn measure() -> Figures {
    let tunnel = Tunnel::open().await;
    let mut visitor = tunnel.visitor().await;
    let mut figures = Figures::new();
    let mut note = |name: &str, figure: f64| {
        println!("{name}: {figure:.2}");
        figures.insert(name.to_owned(), figure);
    };

    let get = least(&mut visitor, 200, async |visitor| visitor.get().await).await;
    note("allocations per GET of 1 KiB", get.count);
    note("bytes allocated per GET of 1 KiB", get.bytes);

    let down = least(&mut visitor, 1, async |visitor| visitor.step_down().await).await;
    note(
        "allocations per lone frame of a response",
        (down.count - get.count) / STEPS as f64,
    );
    let up = least(&mut visitor, 1, async |visitor| visitor.step_up().await).await;
    note(
        "allocations per lone frame of a request",
        (up.count - get.count) / STEPS as f64,
    );

    let mebibytes = (LARGE >> 20) as f64;
    let down = least(&mut visitor, 1, async |visitor| visitor.download().await).await;
    note("allocations per MiB of a download", down.count / mebibytes);
    let up = least(&mut visitor, 1, async |visitor| visitor.upload().await).await;
    note("allocations per MiB of an upload", up.count / mebibytes);

    visitor.upgrade().await;
    let echo = least(&mut visitor, 200, async |visitor| visitor.echo().await).await;
    note("allocations per WebSocket round trip", echo.count);
    note("bytes allocated per WebSocket round trip", echo.bytes);
    figures
}

/// What one exchange takes.
struct Cost {
    count: f64,
    bytes: f64,
}

/// Runs an exchange `times` over in each of several rounds; what it takes in the cheapest of them.
async fn least(visitor: &mut Visitor, times: usize, exchange: impl AsyncFn(&mut Visitor)) -> Cost {
    let mut least = Cost {
        count: f64::INFINITY,
        bytes: f64::INFINITY,
    };
    // The first round warms connections, pools and buffers up, and seldom is the cheapest.
    for _ in 0..=ROUNDS {
        let region = Region::new(ALLOCATOR);
        for _ in 0..times {
            exchange(visitor).await;
        }
        let change = region.change();
        let each = |total: usize| total as f64 / times as f64;
        least.count = least
            .count
            .min(each(change.allocations + change.reallocations));
        least.bytes = least.bytes.min(each(change.bytes_allocated));
    }
    least
}

/// Says which figures exceed their budget.
fn keeps_budget(figures: &Figures) -> bool {
    let text = std::fs::read_to_string(BUDGET).expect("the budget can be read");
    let budget: Figures = toml::from_str(&text).expect("the budget is a table of numbers");
    let mut kept = true;
    for (name, figure) in figures {
        let most = budget.get(name);
        let most = *most.unwrap_or_else(|| panic!("{BUDGET} says nothing of {name:?}"));
        if *figure > most {
            println!("error: {name}: {figure:.2}, above its budget of {most}");
            kept = false;
        }
    }
    kept
}

/// Leaves room for a timer or two, and for buffers that one run grows and another does not.
fn write(figures: &Figures) {
    let mut text = "# The most memory that a tunnel (edge, uplink and agent in all) may ask for. `make test` fails above.\n\
         # Written by `cargo test -p adit-bench --test allocations -- --write-budget`, 5 % above what it measured.\n\n"
        .to_owned();
    for (name, figure) in figures {
        text.push_str(&format!("{name:?} = {:.1}\n", figure * 1.05 + 0.1));
    }
    std::fs::write(Path::new(BUDGET), text).expect("the budget can be written");
}
