//! A long way: a TCP proxy that holds every byte for a fixed time, each way, and loses nothing of the bandwidth.

use std::{net::SocketAddr, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Chunks on the way, each direction. At 64 KiB each, far more than a window of the tunnel.
const ON_THE_WAY: usize = 4096;

pub(crate) async fn serve(to: SocketAddr, milliseconds: u64) {
    let delay = Duration::from_millis(milliseconds);
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    println!("{}", listener.local_addr().expect("it is bound"));
    let mut ways = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let far = TcpStream::connect(to).await.expect("it listens");
        for tcp in [&near, &far] {
            tcp.set_nodelay(true).expect("TCP has the option");
        }
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        ways.spawn(hold(near_read, far_write, delay));
        ways.spawn(hold(far_read, near_write, delay));
        while ways.try_join_next().is_some() {}
    }
}

/// Either side closing or breaking ends the direction, after what is on the way.
async fn hold(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (departs, mut arrives) = mpsc::channel(ON_THE_WAY);
    let reading = async move {
        loop {
            let mut chunk = BytesMut::with_capacity(64 * 1024);
            match from.read_buf(&mut chunk).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
            if departs.send((Instant::now() + delay, chunk)).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, chunk)) = arrives.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
