//! Many registered links that only answer pings.

use std::net::SocketAddr;

use adit_testkit::hostile::{dial, wish};
use futures_util::{SinkExt, StreamExt, future::pending};
use identity::SecretKey;
use messages::{Frame, Message};
use tokio::task::JoinSet;
use tunnel::{handshake::register, ws::Connected};

pub(crate) async fn idle(addr: SocketAddr, count: usize) {
    let url = format!("http://127.0.0.1:{}", addr.port());
    let mut links = JoinSet::new();
    for _ in 0..count {
        let mut link = dial(&url).await;
        register(
            &mut link.transport,
            &SecretKey::generate(),
            &wish("127.0.0.1"),
        )
        .await
        .expect("the server grants");
        links.spawn(answer_pings(link));
    }
    println!(r#"{{"links": {count}}}"#);
    // None of them ends by itself.
    if let Some(ended) = links.join_next().await {
        ended.expect("a link's task does not panic");
        panic!("the server closed a link");
    }
    pending::<()>().await;
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
