//! A link whose packets are swallowed: neither side is told.

use std::time::Duration;

use testkit::{fault::FaultProxy, fleet::Fleet, load::Load, process::Agent};
use tokio::time::Instant;

use crate::{
    service::Service,
    stage::{ONE_LINK, Stage, gets, only, tell, within},
};

/// With a tenth of the times of the defaults, so that the 20 s in which a dead link is noticed are 2.
const QUICK: &str = "[links]\nping_after = \"1s\"\ndead_after = \"2s\"";

/// Those 2 s, and the way of the news to other nodes.
const NOTICED: Duration = Duration::from_secs(4);

/// After which a silent link is dead by default.
const DEAD: Duration = Duration::from_secs(20);

/// What a busy machine adds.
const AND_A_BIT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_link_that_swallows_everything_is_noticed_in_time_and_made_again() {
    let stage = Stage::with(Fleet::of(2).with(QUICK)).await;
    let way = FaultProxy::to(stage.fleet.addr_of(1)).await;
    let agent = stage.agent_by(way.addr(), ONE_LINK).await;
    let visitor = stage.fleet.visitor_of(0, &agent);
    let mut began = None;
    let stalling = async {
        stage.service.until_asked("GET /hold", 1).await;
        way.stall();
        began = Some(Instant::now());
    };
    let (held, ()) = tokio::join!(visitor.get("/hold"), stalling);
    let noticed = began.unwrap().elapsed();
    assert_eq!(held.error(), Some("link-lost"));
    assert!(noticed < NOTICED, "noticed after {noticed:?}");
    within(NOTICED, "it is offline", async || {
        visitor.get("/").await.error() == Some("tunnel-offline")
    })
    .await;
    way.resume();
    // The agent had noticed too, and has tried ever since.
    gets(&visitor, "service", Duration::from_secs(15)).await;
}

#[tokio::test]
async fn the_name_of_a_half_open_link_is_usable_at_once_elsewhere() {
    let stage = Stage::of(3).await;
    let way = FaultProxy::to(stage.fleet.addr_of(1)).await;
    let mut old = stage.agent_by(way.addr(), ONE_LINK).await;
    for node in [0, 1, 2] {
        let visitor = stage.fleet.visitor_of(node, &old);
        assert_eq!(visitor.get("/").await.text(), "service");
    }
    way.stall();
    let new = Service::named("new").await;
    let addr = stage.fleet.addr_of(2);
    let agent = Agent::dial(addr, &new.port(), &stage.key, ONE_LINK).await;
    for node in [0, 1, 2] {
        let visitor = stage.fleet.visitor_of(node, &agent);
        let took = gets(&visitor, "new", Duration::from_secs(3)).await;
        assert!(took < Duration::from_secs(1), "node {node} after {took:?}");
    }
    way.resume();
    assert_eq!(old.program.ended().await.code(), Some(4));
    let visitor = stage.fleet.visitor_of(1, &agent);
    assert_eq!(visitor.get("/").await.text(), "new");
}

/// With the times of the defaults: asked after 10 s of silence, dead after 20 s.
#[tokio::test]
async fn by_default_a_link_that_swallows_everything_is_noticed_after_20_s_on_both_sides() {
    let stage = Stage::of(2).await;
    let way = FaultProxy::to(stage.fleet.addr_of(1)).await;
    let mut old = stage.agent_by(way.addr(), ONE_LINK).await;
    let held = Load::at(1).of("/hold").patience(DEAD * 2);
    let held = held.through(stage.fleet.addr_of(0), old.host());
    stage.service.until_asked("GET /hold", 1).await;
    way.stall();
    let began = Instant::now();
    let lost = async || held.so_far().failed > 0;
    within(DEAD + AND_A_BIT, "what waits is ended", lost).await;
    let noticed = began.elapsed();
    old.program
        .says("nothing was heard from the server for 20 s")
        .await;
    let by_agent = began.elapsed();
    assert!(
        by_agent < DEAD + AND_A_BIT,
        "the agent noticed after {by_agent:?}"
    );

    // It cannot come back the way it came, its owner can.
    let asked = Instant::now();
    let new = Service::named("new").await;
    let addr = stage.fleet.addr_of(0);
    let agent = Agent::dial(addr, &new.port(), &stage.key, ONE_LINK).await;
    let registered = asked.elapsed();
    gets(
        &stage.fleet.visitor_of(0, &agent),
        "new",
        Duration::from_secs(1),
    )
    .await;
    gets(
        &stage.fleet.visitor_of(1, &agent),
        "new",
        Duration::from_secs(1),
    )
    .await;
    way.resume();
    assert_eq!(old.program.ended().await.code(), Some(4));
    only(&held.stop().await, &["link-lost", "tunnel-offline"]);
    tell(&format!(
        "noticed after {noticed:?}, by the agent after {by_agent:?}; registered in {registered:?}"
    ));
}
