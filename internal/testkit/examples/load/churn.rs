//! Agents that come, serve one request and go, many a second, over all the nodes of a fleet.
//!
//! Each is looked for at the node after its own: there it must be found as soon as it is registered, and not any more
//! once it has left.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use adit_testkit::hostile::{dial, wish};
use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use identity::SecretKey;
use messages::{Disconnect, DisconnectCode, Frame, Message, ResponseHead, StreamId};
use tokio::{
    io::AsyncReadExt,
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tunnel::{handshake::register, ws::Connected};

use crate::{
    figures::Latencies,
    wire::{Head, get, open},
};

/// Lives at one time; at their usual length far more than the rate needs.
const AT_ONCE: usize = 512;

/// What a visitor waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was seen of one agent.
struct Life {
    registered: Duration,
    /// It was found where and when it had to be.
    found: bool,
    /// It was not found after it had left.
    gone: bool,
}

pub(crate) async fn run(nodes: &[SocketAddr], rate: u32, seconds: u64) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut lives = JoinSet::new();
    let mut pace = interval(Duration::from_secs(1) / rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    for turn in 0..usize::try_from(u64::from(rate) * seconds).expect("a count") {
        pace.tick().await;
        let place = places.clone().acquire_owned().await.expect("never closed");
        let home = nodes[turn % nodes.len()];
        let elsewhere = nodes[(turn + 1) % nodes.len()];
        lives.spawn(async move {
            let life = live(home, elsewhere).await;
            drop(place);
            life
        });
    }
    let took = began.elapsed().as_secs_f64();
    report(&lives.join_all().await, took);
}

fn report(lives: &[Life], took: f64) {
    let count = lives.len();
    let missed = lives.iter().filter(|life| !life.found).count();
    let lingered = lives.iter().filter(|life| !life.gone).count();
    let mut latencies = Latencies::default();
    for life in lives {
        latencies.note(life.registered);
    }
    println!(
        r#"{{"lives": {count}, "rate": {:.1}, "missed": {missed}, "lingered": {lingered}, {}}}"#,
        count as f64 / took,
        latencies.json()
    );
}

async fn live(home: SocketAddr, elsewhere: SocketAddr) -> Life {
    let began = Instant::now();
    let mut link = dial(&format!("http://127.0.0.1:{}", home.port())).await;
    let granted = register(
        &mut link.transport,
        &SecretKey::generate(),
        &wish("127.0.0.1"),
    )
    .await
    .expect("the node grants");
    let registered = began.elapsed();
    let found = tokio::select! {
        status = ask(elsewhere, &granted.hostname) => status == Some(200),
        () = serve(&mut link) => false,
    };
    let goodbye = Disconnect::new(DisconnectCode::Leaving, "").encode();
    drop(link.transport.send(goodbye).await);
    // The node closes once it has withdrawn the route.
    while let Some(Ok(_)) = link.transport.next().await {}
    let gone = ask(elsewhere, &granted.hostname).await == Some(502);
    Life {
        registered,
        found,
        gone,
    }
}

/// Answers what is asked until the node closes the link.
async fn serve(link: &mut Connected) {
    while let Some(Ok(bytes)) = link.transport.next().await {
        let frame = Frame::decode(bytes).expect("the node speaks the protocol");
        let answer = match Message::decode(&frame) {
            Ok(Message::HttpRequest { .. }) => ok(frame.stream),
            Ok(Message::Ping(data)) => Frame::pong(data),
            _ => continue,
        };
        if link.transport.send(answer).await.is_err() {
            return;
        }
    }
}

fn ok(stream: StreamId) -> Frame {
    let head = ResponseHead {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
    };
    head.encode(stream, b"here", true)
        .expect("a short head fits")
}

/// The status that a visitor gets, on a connection of his own.
async fn ask(node: SocketAddr, host: &str) -> Option<u16> {
    let answer = async {
        let mut tcp = open(node, &get(host, "/", false)).await;
        let mut buffer = BytesMut::new();
        loop {
            if let Some(head) = Head::take(&mut buffer) {
                return head.line().split(' ').nth(1)?.parse().ok();
            }
            if tcp.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
    };
    timeout(PATIENCE, answer).await.ok().flatten()
}
