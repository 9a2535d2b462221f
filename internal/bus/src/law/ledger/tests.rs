//! Records without routes stay within their bounds. What a record decides is the suite's to show.

use super::*;
use bytes::Bytes;
use messages::PolicyId;

use crate::{LinkId, Mode};

const NODE: NodeId = NodeId([1; 16]);
const HOUR: Duration = Duration::from_hours(1);

fn tunnel(n: usize) -> TunnelId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.to_be_bytes());
    TunnelId(id)
}

fn announce(ledger: &mut Ledger, tunnel: TunnelId, session: u8, now: Now) -> u64 {
    let announcement = Announcement {
        tunnel,
        link: LinkId(u64::from(session)),
        session: [session; 16],
        generation: None,
        mode: Mode::Exclusive,
        version: 1,
        owner: [0; 32],
        policy: PolicyId::NONE,
        document: Bytes::new(),
    };
    let announcer = Announcer {
        node: NODE,
        draining: false,
    };
    let claim = ledger
        .announce(announcer, &announcement, now)
        .expect("nothing speaks against it");
    claim.generation
}

fn withdraw(ledger: &mut Ledger, tunnel: TunnelId, session: u8, now: Now) {
    let holder = Holder {
        node: NODE,
        link: LinkId(u64::from(session)),
    };
    ledger.withdraw(tunnel, holder, 2, now);
}

/// A clock whose calendar stands still, so that only what is stored can make generations rise.
fn at(instant: Instant) -> Now {
    Now {
        micros: 1000,
        instant,
    }
}

#[test]
fn a_generation_outlives_its_links_for_a_day() {
    let mut ledger = Ledger::default();
    let start = Instant::now();
    assert_eq!(announce(&mut ledger, tunnel(1), 1, at(start)), 1000);
    withdraw(&mut ledger, tunnel(1), 1, at(start));

    ledger.forget_old(start + 23 * HOUR);
    assert_eq!(
        announce(&mut ledger, tunnel(1), 2, at(start + 23 * HOUR)),
        1001
    );
    withdraw(&mut ledger, tunnel(1), 2, at(start + 23 * HOUR));

    ledger.forget_old(start + 46 * HOUR);
    assert_eq!(ledger.records.len(), 1, "its day began anew");
    ledger.forget_old(start + 47 * HOUR);
    assert!(ledger.records.is_empty() && ledger.idle.is_empty());
    assert_eq!(
        announce(&mut ledger, tunnel(1), 3, at(start + 47 * HOUR)),
        1000
    );
}

#[test]
fn a_tunnel_with_a_link_is_never_forgotten() {
    let mut ledger = Ledger::default();
    let start = Instant::now();
    announce(&mut ledger, tunnel(1), 1, at(start));
    ledger.forget_old(start + 1000 * HOUR);
    assert_eq!(ledger.routes(tunnel(1)).len(), 1);
}

#[test]
fn over_the_bound_the_longest_idle_is_forgotten_first() {
    let mut ledger = Ledger::default();
    let start = Instant::now();
    announce(&mut ledger, tunnel(0), 1, at(start));
    for n in 1..=MAX_IDLE + 1 {
        let now = at(start + Duration::from_millis(n as u64));
        announce(&mut ledger, tunnel(n), 1, now);
        withdraw(&mut ledger, tunnel(n), 1, now);
    }
    assert_eq!(ledger.idle.len(), MAX_IDLE);
    assert!(
        !ledger.records.contains_key(&tunnel(1)),
        "the first to fall idle"
    );
    assert!(ledger.records.contains_key(&tunnel(2)));
    assert!(
        ledger.records.contains_key(&tunnel(0)),
        "the one that is served"
    );
}

#[test]
fn withdrawing_over_and_over_keeps_one_entry() {
    let mut ledger = Ledger::default();
    let start = Instant::now();
    for n in 0..1000 {
        let now = at(start + Duration::from_millis(n));
        withdraw(&mut ledger, tunnel(1), 1, now);
    }
    assert_eq!(ledger.records.len(), 1);
    assert_eq!(ledger.idle.len(), 1);
}
