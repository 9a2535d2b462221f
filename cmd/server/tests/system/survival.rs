//! Restarts, deaths and takeovers.

use std::time::Duration;

use http::Response;
use testkit::{
    origin::{Origin, full},
    process::{Agent, Key, Server},
    visitor::Visitor,
};
use tokio::time::{Instant, timeout};

async fn says(name: &'static str) -> Origin {
    Origin::serving(move |_| async move { Response::new(full(name)) }).await
}

/// Asks until the answer is good; how long that took.
async fn until_it_works(visitor: &Visitor, limit: Duration) -> Duration {
    let started = Instant::now();
    let asking = async {
        while visitor.get("/").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(limit, asking)
        .await
        .expect("the tunnel works again");
    started.elapsed()
}

#[tokio::test]
async fn an_agent_that_is_gone_is_a_502_within_a_second() {
    let server = Server::start(&[]).await;
    let origin = says("x").await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let visitor = agent.visitor();
    assert_eq!(visitor.get("/").await.status, 200);
    agent.program.kill().await;
    let gone = timeout(Duration::from_secs(1), async {
        while visitor.get("/").await.error() != Some("tunnel-offline") {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("offline within a second");
}

#[tokio::test]
async fn a_killed_agent_that_comes_back_with_its_key_has_its_hostname_at_once() {
    let server = Server::start(&[]).await;
    let origin = says("x").await;
    let key = Key::fresh();
    let first = Agent::publish(&server, &origin.port(), &key, &["-q"]).await;
    let url = first.url.clone();
    first.program.kill().await;
    let second = Agent::publish(&server, &origin.port(), &key, &["-q"]).await;
    assert_eq!(second.url, url);
    let took = until_it_works(&second.visitor(), Duration::from_secs(1)).await;
    assert!(took < Duration::from_secs(1));
}

#[tokio::test]
async fn a_stopped_agent_that_never_said_goodbye_does_not_hold_its_name() {
    let server = Server::start(&[]).await;
    let origin = says("x").await;
    let key = Key::fresh();
    let first = Agent::publish(&server, &origin.port(), &key, &["-q"]).await;
    first.program.signal("STOP").await;
    let second = Agent::publish(&server, &origin.port(), &key, &["-q"]).await;
    until_it_works(&second.visitor(), Duration::from_secs(1)).await;
    first.program.signal("CONT").await;
}

#[tokio::test]
async fn a_quiet_link_outlives_the_clocks_of_http() {
    let server =
        Server::configured("[visitors]\nheader_timeout = \"200ms\"\nidle_timeout = \"200ms\"")
            .await;
    let origin = says("x").await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &[]).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(agent.visitor().get("/").await.text(), "x");
    assert_eq!(
        server.program.said("an agent registered"),
        1,
        "{:?}",
        server.program.output()
    );
}

#[tokio::test]
async fn the_older_agent_is_told_that_it_was_replaced_and_stays_away() {
    let server = Server::start(&[]).await;
    let (old, new) = (says("old").await, says("new").await);
    let key = Key::fresh();
    let mut first = Agent::publish(&server, &old.port(), &key, &[]).await;
    let second = Agent::publish(&server, &new.port(), &key, &[]).await;
    let status = first.program.ended().await;
    assert_eq!(status.code(), Some(4), "{:?}", first.program.output());
    assert_eq!(second.visitor().get("/").await.text(), "new");
}

#[tokio::test]
async fn an_agent_comes_back_by_itself_when_its_server_restarts() {
    let server = Server::start(&[]).await;
    let origin = says("x").await;
    let mut agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &[]).await;
    let addr = server.addr.to_string();
    server.program.kill().await;
    let server = Server::at(&addr, &[]).await;
    let visitor = Visitor::new(server.addr, agent.host());
    until_it_works(&visitor, Duration::from_secs(15)).await;
    assert!(
        agent.program.output().len() > 1,
        "it said what happened: {:?}",
        agent.program.output()
    );
    agent.program.signal("TERM").await;
    assert_eq!(agent.program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_server_that_is_asked_to_stop_finishes_what_is_under_way() {
    let mut server = Server::start(&[]).await;
    let (go, gone) = tokio::sync::watch::channel(false);
    let (began, mut begun) = tokio::sync::mpsc::channel(1);
    let origin = Origin::serving(move |_| {
        let (mut gone, began) = (gone.clone(), began.clone());
        async move {
            began.send(()).await.unwrap();
            gone.wait_for(|go| *go).await.unwrap();
            Response::new(full("whole"))
        }
    })
    .await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let visitor = agent.visitor();
    let stopping = async {
        begun.recv().await.unwrap();
        server.program.signal("TERM").await;
        server.program.says("drain").await;
        go.send(true).unwrap();
    };
    let (answer, ()) = tokio::join!(visitor.get("/"), stopping);
    assert_eq!(answer.text(), "whole");
    assert_eq!(server.program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_hold_a_stopping_server() {
    // Longer than any step of a test may take: waiting for the clock would fail.
    let mut server =
        Server::configured("grace = \"60s\"\n[visitors]\nheader_timeout = \"60s\"").await;
    let _silent = server.visitor().raw().await;
    assert_eq!(
        server.visitor().get("/").await.status,
        200,
        "the silent one has been accepted before"
    );
    server.program.signal("TERM").await;
    assert_eq!(server.program.ended().await.code(), Some(0));
}
