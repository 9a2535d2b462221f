//! Large bodies, read and written as bare bytes: the load must cost less than what it measures.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

const CHUNK: usize = 256 * 1024;

pub(crate) async fn pull(addr: SocketAddr, host: &str, path: &str, streams: usize) {
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..streams {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        running.spawn(async move {
            let mut tcp = open(addr, &head).await;
            body(&mut tcp).await
        });
    }
    report(running.join_all().await.iter().sum(), began);
}

pub(crate) async fn push(addr: SocketAddr, host: &str, path: &str, megabytes: u64) {
    let began = Instant::now();
    let length = megabytes * 1_000_000;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut tcp = open(addr, &head).await;
    let chunk = vec![b'x'; CHUNK];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let chunk = chunk.get(..most).expect("no more than the chunk");
        tcp.write_all(chunk).await.expect("the upload is taken");
        left -= most as u64;
    }
    body(&mut tcp).await;
    report(length, began);
}

async fn open(addr: SocketAddr, head: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(addr).await.expect("it listens");
    tcp.set_nodelay(true).expect("TCP has the option");
    tcp.write_all(head.as_bytes())
        .await
        .expect("it takes a head");
    tcp
}

/// Reads a 200 to its announced end; the bytes of its body.
async fn body(tcp: &mut TcpStream) -> u64 {
    let mut buffer = vec![0; CHUNK];
    let mut filled = 0;
    let head = loop {
        let read = tcp
            .read(buffer.get_mut(filled..).expect("a head is small"))
            .await;
        let read = read.expect("the connection holds");
        assert!(read > 0, "closed before the head was whole");
        filled += read;
        let got = buffer.get(..filled).expect("as much was read");
        if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text =
        String::from_utf8_lossy(buffer.get(..head).expect("as much was read")).to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{text}");
    let announced = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map(|value| value.trim().parse::<u64>().expect("a length"));
    let mut got = (filled - head) as u64;
    while announced.is_none_or(|length| got < length) {
        match tcp.read(&mut buffer).await.expect("the connection holds") {
            0 => break,
            read => got += read as u64,
        }
    }
    assert!(
        announced.is_none_or(|length| got == length),
        "{got} bytes of {announced:?}"
    );
    got
}

fn report(bytes: u64, began: Instant) {
    println!(
        r#"{{"bytes": {bytes}, "seconds": {:.6}}}"#,
        began.elapsed().as_secs_f64()
    );
}
