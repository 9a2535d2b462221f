//! SIGTERM of nodes that are in use. Behind nginx and all in turn: `nginx` and `rolling`, named so that the tests which need
//! the machine for themselves do not follow one another and wait.

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
pub(crate) fn behind_haproxy(nodes: usize) -> FleetToBe {
    Fleet::of(nodes)
        .behind(Kind::HaProxy)
        .with("grace = \"18s\"\ndrain_delay = \"1s\"")
}

/// nginx asks nobody, and leaves a node alone for 2 s when it has refused.
pub(crate) fn behind_nginx(nodes: usize) -> FleetToBe {
    Fleet::of(nodes)
        .behind(Kind::Nginx)
        .with("grace = \"18s\"\ndrain_delay = \"3s\"")
}

/// All nodes leave and come back, one after the other. Whichever holds the link: it leaves once.
pub(crate) async fn leaves_in_turn(fleet: FleetToBe, options: &[&str], links: i64) {
    let mut stage = Stage::with(fleet).await;
    let agent = stage.agent_by(stage.fleet.addr(), options).await;
    stage.until_links(links).await;
    let mut load = stage.fleet.load(Load::at(LOAD), &agent);
    load.succeeds(200).await;
    for node in 0..stage.fleet.addrs().len() {
        assert!(stage.fleet.stop(node).await.success());
        load.succeeds(200).await;
        stage.fleet.start(node).await;
        stage.fleet.until_balanced(node).await;
    }
    load.succeeds(200).await;
    none_lost(&load.stop().await);
}

#[tokio::test]
async fn a_node_that_holds_the_link_leaves_under_load_and_nothing_is_lost() {
    let _machine = alone().await;
    leaves_in_turn(behind_haproxy(2), ONE_LINK, 1).await;
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
