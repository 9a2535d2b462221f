//! What a look-up in the memory directory costs beside many other tunnels, without the server around it.

use std::sync::Arc;

use bus::{Announcement, Delivery, Inbox, LinkId, Mode, memory::Fleet};
use bytes::Bytes;
use messages::{NodeId, PolicyId, TunnelId};
use tokio::time::Instant;

const LOOKUPS: u32 = 1_000_000;

#[derive(Debug)]
struct Nobody;

impl Inbox for Nobody {
    fn deliver(&self, _: Delivery) {}
}

pub(crate) async fn look_up(count: u64) {
    let node = Fleet::new().join(NodeId([1; 16]), Arc::new(Nobody));
    let tunnels: Vec<TunnelId> = (0..count)
        .map(|_| TunnelId(identity::random_bytes()))
        .collect();
    let began = Instant::now();
    for (link, tunnel) in (1..).zip(&tunnels) {
        let announcement = Announcement {
            tunnel: *tunnel,
            link: LinkId(link),
            session: identity::random_bytes(),
            generation: None,
            mode: Mode::Exclusive,
            version: 1,
            owner: tunnel.0,
            policy: PolicyId::NONE,
            document: Bytes::new(),
        };
        let announced = node.directory.announce(announcement).await;
        announced.expect("nobody else wants the tunnel");
    }
    let announce = began.elapsed();
    let began = Instant::now();
    let mut found = 0;
    // A stride that is prime meets every tunnel, and rarely one that was met just before.
    let mut at = 0;
    for _ in 0..LOOKUPS {
        at = (at + 7919) % tunnels.len();
        found += usize::from(node.directory.local(tunnels[at]).is_some());
    }
    let lookup = began.elapsed();
    println!(
        r#"{{"routes": {count}, "found": {found}, "lookup_ns": {:.1}, "announce_ns": {:.1}}}"#,
        lookup.as_secs_f64() * 1e9 / f64::from(LOOKUPS),
        announce.as_secs_f64() * 1e9 / f64::from(u32::try_from(count).expect("no more than fit")),
    );
}
