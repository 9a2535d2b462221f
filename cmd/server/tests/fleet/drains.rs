//! SIGTERM of nodes that are in use.

use std::time::Duration;

use testkit::{
    balancer::Kind,
    fleet::{Fleet, FleetToBe},
    load::Load,
    origin::Origin,
    process::Key,
    socket,
};
use tokio::time::Instant;

use crate::stage::{Events, ONE_LINK, Stage, alone, none_lost};

/// Requests a second.
const LOAD: u32 = 500;

/// `HAProxy` here asks each 200 ms and believes the second answer.
fn balanced(nodes: usize) -> FleetToBe {
    Fleet::of(nodes)
        .behind(Kind::HaProxy)
        .with("grace = \"18s\"\ndrain_delay = \"1s\"")
}

#[tokio::test]
async fn a_node_that_holds_the_link_leaves_under_load_and_nothing_is_lost() {
    let _machine = alone().await;
    let mut stage = Stage::with(balanced(2)).await;
    let agent = stage.agent_by(stage.fleet.addr(), ONE_LINK).await;
    let mut load = stage.fleet.load(Load::at(LOAD), &agent);
    load.succeeds(200).await;
    // Whichever of them has it: both leave once.
    for node in [0, 1] {
        assert!(stage.fleet.stop(node).await.success());
        load.succeeds(200).await;
        stage.fleet.start(node).await;
        stage.fleet.until_balanced(node).await;
    }
    none_lost(&load.stop().await);
}

#[tokio::test]
async fn a_rolling_restart_of_three_nodes_under_load_loses_nothing() {
    let _machine = alone().await;
    let mut stage = Stage::with(balanced(3)).await;
    let agent = stage.agent_by(stage.fleet.addr(), &["-q"]).await;
    stage.until_links(2).await;
    let mut load = stage.fleet.load(Load::at(LOAD), &agent);
    load.succeeds(200).await;
    for node in [0, 1, 2] {
        assert!(stage.fleet.stop(node).await.success());
        load.succeeds(200).await;
        stage.fleet.start(node).await;
        stage.fleet.until_balanced(node).await;
    }
    load.succeeds(200).await;
    none_lost(&load.stop().await);
}

#[tokio::test]
async fn event_streams_of_a_leaving_node_live_until_the_grace_ends() {
    let stage = Stage::with(Fleet::of(2).with("grace = \"4s\"")).await;
    let agent = stage.agent_at(0).await;
    let key = Key::fresh();
    let port = stage.service.port();
    let leaving = stage.fleet.agent_of(1, &port, &key, ONE_LINK).await;
    // One whose visitor is on that node, and one whose link is.
    let mut theirs = Events::of(&stage.fleet.visitor_of(1, &agent)).await;
    let mut links = Events::of(&stage.fleet.visitor_of(0, &leaving)).await;
    stage.fleet.drain(1).await;
    for lived in <[_; 2]>::from(tokio::join!(theirs.cut(), links.cut())) {
        assert!(lived > Duration::from_millis(3500), "{lived:?}");
        assert!(lived < Duration::from_secs(7), "{lived:?}");
    }
}

#[tokio::test]
async fn websockets_of_a_leaving_node_are_told_to_come_again() {
    let stage = Stage::with(Fleet::of(2).with("grace = \"10s\"")).await;
    let sockets = Origin::echoing_sockets().await;
    let key = Key::fresh();
    let agent = stage
        .fleet
        .agent_of(0, &sockets.port(), &key, ONE_LINK)
        .await;
    let mut open = stage.fleet.visitor_of(1, &agent).open_socket("/").await;
    let began = Instant::now();
    stage.fleet.drain(1).await;
    assert_eq!(socket::end(&mut open).await.code(), Some(1001));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
