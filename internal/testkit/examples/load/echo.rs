//! The WebSocket service behind every proxy that is measured.

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::accept_async;

pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    println!("{}", listener.local_addr().expect("it is bound"));
    let mut sockets = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        sockets.spawn(echo(tcp));
        while sockets.try_join_next().is_some() {}
    }
}

async fn echo(tcp: TcpStream) {
    tcp.set_nodelay(true).expect("TCP has the option");
    let Ok(mut socket) = accept_async(tcp).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if !(message.is_text() || message.is_binary()) {
            continue;
        }
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
