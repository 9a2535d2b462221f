//! A visitor who takes next to nothing of a large download from another node.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use testkit::{fleet::Fleet, redis::Redis};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    service::DOWNLOAD,
    stage::{Stage, alone},
};

/// What Redis may keep for a subscriber for a minute, by its defaults.
const SOFT_LIMIT: usize = 8 << 20;

/// The most that Redis keeps for a subscriber now.
async fn kept(redis: &Redis) -> usize {
    let clients = redis.command(["CLIENT", "LIST", "TYPE", "pubsub"]).await;
    let clients = clients.text();
    let words = clients.split_whitespace();
    let kept = words.filter_map(|word| word.strip_prefix("omem=")?.parse().ok());
    kept.max().expect("nodes are subscribed")
}

#[tokio::test]
async fn a_slow_visitor_of_a_large_download_costs_redis_and_others_nothing() {
    let _machine = alone().await;
    let stage = Stage::with(Fleet::of(2).with("[exchanges]\nmax_body = \"unlimited\"")).await;
    let redis = &stage.fleet.redis;
    let agent = stage.agent_at(1).await;
    let visitor = stage.fleet.visitor_of(0, &agent);
    let request = Request::get("/download").body(Empty::<Bytes>::new());
    let (response, _connection) = visitor.open(request.unwrap()).await;
    let mut body = response.into_body();
    let mut got = 0;
    let mut most = 0;
    // He reads a piece now and then …
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        let frame = body.frame().await.unwrap().unwrap();
        got += frame.into_data().unwrap().len();
        let asked = Instant::now();
        assert_eq!(visitor.get("/").await.text(), "service");
        assert!(asked.elapsed() < Duration::from_secs(1));
        most = most.max(kept(redis).await);
        sleep(Duration::from_millis(50)).await;
    }
    assert!(got < DOWNLOAD / 2, "he was slow: {got}");
    // … and then all that is left.
    let reading = async {
        while let Some(frame) = body.frame().await {
            got += frame.unwrap().into_data().unwrap().len();
            if got.is_multiple_of(64) {
                most = most.max(kept(redis).await);
            }
        }
    };
    timeout(Duration::from_secs(40), reading)
        .await
        .expect("it ends");
    assert_eq!(got, DOWNLOAD);
    assert!(most < SOFT_LIMIT, "{most} bytes");
}
