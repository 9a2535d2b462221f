//! Many registered links that only answer pings. A request to one of them is never answered.

use std::net::SocketAddr;

use adit_testkit::hostile::{dial, wish};
use futures_util::{SinkExt, StreamExt, future::pending, stream};
use identity::SecretKey;
use messages::{Frame, Message};
use tokio::task::JoinSet;
use tunnel::{handshake::register, ws::Connected};

/// Handshakes at once; well under what a server leaves one address.
const AT_ONCE: usize = 8;

pub(crate) async fn idle(addr: SocketAddr, count: usize) {
    let url = format!("http://127.0.0.1:{}", addr.port());
    let mut opening = stream::iter(0..count)
        .map(|_| open(&url))
        .buffer_unordered(AT_ONCE);
    let mut links = JoinSet::new();
    let mut host = String::new();
    while let Some((link, granted)) = opening.next().await {
        host = granted;
        links.spawn(answer_pings(link));
    }
    println!(r#"{{"links": {count}, "host": "{host}"}}"#);
    // None of them ends by itself.
    if let Some(ended) = links.join_next().await {
        ended.expect("a link's task does not panic");
        panic!("the server closed a link");
    }
    pending::<()>().await;
}

/// A link of a key of its own, and its host name.
async fn open(url: &str) -> (Connected, String) {
    let mut link = dial(url).await;
    let key = SecretKey::generate();
    let granted = register(&mut link.transport, &key, &wish("127.0.0.1"))
        .await
        .expect("the server grants");
    (link, granted.hostname)
}

async fn answer_pings(mut link: Connected) {
    while let Some(Ok(bytes)) = link.transport.next().await {
        let frame = Frame::decode(bytes).expect("the server speaks the protocol");
        if let Ok(Message::Ping(data)) = Message::decode(&frame) {
            let pong = link.transport.send(Frame::pong(data));
            if pong.await.is_err() {
                return;
            }
        }
    }
}
