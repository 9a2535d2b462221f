//! Subscribers of one event stream: how long an event takes from the upstream's clock to each of them.

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{figures::Latencies, monotonic};

/// Not counted: the time in which everybody subscribes.
const WARM_UP: Duration = Duration::from_millis(500);

pub(crate) async fn subscribe(addr: SocketAddr, host: &str, subscribers: usize, seconds: u64) {
    let mut connections = JoinSet::new();
    let mut streams = Vec::with_capacity(subscribers);
    for _ in 0..subscribers {
        streams.push(open(addr, host, &mut connections).await);
    }
    let begin = monotonic::now() + WARM_UP;
    let end = Instant::now() + WARM_UP + Duration::from_secs(seconds);
    let mut running = JoinSet::new();
    for stream in streams {
        running.spawn(listen(stream, begin, end));
    }
    let latencies: Latencies = running.join_all().await.into_iter().collect();
    println!(
        r#"{{"events": {}, "seconds": {seconds}, {}}}"#,
        latencies.count(),
        latencies.json()
    );
}

async fn open(addr: SocketAddr, host: &str, connections: &mut JoinSet<()>) -> Incoming {
    let tcp = TcpStream::connect(addr).await.expect("it listens");
    tcp.set_nodelay(true).expect("TCP has the option");
    let (mut client, connection) = http1::handshake(TokioIo::new(tcp))
        .await
        .expect("HTTP/1 needs no handshake");
    connections.spawn(async { connection.await.expect("the connection holds") });
    let request = Request::get("/events")
        .header("host", host)
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let response = client.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// How long each event took that was sent after `begin`, in the upstream's words: `data: <nanoseconds>`.
async fn listen(mut stream: Incoming, begin: Duration, end: Instant) -> Latencies {
    let mut took = Latencies::default();
    let mut text = BytesMut::new();
    while let Ok(frame) = timeout_at(end, stream.frame()).await {
        let frame = frame
            .expect("the stream goes on")
            .expect("the stream holds");
        let now = monotonic::now();
        text.extend_from_slice(&frame.into_data().expect("no trailers yet"));
        while let Some(at) = text.windows(2).position(|two| two == b"\n\n") {
            let sent = sent_at(&text.split_to(at + 2));
            if sent >= begin {
                took.note(now.saturating_sub(sent));
            }
        }
    }
    took
}

fn sent_at(event: &[u8]) -> Duration {
    let text = str::from_utf8(event).expect("an event is text");
    let nanos = text.trim().strip_prefix("data: ").expect("data");
    Duration::from_nanos(nanos.parse().expect("a number"))
}
