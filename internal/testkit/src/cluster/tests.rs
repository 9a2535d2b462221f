//! What can be done to a cluster, and that it shows.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::origin::Origin;

#[tokio::test]
async fn every_node_serves_an_agent_of_any() {
    let origin = Origin::echo().await;
    let cluster = Cluster::of(3).await;
    let agent = cluster.node(1).agent().publishing(&origin).await;
    for index in 0..3 {
        let visitor = cluster.node(index).visitor(&agent);
        assert_eq!(visitor.get("/").await.status, 200);
    }
    assert_eq!(agent.stop().await, 0);
}

#[tokio::test]
async fn agents_of_a_killed_node_come_back_at_another_and_it_can_return() {
    let origin = Origin::echo().await;
    let mut cluster = Cluster::of(2).await;
    let mut agent = cluster.agent().publishing(&origin).await;
    let (home, other) = match cluster.node(0).uplink.stats().links {
        1 => (0, 1),
        _ => (1, 0),
    };
    let old = cluster.node(home).id;
    cluster.kill(home).await;
    agent.registers_again().await;
    let visitor = cluster.node(other).visitor(&agent);
    assert_eq!(visitor.get("/").await.status, 200);
    cluster.start(home).await;
    assert_ne!(cluster.node(home).id, old);
    let visitor = cluster.node(home).visitor(&agent);
    assert_eq!(visitor.get("/").await.status, 200);
}

#[tokio::test]
async fn a_frozen_node_answers_when_it_thaws() {
    let origin = Origin::echo().await;
    let mut cluster = Cluster::of(1).await;
    let agent = cluster.node(0).agent().publishing(&origin).await;
    let visitor = cluster.node(0).visitor(&agent);
    cluster.freeze(0).await;
    let mut asking = Box::pin(visitor.get("/"));
    let early = timeout(Duration::from_millis(100), &mut asking).await;
    assert!(early.is_err(), "it answered");
    cluster.thaw(0);
    assert_eq!(asking.await.status, 200);
}

#[tokio::test]
async fn an_agent_can_be_parted_from_its_node() {
    let origin = Origin::echo().await;
    let cluster = Cluster::of(1).await;
    let way = FaultProxy::to(cluster.node(0).addr).await;
    let agent = cluster.node(0).agent().through(way.addr());
    let mut agent = agent.publishing(&origin).await;
    way.cut();
    agent.registers_again().await;
    let visitor = cluster.node(0).visitor(&agent);
    assert_eq!(visitor.get("/").await.status, 200);
    assert_eq!(way.opened(), 2);
}

#[tokio::test]
async fn over_redis_a_node_that_is_parted_from_it_serves_its_own_agents_alone() {
    let origin = Origin::echo().await;
    let redis = Redis::fresh().await;
    let mut cluster = Cluster::over_redis(2, &redis).await;
    let agent = cluster.node(1).agent().publishing(&origin).await;
    let (near, far) = (
        cluster.node(1).visitor(&agent),
        cluster.node(0).visitor(&agent),
    );
    assert_eq!(far.get("/").await.status, 200);
    cluster.partition(1);
    assert_eq!(near.get("/").await.status, 200);
    cluster.heal(1);
    assert_eq!(far.get("/").await.status, 200);
    cluster.kill(1).await;
    assert_ne!(far.get("/").await.status, 200);
}
