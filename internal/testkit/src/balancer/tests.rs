//! Both balancers, in front of plain services.

use http::{Response, StatusCode};
use tokio::net::TcpListener;

use super::*;
use crate::{
    origin::{Origin, full},
    visitor::Visitor,
};

/// A service that answers with its own name, and is healthy.
async fn named(name: &'static str) -> Origin {
    Origin::serving(move |_| async move { Response::new(full(name)) }).await
}

fn visitor(balancer: &Balancer) -> Visitor {
    Visitor::new(balancer.addr(), "anything.localhost:1")
}

/// Who answers so many requests, sorted and each named once.
async fn who_answers(balancer: &Balancer, requests: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..requests {
        let answer = visitor(balancer).get("/").await;
        assert_eq!(answer.status, 200);
        names.push(answer.text().to_owned());
    }
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn requests_are_spread() {
    let (one, two) = (named("one").await, named("two").await);
    for kind in [Kind::HaProxy, Kind::Nginx] {
        let servers = [one.addr, two.addr];
        let balancer = Balancer::start(kind, Port::free(), &servers).await;
        assert_eq!(who_answers(&balancer, 8).await, ["one", "two"], "{kind:?}");
    }
}

#[tokio::test]
async fn haproxy_is_told_who_is_taken_out_and_in() {
    let (one, two) = (named("one").await, named("two").await);
    let haproxy = HaProxy::before(&[one.addr, two.addr]).await;
    haproxy.without(two.addr).await;
    assert!(haproxy.is_up(one.addr).await && !haproxy.is_up(two.addr).await);
    let balancer = Balancer::HaProxy(haproxy);
    assert_eq!(who_answers(&balancer, 8).await, ["one"]);
    let Balancer::HaProxy(haproxy) = &balancer else {
        panic!("it was one");
    };
    haproxy.with(two.addr).await;
    haproxy.until(two.addr, true).await;
    assert_eq!(who_answers(&balancer, 40).await, ["one", "two"]);
}

#[tokio::test]
async fn a_server_that_is_gone_costs_no_request() {
    let one = named("one").await;
    for kind in [Kind::HaProxy, Kind::Nginx] {
        let gone = Port::free();
        let balancer = Balancer::start(kind, Port::free(), &[gone.addr(), one.addr]).await;
        assert_eq!(who_answers(&balancer, 8).await, ["one"], "{kind:?}");
    }
}

#[tokio::test]
async fn hosts_upgrades_and_peers_are_passed_on() {
    let origin = Origin::echo().await;
    for kind in [Kind::HaProxy, Kind::Nginx] {
        let balancer = Balancer::start(kind, Port::free(), &[origin.addr]).await;
        let mut raw = visitor(&balancer).raw().await;
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        raw.say("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
            .await;
        raw.say(&format!(
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ))
        .await;
        let seen = raw.until("\n\n").await;
        let seen = String::from_utf8(seen).unwrap().to_ascii_lowercase();
        for wanted in [
            "host: anything.localhost:1\n",
            "upgrade: websocket\n",
            "connection: upgrade\n",
            "x-forwarded-for: 127.0.0.1\n",
            "x-forwarded-proto: http\n",
        ] {
            assert!(seen.contains(wanted), "{kind:?}: {seen}");
        }
    }
}

#[tokio::test]
async fn haproxy_notices_who_is_not_ready() {
    let gone = Port::free();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let unready = Origin::serving(|_| async {
        let mut answer = Response::new(full(""));
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        answer
    });
    let (unready, ready) = (unready.await, named("ready").await);
    let haproxy = HaProxy::before(&[gone.addr(), silent, unready.addr, ready.addr]).await;
    for server in [gone.addr(), silent, unready.addr] {
        haproxy.until(server, false).await;
    }
    assert!(haproxy.is_up(ready.addr).await);
}
