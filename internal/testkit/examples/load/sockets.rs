//! Echo round trips: each socket sends 64 bytes, a line of JSON, and waits for them, again and again.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::figures::Latencies;

/// Not counted: the time in which connections and windows settle.
const WARM_UP: Duration = Duration::from_millis(300);

pub(crate) async fn load(addr: SocketAddr, host: &str, sockets: usize, seconds: u64) {
    let mut open = Vec::with_capacity(sockets);
    for _ in 0..sockets {
        open.push(connect(addr, host).await);
    }
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs(seconds);
    let mut running = JoinSet::new();
    for socket in open {
        running.spawn(round_trips(socket, begin, end));
    }
    let latencies: Latencies = running.join_all().await.into_iter().collect();
    println!(
        r#"{{"round_trips": {}, "seconds": {seconds}, {}}}"#,
        latencies.count(),
        latencies.json()
    );
}

async fn connect(addr: SocketAddr, host: &str) -> WebSocketStream<TcpStream> {
    let tcp = TcpStream::connect(addr).await.expect("it listens");
    tcp.set_nodelay(true).expect("TCP has the option");
    let request = format!("ws://{host}/ws")
        .into_client_request()
        .expect("a host");
    client_async(request, tcp).await.expect("it upgrades").0
}

/// How long each round trip took that ended within the time.
async fn round_trips(
    mut socket: WebSocketStream<TcpStream>,
    begin: Instant,
    end: Instant,
) -> Latencies {
    let mut took = Latencies::default();
    let message = Message::binary(format!("\"{}\"\n", "x".repeat(61)));
    loop {
        let sent = Instant::now();
        socket
            .send(message.clone())
            .await
            .expect("the socket is open");
        match timeout_at(end, socket.next()).await {
            Ok(Some(Ok(_))) if sent >= begin => took.note(sent.elapsed()),
            Ok(Some(Ok(_))) => {}
            Ok(other) => panic!("the socket broke: {other:?}"),
            Err(_) => return took,
        }
    }
}
