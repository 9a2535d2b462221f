//! What is left when everybody has gone, and what was never there.

use std::time::Duration;

use testkit::{
    cluster::{Cluster, until_none},
    redis::Redis,
};

use crate::{
    service::{Service, large},
    stage::{Stage, keys, within},
};

#[tokio::test]
async fn visitors_who_leave_leave_nothing_behind() {
    let redis = Redis::fresh().await;
    let cluster = Cluster::over_redis(2, &redis).await;
    let service = Service::named("service").await;
    let agent = cluster.node(1).agent().publishing(&service.origin).await;
    let visitor = cluster.node(0).visitor(&agent);
    let mut leaving = Vec::new();
    for request in [
        "GET /hold HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /large HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nnot all of it",
        "POST /hold HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n\r\nbody",
    ] {
        for _ in 0..10 {
            let mut raw = visitor.raw().await;
            raw.say(request).await;
            leaving.push(raw);
        }
    }
    service.until_asked("POST /hold", 10).await;
    service.until_asked("GET /events", 10).await;
    assert!(cluster.node(0).edge.exchanges() > 0 && cluster.node(1).streams() > 0);
    drop(leaving);
    for node in [0, 1] {
        until_none("exchanges", || cluster.node(node).edge.exchanges()).await;
        until_none("streams", || cluster.node(node).streams()).await;
    }
    assert_eq!(visitor.post("/echo", large()).await.body, large());

    // Two leases, and of the one tunnel its links and its past.
    let size = redis.command(["DBSIZE"]).await.number();
    assert_eq!(size, 4, "{:?}", keys(&redis, "").await);
    agent.stop().await;
    let withdrawn = async || keys(&redis, ":links").await.is_empty();
    within(Duration::from_secs(2), "the route is withdrawn", withdrawn).await;
}

#[tokio::test]
async fn requests_to_a_link_of_the_same_node_do_not_touch_redis() {
    let stage = Stage::of(2).await;
    let agent = stage.agent_at(1).await;
    let (far, near) = (
        stage.fleet.visitor_of(0, &agent),
        stage.fleet.visitor_of(1, &agent),
    );
    let redis = &stage.fleet.redis;
    assert_eq!(near.get("/").await.text(), "service");
    let before = redis.calls("publish").await;
    for number in 0..100 {
        let body = format!("{number}");
        assert_eq!(near.post("/echo", body.clone()).await.text(), body);
    }
    assert_eq!(redis.calls("publish").await, before);
    assert_eq!(far.get("/").await.text(), "service");
    assert!(redis.calls("publish").await > before);
}
