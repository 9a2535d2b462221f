//! An agent's links to several nodes.

use std::{collections::BTreeSet, time::Duration};

use crate::stage::{Stage, TWO_LINKS, keys, links, none_lost, tell, within};
use testkit::{load::Load, redis::Redis};

/// In which an agent finds another node.
const FOUND: Duration = Duration::from_secs(10);

/// In which the agents of a lone node have spread over it and another: here a balancer sends them so that it takes long.
const SPREAD: Duration = Duration::from_mins(1);

/// The nodes that live and hold a link.
async fn homes(redis: &Redis) -> BTreeSet<String> {
    let mut homes = BTreeSet::new();
    let leases = keys(redis, ":lease").await;
    for tunnel in keys(redis, ":links").await {
        for link in redis.command(["HKEYS", &tunnel]).await.list() {
            let node = link.text().split('/').next().unwrap().to_owned();
            if leases.iter().any(|lease| lease.contains(&node)) {
                homes.insert(node);
            }
        }
    }
    homes
}

#[tokio::test]
async fn an_agent_that_lands_on_the_same_node_again_tries_for_another() {
    let stage = Stage::of(2).await;
    let redis = &stage.fleet.redis;
    let door = stage.door(&[0, 0, 0, 1]).await;
    let agent = stage.agent_by(door.addr(), TWO_LINKS).await;
    let two = async || homes(redis).await.len() == 2;
    within(FOUND, "links to both nodes", two).await;
    stage.until_links(2).await;
    for node in [0, 1] {
        let visitor = stage.fleet.visitor_of(node, &agent);
        assert_eq!(visitor.get("/").await.text(), "service");
    }
}

#[tokio::test]
async fn an_agent_that_may_choose_holds_two_links_and_replaces_the_one_that_died() {
    let mut stage = Stage::of(3).await;
    let door = stage.door(&[0, 1, 2]).await;
    let agent = stage.agent_by(door.addr(), &["-q"]).await;
    stage.until_links(2).await;
    let before = homes(&stage.fleet.redis).await;
    assert_eq!(before.len(), 2);
    stage.fleet.kill(0).await;
    let again = async || {
        let homes = homes(&stage.fleet.redis).await;
        homes.len() == 2 && homes != before
    };
    within(FOUND, "links to both that live", again).await;
    for node in [1, 2] {
        let visitor = stage.fleet.visitor_of(node, &agent);
        assert_eq!(visitor.get("/").await.text(), "service");
    }
}

#[tokio::test]
async fn an_agent_of_a_lone_node_holds_one_link_and_two_when_another_node_has_joined() {
    let mut stage = Stage::of(2).await;
    stage.fleet.kill(1).await;
    // Whoever redials comes to the lone node for long; see below.
    let door = stage.door(&[0, 0, 0, 0, 0, 0, 1]).await;
    let agent = stage.agent_by(door.addr(), &[]).await;
    let mut load = Load::at(50).through(stage.fleet.addr_of(0), agent.host());
    load.succeeds(150).await;
    assert_eq!(links(&stage.fleet.redis).await, 1);
    assert_eq!(door.opened(), 1, "it did not even dial");

    stage.fleet.start(1).await;
    let spread = async || agent.program.said("connected by 2 links to 2 nodes") > 0;
    let took = within(SPREAD, "links to both nodes", spread).await;
    stage.until_links(2).await;
    assert_eq!(homes(&stage.fleet.redis).await.len(), 2);
    load.succeeds(50).await;
    none_lost(&load.stop().await);
    assert_eq!(
        agent.program.said("again"),
        0,
        "{:?}",
        agent.program.output()
    );
    tell(&format!("after {took:?}"));
}
