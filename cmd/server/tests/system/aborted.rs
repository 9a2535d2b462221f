//! Visitors who leave: nothing of their exchanges is left on any hop. Counts are read inside, in one process.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future::pending, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use testkit::{
    cluster::{Cluster, until_none},
    origin::{Origin, OriginBody, full},
    visitor::{PATIENCE, Visitor},
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

/// Exchanges of each kind.
const EACH: usize = 5_000;

/// Visitors at one time.
const AT_ONCE: usize = 50;

/// A body without an end.
fn endless() -> OriginBody {
    let chunk = Bytes::from_static(&[b'x'; 16 << 10]);
    let chunks = stream::repeat(chunk).map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    OriginBody::new(http_body_util::BodyExt::map_err(
        StreamBody::new(chunks),
        |never| match never {},
    ))
}

/// Never ends `/endless`, and never answers a number: it only marks that one as reached.
async fn service(reached: Arc<[Semaphore]>) -> Origin {
    Origin::serving(move |request: Request<Incoming>| {
        let reached = reached.clone();
        async move {
            match request.uri().path().trim_start_matches('/') {
                "endless" => Response::new(endless()),
                "" => Response::new(full("whole")),
                number => {
                    let number: usize = number.parse().expect("a number");
                    reached[number].add_permits(1);
                    pending().await
                }
            }
        }
    })
    .await
}

async fn leaves_in_mid_response(visitor: Visitor) {
    let mut raw = visitor.raw().await;
    raw.say("GET /endless HTTP/1.1\r\nHost: {host}\r\n\r\n")
        .await;
    raw.until("xxxx").await;
}

async fn leaves_before_the_head(visitor: Visitor, number: usize, reached: Arc<[Semaphore]>) {
    let mut raw = visitor.raw().await;
    raw.say(&format!("GET /{number} HTTP/1.1\r\nHost: {{host}}\r\n\r\n"))
        .await;
    let reached = timeout(PATIENCE, reached[number].acquire()).await;
    reached
        .expect("the service is asked")
        .expect("it stays open")
        .forget();
}

/// Runs all of them, so many at a time.
async fn all<F: Future<Output = ()> + Send + 'static>(visits: impl Iterator<Item = F>) {
    let mut running = JoinSet::new();
    for visit in visits {
        if running.len() == AT_ONCE {
            running
                .join_next()
                .await
                .expect("some run")
                .expect("it passes");
        }
        running.spawn(visit);
    }
    running.join_all().await;
}

#[tokio::test]
async fn ten_thousand_visitors_who_leave_early_leave_nothing_behind() {
    let reached: Arc<[Semaphore]> = (0..EACH).map(|_| Semaphore::new(0)).collect();
    let origin = service(reached.clone()).await;
    let cluster = Cluster::of(1).await;
    let node = cluster.node(0);
    let agent = node.agent().publishing(&origin).await;
    let visitor = node.visitor(&agent);

    all((0..EACH).map(|_| leaves_in_mid_response(visitor.clone()))).await;
    all((0..EACH).map(|number| leaves_before_the_head(visitor.clone(), number, reached.clone())))
        .await;

    let limit = Duration::from_secs(1);
    assert!(until_none("exchanges", || node.edge.exchanges()).await < limit);
    assert!(until_none("streams", || node.streams()).await < limit);
    assert!(until_none("connections of the target", || origin.connections()).await < limit);
    assert_eq!(node.uplink.stats().overflows, 0);

    assert_eq!(visitor.get("/").await.text(), "whole");
    assert_eq!(agent.stop().await, 0, "the agent worked on nothing more");
}
