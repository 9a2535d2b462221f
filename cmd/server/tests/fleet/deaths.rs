//! `kill -9` of a node.

use std::time::Duration;

use testkit::{fleet::Fleet, load::Load, origin::Origin, process::Key, socket};
use tokio::time::Instant;

use crate::stage::{Events, ONE_LINK, Stage, TWO_LINKS, alone, gets, only, within};

/// In which an agent is back, or what was in flight has ended: 2 s and 3 s are promised.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test]
async fn with_one_link_the_death_of_its_node_costs_a_short_gap_with_a_name() {
    let _machine = alone().await;
    let mut stage = Stage::of(3).await;
    let door = stage.door(&[1, 2]).await;
    let mut agent = stage.agent_by(door.addr(), ONE_LINK).await;
    let mut load = Load::at(100).through(stage.fleet.addr_of(0), agent.host());
    load.succeeds(50).await;
    stage.fleet.kill(1).await;
    let killed = Instant::now();
    agent.program.says("again by WebSocket; visitors").await;
    let back = killed.elapsed();
    load.succeeds(100).await;
    let report = load.stop().await;
    only(&report, &["link-lost", "tunnel-offline"]);
    assert!(report.failed > 0, "the node did hold the link: {report}");
    assert!(back < Duration::from_secs(2), "back after {back:?}");
    assert!(report.longest_gap < SOON, "{report}");
}

#[tokio::test]
async fn with_two_links_the_death_of_a_node_costs_no_get_and_almost_no_gap() {
    let _machine = alone().await;
    let mut stage = Stage::of(3).await;
    let door = stage.door(&[1, 2]).await;
    let agent = stage.agent_by(door.addr(), TWO_LINKS).await;
    stage.until_links(2).await;
    let mut load = Load::at(100).through(stage.fleet.addr_of(0), agent.host());
    load.succeeds(50).await;
    stage.fleet.kill(1).await;
    load.succeeds(100).await;
    let report = load.stop().await;
    only(&report, &["link-lost"]);
    for failure in &report.failures {
        assert!(failure.request.starts_with("POST"), "{failure}\n{report}");
    }
    assert!(report.longest_gap < Duration::from_secs(1), "{report}");
}

#[tokio::test]
async fn a_get_that_was_under_way_over_the_dead_node_goes_over_the_other_link() {
    let mut stage = Stage::of(3).await;
    let door = stage.door(&[1, 2]).await;
    let agent = stage.agent_by(door.addr(), TWO_LINKS).await;
    stage.until_links(2).await;
    let visitor = stage.fleet.visitor_of(0, &agent);
    let killing = async {
        stage.service.until_asked("GET /hold", 4).await;
        stage.fleet.kill(1).await;
        // Those that were lost come again.
        stage.service.until_asked("GET /hold", 5).await;
        stage.service.release();
    };
    let get = || visitor.get("/hold");
    let (a, b, c, d, ()) = tokio::join!(get(), get(), get(), get(), killing);
    for answer in [a, b, c, d] {
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "service"));
    }
}

#[tokio::test]
async fn what_is_under_way_on_other_nodes_ends_soon_after_the_node_of_the_link_died() {
    let mut stage = Stage::of(2).await;
    let agent = stage.agent_at(1).await;
    let sockets = Origin::echoing_sockets().await;
    let key = Key::fresh();
    let to_sockets = stage
        .fleet
        .agent_of(1, &sockets.port(), &key, ONE_LINK)
        .await;
    let visitor = stage.fleet.visitor_of(0, &agent);
    let mut events = Events::of(&visitor).await;
    let mut open = stage
        .fleet
        .visitor_of(0, &to_sockets)
        .open_socket("/")
        .await;
    let mut killed = None;
    let killing = async {
        stage.service.until_asked("GET /hold", 1).await;
        stage.service.until_asked("POST /hold", 1).await;
        stage.fleet.kill(1).await;
        killed = Some(Instant::now());
    };
    let (get, post, ()) =
        tokio::join!(visitor.get("/hold"), visitor.post("/hold", "body"), killing);
    for answer in [get, post] {
        assert_eq!(answer.status, 502);
        assert_eq!(answer.error(), Some("link-lost"));
    }
    events.cut().await;
    socket::end(&mut open).await;
    let took = killed.unwrap().elapsed();
    assert!(took < SOON, "ended after {took:?}");
    let asked = Instant::now();
    let next = visitor.post("/", "body").await;
    assert_eq!(next.error(), Some("tunnel-offline"));
    assert!(asked.elapsed() < Duration::from_secs(1), "said at once");
}

#[tokio::test]
async fn the_death_of_the_visitors_node_ends_their_work_at_the_service() {
    let mut stage = Stage::with(Fleet::of(2)).await;
    let agent = stage.agent_at(1).await;
    let _events = Events::of(&stage.fleet.visitor_of(0, &agent)).await;
    assert_eq!(stage.service.origin.connections(), 1);
    stage.fleet.kill(0).await;
    let over = async || stage.service.origin.connections() == 0;
    within(SOON, "the service is left alone", over).await;
    let near = stage.fleet.visitor_of(1, &agent);
    assert_eq!(near.get("/").await.text(), "service");
    stage.fleet.start(0).await;
    gets(&stage.fleet.visitor_of(0, &agent), "service", SOON).await;
}
