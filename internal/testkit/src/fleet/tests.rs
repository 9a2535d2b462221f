//! The kit alone: what a fleet does when it is hurt is tested with the server.

use super::*;
use crate::{balancer::Kind, origin::Origin};

#[tokio::test]
async fn a_node_behind_a_balancer_dies_and_comes_back_where_it_was() {
    let origin = Origin::echo().await;
    for kind in [Kind::HaProxy, Kind::Nginx] {
        let mut fleet = Fleet::of(1).behind(kind).on("memory").start().await;
        let key = Key::fresh();
        let agent = fleet.agent(&origin.port(), &key, &["-q"]).await;
        let port = format!(":{}", fleet.addr().port());
        assert!(agent.url.ends_with(&port), "{}", agent.url);
        assert_eq!(fleet.visitor(&agent).get("/").await.status, 200);

        let mut load = fleet.load(Load::at(100), &agent);
        load.succeeds(20).await;
        fleet.kill(0).await;
        fleet.start(0).await;
        fleet.until_balanced(0).await;
        load.succeeds(20).await;
        let report = load.stop().await;
        assert!(report.failed > 0, "{report}");
        assert_eq!(fleet.visitor_of(0, &agent).get("/").await.status, 200);
        assert!(fleet.stop(0).await.success());
    }
}

#[tokio::test]
async fn three_nodes_and_a_redis_are_one_fleet() {
    let origin = Origin::echo().await;
    let mut fleet = Fleet::of(3)
        .behind(Kind::HaProxy)
        .with("grace = \"5s\"")
        .with_faults()
        .start()
        .await;
    let key = Key::fresh();
    let agent = fleet.agent_of(0, &origin.port(), &key, &["-q"]).await;
    for index in 0..3 {
        let visitor = fleet.visitor_of(index, &agent);
        assert_eq!(visitor.get("/").await.status, 200, "node {index}");
        assert!(fleet.way_to_redis(index).open() > 0);
    }
    let mut load = fleet.load(Load::at(50), &agent);
    load.succeeds(20).await;
    assert!(fleet.stop(2).await.success());
    load.succeeds(20).await;
    drop(load);
    assert_eq!(fleet.visitor(&agent).get("/").await.status, 200);
}
