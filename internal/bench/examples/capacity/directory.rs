//! The directory of such a fleet in the memory of one process: the real one, of the memory bus.
//!
//! It is what a node would hold that knew all tunnels without asking Redis.

use std::sync::Arc;
use std::time::Duration;

use bus::memory::Fleet;
use bus::{Announcement, Delivery, Directory, Inbox, LinkId, Mode};
use bytes::Bytes;
use messages::{NodeId, PolicyId, TunnelId};
use rustix::time::{ClockId, clock_gettime};
use stats_alloc::Region;
use tokio::runtime::Builder;

use crate::ALLOCATOR;
use crate::chance::{Dice, Zipf};
use crate::size::Size;
use crate::table::{Table, number};

/// How many look-ups are timed.
const LOOK_UPS: usize = 2_000_000;

/// Hears nothing.
struct Deaf;

impl Inbox for Deaf {
    fn deliver(&self, _: Delivery) {}
}

pub(crate) fn table(size: &Size) -> Table {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(measure(size))
}

async fn measure(size: &Size) -> Table {
    let node = Fleet::new().join(NodeId([1; 16]), Arc::new(Deaf));
    let directory: &dyn Directory = &*node.directory;
    let mut dice = Dice::new(3);
    let names: Vec<TunnelId> = (0..size.tunnels).map(|_| name(&mut dice)).collect();
    let zipf = Zipf::new(size.tunnels, 1.0);

    let region = Region::new(ALLOCATOR);
    let began = processor();
    for tunnel in &names {
        let announced = directory.announce(claim(*tunnel)).await;
        announced.expect("nobody else claims it");
    }
    let announcing = processor().saturating_sub(began);
    let change = region.change();
    let bytes = change.bytes_allocated - change.bytes_deallocated;

    let asked: Vec<TunnelId> = (0..LOOK_UPS).map(|_| names[zipf.draw(&mut dice)]).collect();
    let began = processor();
    for tunnel in &asked {
        let routes = directory.lookup(*tunnel).await.expect("it is memory");
        assert_eq!(routes.len(), 1, "all of them are served");
    }
    let finding = processor().saturating_sub(began);

    let began = processor();
    let local = asked
        .iter()
        .filter(|tunnel| directory.local(**tunnel).is_some());
    assert_eq!(local.count(), LOOK_UPS, "all of them are its own");
    let local = processor().saturating_sub(began);

    let mut table = Table::new(
        "The directory in memory, measured here",
        &["what", "how much"],
    );
    let rate = |count: usize, time: Duration| number(count as f64 / time.as_secs_f64());
    for (what, much) in [
        ("tunnels", number(size.tunnels as f64)),
        (
            "bytes of each, with one link",
            number(bytes as f64 / size.tunnels as f64),
        ),
        (
            "announced in a second of the processor",
            rate(size.tunnels, announcing),
        ),
        ("looked up in one", rate(LOOK_UPS, finding)),
        ("own links found in one", rate(LOOK_UPS, local)),
    ] {
        table.row(&[what.to_owned(), much]);
    }
    table
}

/// The processor time of this thread: what else runs on the machine does not count.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// As good as the hash of a key.
fn name(dice: &mut Dice) -> TunnelId {
    let mut name = [0; 32];
    for part in name.chunks_exact_mut(8) {
        part.copy_from_slice(&dice.bits().to_be_bytes());
    }
    TunnelId(name)
}

fn claim(tunnel: TunnelId) -> Announcement {
    Announcement {
        tunnel,
        link: LinkId(1),
        session: [7; 16],
        generation: None,
        mode: Mode::Exclusive,
        version: 1,
        owner: tunnel.0,
        policy: PolicyId::NONE,
        document: Bytes::new(),
    }
}
