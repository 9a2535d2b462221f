//! Large bodies, read and written as bare bytes: the load must cost less than what it measures.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::wire::{self, Body};

const CHUNK: usize = 256 * 1024;

pub(crate) async fn pull(addr: SocketAddr, host: &str, path: &str, streams: usize) {
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..streams {
        let head = wire::get(host, path, false);
        running.spawn(async move {
            let mut body = Body::of(wire::open(addr, &head).await).await;
            while body.more().await {}
            body.got()
        });
    }
    report(running.join_all().await.iter().sum(), began);
}

/// Downloads again and again, at so many megabytes a second in all.
pub(crate) async fn drain(
    addr: SocketAddr,
    host: &str,
    path: &str,
    streams: u32,
    megabytes: f64,
    seconds: u64,
) {
    let pace = Pace {
        began: Instant::now(),
        end: Instant::now() + Duration::from_secs(seconds),
        rate: megabytes * 1e6 / f64::from(streams),
    };
    let mut running = JoinSet::new();
    for _ in 0..streams {
        let head = wire::get(host, path, false);
        running.spawn(async move {
            let mut sum = 0;
            while !pace.is_over() {
                let mut body = Body::of(wire::open(addr, &head).await).await;
                while !pace.is_over() && body.more().await {
                    pace.keep(sum + body.got()).await;
                }
                sum += body.got();
            }
            sum
        });
    }
    report(running.join_all().await.iter().sum(), pace.began);
}

/// How fast one reader reads, and until when.
#[derive(Clone, Copy)]
struct Pace {
    began: Instant,
    end: Instant,
    /// Bytes a second.
    rate: f64,
}

impl Pace {
    fn is_over(self) -> bool {
        Instant::now() >= self.end
    }

    /// Waits until so many bytes are due.
    async fn keep(self, bytes: u64) {
        let due = Duration::from_secs(bytes).div_f64(self.rate);
        sleep_until((self.began + due).min(self.end)).await;
    }
}

pub(crate) async fn push(addr: SocketAddr, host: &str, path: &str, megabytes: u64) {
    let began = Instant::now();
    let length = megabytes * 1_000_000;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut tcp = wire::open(addr, &head).await;
    let chunk = vec![b'x'; CHUNK];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let chunk = chunk.get(..most).expect("no more than the chunk");
        tcp.write_all(chunk).await.expect("the upload is taken");
        left -= most as u64;
    }
    Body::of(tcp).await;
    report(length, began);
}

fn report(bytes: u64, began: Instant) {
    println!(
        r#"{{"bytes": {bytes}, "seconds": {:.6}}}"#,
        began.elapsed().as_secs_f64()
    );
}
