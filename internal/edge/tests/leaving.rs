//! A node that leaves serves what has come to it already.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use adit_edge::{Body, Config, Edge, Reserved};
use bus::{Delivery, Inbox, memory::Fleet};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use hyper::body::Incoming;
use messages::NodeId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

struct Nobody;

impl Inbox for Nobody {
    fn deliver(&self, _: Delivery) {}
}

/// The server's own page.
struct Page;

impl Reserved for Page {
    fn call(&self, _: Request<Incoming>, _: SocketAddr) -> BoxFuture<'static, Response<Body>> {
        let page = Body::full(Bytes::from_static(b"hello"));
        std::future::ready(Response::new(page)).boxed()
    }
}

fn edge() -> Arc<Edge> {
    let node = Fleet::new().join(NodeId([1; 16]), Arc::new(Nobody));
    Edge::new(Config::default(), node.bus, node.directory, Arc::new(Page))
}

async fn connected(listener: &TcpListener) -> TcpStream {
    let addr = listener.local_addr().expect("it is bound");
    TcpStream::connect(addr).await.expect("the kernel accepts")
}

async fn answer(mut visitor: TcpStream) -> String {
    let mut answer = String::new();
    let read = visitor.read_to_string(&mut answer).await;
    read.expect("it is not reset");
    answer
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn connections_that_wait_in_the_kernels_queue_are_served_before_the_listener_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut visitor = connected(&listener).await;
        visitor.write_all(REQUEST).await.expect("it is open");
        waiting.push(visitor);
    }
    let edge = edge();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    edge.serve(listener, shutdown).await;
    let left = edge.drain(Instant::now() + Duration::from_secs(10));
    assert_eq!(left.await, 0);
    for visitor in waiting {
        let answer = answer(visitor).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_on_its_way_is_waited_for_a_moment() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let mut late = connected(&listener).await;
    let silent = connected(&listener).await;
    let edge = edge();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    edge.serve(listener, shutdown).await;
    let draining = edge.drain(Instant::now() + Duration::from_secs(10));
    let speaking = async {
        sleep(Duration::from_millis(20)).await;
        late.write_all(REQUEST).await.expect("it is open");
        answer(late).await
    };
    let (left, answer) = tokio::join!(draining, speaking);
    assert_eq!(left, 0);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    drop(silent);
}
