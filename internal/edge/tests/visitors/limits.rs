//! Rates and connections, as those see them who exceed them.

use std::num::NonZeroU32;

use adit_edge::{Config, Rate};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::house::{House, PATIENCE, get, read};

/// So few a second that a test sees the burst only.
fn burst(burst: u32) -> Option<Rate> {
    Rate::new(1, burst)
}

fn trusting(config: Config) -> Config {
    Config {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..config
    }
}

fn by(address: &str) -> String {
    format!("X-Forwarded-For: {address}\r\n")
}

#[tokio::test]
async fn a_visitor_over_his_rate_is_told_which_it_is_and_when_to_come_back() {
    let house = House::with_key(trusting(Config {
        visitor_requests: burst(3),
        ..Config::default()
    }));
    let house = house.await;
    let host = House::key_host();
    let ask = async |address: &str| house.ask(&host, "/", &by(address)).await;
    for _ in 0..3 {
        assert_eq!(ask("192.0.2.7").await.status(), 200);
    }
    let answer = ask("192.0.2.7").await;
    assert_eq!((answer.status(), answer.error()), (429, "rate-limited"));
    assert_eq!(answer.field("retry-after"), "1");
    assert_eq!(answer.field("ratelimit-policy"), "\"visitor\";q=3;w=3");
    assert_eq!(answer.field("ratelimit"), "\"visitor\";r=0;t=1");
    assert_eq!(ask("192.0.2.8").await.status(), 200);
    for host in 0..3 {
        assert_eq!(ask(&format!("2001:db8::{host}")).await.status(), 200);
    }
    assert_eq!(ask("2001:db8::ffff").await.status(), 429);
    let same = by("192.0.2.7");
    let page = house.ask("adit.example", "/_adit/health/live", &same);
    assert_eq!(page.await.status(), 200, "the server's pages are no tunnel");
}

#[tokio::test]
async fn a_tunnel_over_its_rate_is_closed_to_all_and_the_next_one_is_not() {
    let house = House::with_key(trusting(Config {
        tunnel_requests: burst(3),
        ..Config::default()
    }));
    let house = house.await;
    house.grant("blog.adit.example", 2).await;
    for host in 0..3 {
        let visitor = by(&format!("192.0.2.{host}"));
        let answer = house.ask(&House::key_host(), "/", &visitor).await;
        assert_eq!(answer.status(), 200);
    }
    let answer = house.ask(&House::key_host(), "/", &by("192.0.2.99")).await;
    assert_eq!((answer.status(), answer.error()), (429, "rate-limited"));
    assert_eq!(answer.field("ratelimit-policy"), "\"tunnel\";q=3;w=3");
    assert_eq!(house.get("blog.adit.example").await.status(), 200);
}

#[tokio::test]
async fn whoever_tries_names_that_are_not_here_has_nothing_looked_up_for_a_while() {
    let house = House::with_key(trusting(Config {
        visitor_misses: burst(2),
        ..Config::default()
    }));
    let house = house.await;
    let ask = async |host: &str, address: &str| house.ask(host, "/", &by(address)).await;
    for host in ["a.adit.example", "b.adit.example", "c.adit.example"] {
        assert_eq!(ask(host, "192.0.2.7").await.error(), "unknown-host");
    }
    let answer = ask("d.adit.example", "192.0.2.7").await;
    assert_eq!((answer.status(), answer.error()), (429, "rate-limited"));
    assert_eq!(ask("d.adit.example", "192.0.2.8").await.status(), 404);
    let here = ask(&House::key_host(), "192.0.2.7").await;
    assert_eq!(here.status(), 200, "what is here needs no look-up");
}

fn at_most(connections: u32) -> Config {
    Config {
        max_connections_per_address: NonZeroU32::new(connections),
        ..Config::default()
    }
}

/// A connection that has been answered once, and stays.
async fn kept(house: &House) -> TcpStream {
    let mut connection = house.connect().await;
    let request = get(&House::key_host(), "/", "").replace("close", "keep-alive");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    let read = timeout(PATIENCE, connection.read_exact(&mut first)).await;
    read.expect("in time").unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    connection
}

/// Asks until it is let in: a connection that ends frees its place a moment later.
async fn until_let_in(house: &House) {
    let asking = async {
        while house.get(&House::key_host()).await.status() != 200 {
            sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("it is let in again");
}

#[tokio::test]
async fn an_address_with_all_its_connections_is_turned_away_until_one_ends() {
    let house = House::with_key(at_most(2)).await;
    let first = kept(&house).await;
    let _second = kept(&house).await;
    let answer = read(house.connect().await).await;
    assert_eq!((answer.status(), answer.error()), (429, "rate-limited"));
    drop(first);
    until_let_in(&house).await;
}

#[tokio::test]
async fn a_websocket_keeps_its_place() {
    let house = House::with_key(at_most(1)).await;
    let mut socket = house.connect().await;
    let upgrade = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        House::key_host()
    );
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    let read_in_time = timeout(PATIENCE, socket.read_exact(&mut first)).await;
    read_in_time.expect("in time").unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
    for _ in 0..3 {
        assert_eq!(read(house.connect().await).await.status(), 429);
    }
    drop(socket);
    until_let_in(&house).await;
}

#[tokio::test]
async fn a_proxy_has_as_many_connections_as_it_wants() {
    let house = House::with_key(trusting(at_most(1))).await;
    let _first = kept(&house).await;
    let _second = kept(&house).await;
    kept(&house).await;
}
