//! An agent's links to several nodes.

use std::{collections::BTreeSet, time::Duration};

use testkit::redis::Redis;

use crate::stage::{Stage, TWO_LINKS, keys, within};

/// In which an agent finds another node.
const FOUND: Duration = Duration::from_secs(10);

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
