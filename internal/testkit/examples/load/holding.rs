//! Visitors that cost something while nothing happens: they do not read, or are not read from.

use std::{future::pending, net::SocketAddr, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet, time::timeout};

use crate::wire::{self, Body};

/// An upload that could write nothing for so long is stalled.
const STALLED: Duration = Duration::from_millis(500);

/// GETs of which only the head is read: open event streams, or downloads that stall.
pub(crate) async fn downloads(addr: SocketAddr, host: &str, path: &str, count: usize) {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let tcp = wire::open(addr, &wire::get(host, path, false)).await;
        held.push(Body::of(tcp).await.tcp);
    }
    keep(held).await;
}

/// Uploads to a target that takes nothing, each written to until no more goes in.
pub(crate) async fn uploads(addr: SocketAddr, host: &str, count: usize) {
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000000\r\n\r\n");
    let mut filling = JoinSet::new();
    for _ in 0..count {
        filling.spawn(fill(wire::open(addr, &head).await));
    }
    keep(filling.join_all().await).await;
}

async fn fill(mut tcp: TcpStream) -> TcpStream {
    let chunk = vec![b'x'; 64 * 1024];
    while let Ok(written) = timeout(STALLED, tcp.write_all(&chunk)).await {
        written.expect("the connection holds");
    }
    tcp
}

async fn keep(held: Vec<TcpStream>) {
    println!(r#"{{"held": {}}}"#, held.len());
    pending::<()>().await;
}
