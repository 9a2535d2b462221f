//! What Redis does to a fleet that is in use.

use std::time::Duration;

use http::header::RETRY_AFTER;
use testkit::{
    fleet::Fleet,
    load::Load,
    process::{Agent, Key},
    redis::Sentinels,
    visitor::{PATIENCE, Visitor},
};
use tokio::time::{Instant, sleep};

use crate::{
    service::Service,
    stage::{Events, ONE_LINK, Stage, gets, none_lost, tell, within},
};

/// From when Redis is back to when everything works: 2 s are promised.
const BACK: Duration = Duration::from_secs(3);

/// How long Redis is away where it is away for long.
const OUTAGE: Duration = Duration::from_secs(30);

/// Waits until that visitor is told that the bus is away.
async fn is_told(visitor: &Visitor, limit: Duration) {
    within(limit, "the visitor is told", async || {
        let answer = visitor.get("/").await;
        let told = answer.error() == Some("bus-unavailable");
        if told {
            assert_eq!(answer.status, 503);
            assert!(answer.headers.contains_key(RETRY_AFTER));
        }
        told
    })
    .await;
}

/// Until then that visitor is told nothing else.
async fn is_told_until(visitor: &Visitor, end: Instant) {
    while Instant::now() < end {
        let asked = Instant::now();
        let answer = visitor.get("/").await;
        let told = (answer.status.as_u16(), answer.error());
        assert_eq!(told, (503, Some("bus-unavailable")));
        assert!(answer.headers.contains_key(RETRY_AFTER));
        assert!(asked.elapsed() < Duration::from_secs(1), "said at once");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_restart_that_forgets_everything_is_over_soon() {
    let mut stage = Stage::of(2).await;
    let agent = stage.agent_at(1).await;
    let far = stage.fleet.visitor_of(0, &agent);
    assert_eq!(far.get("/").await.text(), "service");
    stage.fleet.redis.stop().await;
    stage.fleet.redis.start().await;
    let took = gets(&far, "service", BACK).await;
    assert!(took < BACK, "{took:?}");
    assert_eq!(
        agent.program.said("lost"),
        0,
        "{:?}",
        agent.program.output()
    );
}

#[tokio::test]
async fn through_an_outage_of_30_s_nodes_serve_their_own_and_register_whom_they_announce_later() {
    let mut stage = Stage::of(2).await;
    let agent = stage.agent_at(1).await;
    let far = stage.fleet.visitor_of(0, &agent);
    assert_eq!(far.get("/").await.text(), "service");
    let mut events = Events::of(&stage.fleet.visitor_of(1, &agent)).await;
    let mut load = Load::at(50).through(stage.fleet.addr_of(1), agent.host());
    load.succeeds(20).await;
    stage.fleet.redis.stop().await;
    let began = Instant::now();
    is_told(&far, BACK).await;
    // Longer than a lease lives, and than anything that was found is believed.
    is_told_until(&far, began + OUTAGE / 2).await;
    let key = Key::fresh();
    let port = stage.service.port();
    let newcomer = stage.fleet.agent_of(1, &port, &key, ONE_LINK).await;
    let near = stage.fleet.visitor_of(1, &newcomer);
    assert_eq!(near.get("/").await.text(), "service");
    let unknown = stage.fleet.visitor_of(0, &newcomer);
    is_told(&unknown, BACK).await;
    is_told_until(&far, began + OUTAGE).await;
    assert_eq!(near.get("/").await.text(), "service");
    events.next().await;

    stage.fleet.redis.start().await;
    let back = Instant::now();
    gets(&far, "service", BACK).await;
    gets(&unknown, "service", BACK).await;
    let took = back.elapsed();
    assert!(took < BACK, "after {took:?}");
    events.next().await;
    none_lost(&load.stop().await);
    tell(&format!("back after {took:?}"));
}

#[tokio::test]
async fn a_failover_by_sentinels_is_over_soon_after_they_have_chosen() {
    let mut watched = Sentinels::fresh().await;
    let stage = Stage::with(Fleet::of(2).on(&watched.url())).await;
    let agent = stage.agent_at(1).await;
    let far = stage.fleet.visitor_of(0, &agent);
    assert_eq!(far.get("/").await.text(), "service");
    let mut load = Load::at(50).through(stage.fleet.addr_of(1), agent.host());
    load.succeeds(20).await;
    watched.master.stop().await;
    is_told(&far, BACK).await;
    watched.promoted().await;
    let chosen = Instant::now();
    gets(&far, "service", BACK).await;
    let took = chosen.elapsed();

    // What comes back is a replica, and nobody falls for it.
    watched.agreed().await;
    watched.master.start().await;
    watched.demoted().await;
    let new = Service::named("new").await;
    let addr = stage.fleet.addr_of(0);
    let newer = Agent::dial(addr, &new.port(), &stage.key, ONE_LINK).await;
    for node in [0, 1] {
        let visitor = stage.fleet.visitor_of(node, &newer);
        gets(&visitor, "new", Duration::from_secs(1)).await;
    }
    none_lost(&load.stop().await);
    assert!(took < BACK, "after {took:?}");
    tell(&format!("found after {took:?}"));
}

#[tokio::test]
async fn a_redis_that_stands_still_is_noticed_and_forgiven() {
    let stage = Stage::of(2).await;
    let agent = stage.agent_at(1).await;
    let far = stage.fleet.visitor_of(0, &agent);
    let near = stage.fleet.visitor_of(1, &agent);
    assert_eq!(far.get("/").await.text(), "service");
    stage.fleet.redis.pause().await;
    let noticed = Instant::now();
    is_told(&far, Duration::from_secs(6)).await;
    let noticed = noticed.elapsed();
    assert!(noticed < Duration::from_secs(5), "after {noticed:?}");
    let asked = Instant::now();
    assert_eq!(near.get("/").await.text(), "service");
    assert!(asked.elapsed() < Duration::from_secs(1));
    stage.fleet.redis.resume().await;
    gets(&far, "service", BACK).await;
}

#[tokio::test]
async fn subscribers_that_are_thrown_out_come_back() {
    let stage = Stage::of(2).await;
    let agent = stage.agent_at(1).await;
    let far = stage.fleet.visitor_of(0, &agent);
    assert_eq!(far.get("/").await.text(), "service");
    for _ in 0..2 {
        assert!(stage.fleet.redis.kill_clients("pubsub").await >= 2);
        gets(&far, "service", BACK).await;
    }
}

#[tokio::test]
async fn a_full_redis_keeps_what_it_knows_and_learns_the_rest_when_there_is_room() {
    let stage = Stage::with(Fleet::of(2).with_redis(&["--maxmemory", "8mb"])).await;
    let redis = &stage.fleet.redis;
    let agent = stage.agent_at(1).await;
    let far = stage.fleet.visitor_of(0, &agent);
    assert_eq!(far.get("/").await.text(), "service");
    let much = vec![b'x'; 256 << 10];
    let mut fill = 0;
    while redis
        .try_command([b"SET", format!("fill{fill}").as_bytes(), &much])
        .await
        .is_ok()
    {
        fill += 1;
    }
    let full = Instant::now();
    let key = Key::fresh();
    let port = stage.service.port();
    let newcomer = stage.fleet.agent_of(1, &port, &key, ONE_LINK).await;
    let near = stage.fleet.visitor_of(1, &newcomer);
    assert_eq!(near.get("/").await.text(), "service");
    // Longer than a lease lives that nobody could renew.
    while full.elapsed() < Duration::from_secs(7) {
        assert_eq!(far.get("/").await.text(), "service");
        sleep(Duration::from_millis(200)).await;
    }
    for number in 0..fill {
        redis.command(["DEL", &format!("fill{number}")]).await;
    }
    let unknown = stage.fleet.visitor_of(0, &newcomer);
    gets(&unknown, "service", PATIENCE.min(BACK * 2)).await;
}
