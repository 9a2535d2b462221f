//! Sharded pub/sub on a cluster of three masters. The rules on it are the conformance suite's.

use messages::NodeId;

use crate::fleet::{Actor, claim, tunnel};
use crate::masters::Masters;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_whose_slot_moves_is_followed() {
    let masters = Masters::start().await;
    let (a, b) = (
        Actor::join(&masters.url(), 1).await,
        Actor::join(&masters.url(), 2).await,
    );
    a.holds(&claim(tunnel(1), 1, 1)).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    a.talks_with(&b).await;
    for node in [&a, &b] {
        assert_eq!(node.node.directory.nodes(3).await, Ok(2), "on any master");
    }

    let channel = format!("adit:{{n:{}}}", NodeId([1; 16]));
    masters
        .move_slot_of(&channel, &[&format!("{channel}:lease")])
        .await;
    a.is_down().await;
    a.is_up().await;
    a.talks_with(&b).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
}
