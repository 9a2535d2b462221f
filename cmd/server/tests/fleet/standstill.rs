//! A node that stands still (SIGSTOP, a suspended machine): nothing is closed, and nothing answers.

use std::time::Duration;

use testkit::process::Key;
use tokio::time::{Instant, sleep};

use crate::stage::{Events, ONE_LINK, Stage, TWO_LINKS, gets, within};

/// Two probes unanswered are 2.5 s.
const NOTICED: Duration = Duration::from_secs(4);

/// How long a node stands still here: longer than others wait for it.
const LONG: Duration = Duration::from_secs(6);

#[tokio::test]
async fn others_do_not_wait_for_a_node_that_stands_still_and_it_runs_nothing_stale() {
    let stage = Stage::of(3).await;
    let agent = stage.agent_at(1).await;
    let key = Key::fresh();
    let port = stage.service.port();
    let other = stage.fleet.agent_of(2, &port, &key, ONE_LINK).await;
    let (visitor, others) = (
        stage.fleet.visitor_of(0, &agent),
        stage.fleet.visitor_of(0, &other),
    );
    let mut events = Events::of(&visitor).await;
    let began = Instant::now();
    stage.fleet.pause(1).await;
    let asking = async {
        let answer = visitor.post("/stale", "body").await;
        assert_eq!(answer.error(), Some("link-lost"));
        began.elapsed()
    };
    let neighbours = async {
        while began.elapsed() < NOTICED {
            let asked = Instant::now();
            assert_eq!(others.get("/").await.text(), "service");
            assert!(asked.elapsed() < Duration::from_secs(1), "{asked:?}");
            sleep(Duration::from_millis(100)).await;
        }
    };
    let (answered, cut, ()) = tokio::join!(asking, events.cut(), neighbours);
    assert!(answered < NOTICED, "answered after {answered:?}");
    assert!(cut < NOTICED, "cut after {cut:?}");

    // Known to be lost, it is not waited for again.
    let asked = Instant::now();
    assert_eq!(visitor.post("/stale", "body").await.status, 502);
    assert!(asked.elapsed() < NOTICED, "{:?}", asked.elapsed());

    sleep(LONG.saturating_sub(began.elapsed())).await;
    stage.fleet.resume(1).await;
    gets(&visitor, "service", NOTICED).await;
    gets(&stage.fleet.visitor_of(1, &agent), "service", NOTICED).await;
    gets(&stage.fleet.visitor_of(1, &other), "service", NOTICED).await;
    assert_eq!(stage.service.asked("POST /stale"), 0);
}

#[tokio::test]
async fn a_get_that_a_node_which_stands_still_has_taken_goes_over_the_other_link() {
    let stage = Stage::of(3).await;
    let door = stage.door(&[1, 2]).await;
    let agent = stage.agent_by(door.addr(), TWO_LINKS).await;
    stage.until_links(2).await;
    let visitor = stage.fleet.visitor_of(0, &agent);
    stage.fleet.pause(1).await;
    let began = Instant::now();
    let get = || visitor.get("/");
    // By turns over both links, so that some wait for the node.
    let (a, b, c, d) = tokio::join!(get(), get(), get(), get());
    for answer in [a, b, c, d] {
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "service"));
    }
    let took = began.elapsed();
    assert!(took < NOTICED, "answered after {took:?}");
    assert!(
        took > Duration::from_millis(500),
        "none went there: {took:?}"
    );
}

#[tokio::test]
async fn a_visitors_node_that_stands_still_is_given_up_by_the_node_of_the_link() {
    let stage = Stage::of(2).await;
    let agent = stage.agent_at(1).await;
    let mut events = Events::of(&stage.fleet.visitor_of(0, &agent)).await;
    assert_eq!(stage.service.origin.connections(), 1);
    stage.fleet.pause(0).await;
    let over = async || stage.service.origin.connections() == 0;
    within(NOTICED, "the service is left alone", over).await;
    let near = stage.fleet.visitor_of(1, &agent);
    assert_eq!(near.get("/").await.text(), "service");
    stage.fleet.resume(0).await;
    let cut = events.cut().await;
    assert!(cut < NOTICED, "cut after {cut:?}");
    gets(&stage.fleet.visitor_of(0, &agent), "service", NOTICED).await;
}
