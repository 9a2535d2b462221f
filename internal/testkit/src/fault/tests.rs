//! Each switch, as the two parties see it.

use std::io::ErrorKind;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::*;

/// Long enough to believe that nothing comes.
const SILENCE: Duration = Duration::from_millis(100);

/// A target, and a proxy in front of it.
struct Line {
    target: TcpListener,
    proxy: FaultProxy,
}

impl Line {
    async fn new() -> Self {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = FaultProxy::to(target.local_addr().unwrap()).await;
        Self { target, proxy }
    }

    /// Both ends of a connection through the proxy.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let near = TcpStream::connect(self.proxy.addr()).await.unwrap();
        let (far, _) = self.target.accept().await.unwrap();
        (near, far)
    }
}

async fn hears(tcp: &mut TcpStream, wanted: &str) {
    let mut got = vec![0; wanted.len()];
    let read = timeout(PATIENCE, tcp.read_exact(&mut got)).await;
    read.expect("it comes in time").expect("it comes whole");
    assert_eq!(got, wanted.as_bytes());
}

async fn hears_nothing(tcp: &mut TcpStream) {
    let read = timeout(SILENCE, tcp.read_u8()).await;
    assert!(read.is_err(), "heard {read:?}");
}

async fn hears_the_end(tcp: &mut TcpStream) {
    let read = timeout(PATIENCE, tcp.read(&mut [0])).await;
    assert_eq!(read.expect("it comes in time").unwrap(), 0);
}

async fn is_reset(tcp: &mut TcpStream) {
    let read = timeout(PATIENCE, tcp.read_u8()).await;
    let error = read.expect("it comes in time").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// Waits for what happens in the proxy's own time.
async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it happens");
}

#[tokio::test]
async fn without_a_fault_bytes_and_ends_pass_and_are_counted() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    near.write_all(b"ask").await.unwrap();
    near.shutdown().await.unwrap();
    hears(&mut far, "ask").await;
    hears_the_end(&mut far).await;
    far.write_all(b"answer").await.unwrap();
    hears(&mut near, "answer").await;
    assert_eq!(line.proxy.passed(Way::There), 3);
    assert_eq!(line.proxy.passed(Way::Back), 6);
    assert_eq!((line.proxy.open(), line.proxy.opened()), (1, 1));
    drop(far);
    hears_the_end(&mut near).await;
    until(|| line.proxy.open() == 0).await;
}

#[tokio::test]
async fn a_reset_of_one_party_reaches_the_other() {
    let line = Line::new().await;
    let (near, mut far) = line.connect().await;
    near.set_zero_linger().unwrap();
    drop(near);
    is_reset(&mut far).await;
}

#[tokio::test]
async fn a_delay_holds_bytes_each_way() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.proxy.delay(Duration::from_millis(60));
    let began = Instant::now();
    near.write_all(b"ask").await.unwrap();
    hears(&mut far, "ask").await;
    assert!(began.elapsed() >= Duration::from_millis(60));
    far.write_all(b"answer").await.unwrap();
    hears(&mut near, "answer").await;
    assert!(began.elapsed() >= Duration::from_millis(120));
    line.proxy.delay(Duration::ZERO);
    near.write_all(b"more").await.unwrap();
    hears(&mut far, "more").await;
}

#[tokio::test]
async fn a_delay_costs_no_throughput() {
    const MUCH: usize = 32 << 20;
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.proxy.delay(Duration::from_millis(50));
    let began = Instant::now();
    let sending = async {
        near.write_all(&vec![7; MUCH]).await.unwrap();
        near.shutdown().await.unwrap();
    };
    let receiving = async {
        let mut got = Vec::with_capacity(MUCH);
        far.read_to_end(&mut got).await.unwrap();
        got.len()
    };
    let ((), got) = tokio::join!(sending, receiving);
    assert_eq!(got, MUCH);
    // Slept for each chunk, it would be 25 s.
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_stall_swallows_bytes_and_ends_until_it_is_over() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.proxy.stall();
    near.write_all(b"ask").await.unwrap();
    near.shutdown().await.unwrap();
    far.write_all(b"answer").await.unwrap();
    hears_nothing(&mut far).await;
    hears_nothing(&mut near).await;
    let mut late = TcpStream::connect(line.proxy.addr()).await.unwrap();
    late.write_all(b"late").await.unwrap();
    line.proxy.resume();
    hears(&mut far, "ask").await;
    hears_the_end(&mut far).await;
    hears(&mut near, "answer").await;
    let (mut served, _) = line.target.accept().await.unwrap();
    hears(&mut served, "late").await;
}

#[tokio::test]
async fn a_stall_of_one_way_leaves_the_other() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.proxy.stall_way(Way::Back);
    near.write_all(b"ask").await.unwrap();
    hears(&mut far, "ask").await;
    far.write_all(b"answer").await.unwrap();
    hears_nothing(&mut near).await;
    line.proxy.resume();
    hears(&mut near, "answer").await;
}

#[tokio::test]
async fn what_a_stall_holds_is_bounded() {
    let line = Line::new().await;
    let (near, _far) = line.connect().await;
    line.proxy.stall();
    let chunk = vec![0; 1 << 20];
    let mut taken = 0;
    while timeout(SILENCE, near.writable()).await.is_ok() {
        taken += near.try_write(&chunk).unwrap_or(0);
    }
    // Ours, and what the kernel holds of a connection on either side.
    assert!((16 << 20..48 << 20).contains(&taken), "{taken}");
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_nothing_else() {
    let line = Line::new().await;
    let mut connections = [line.connect().await, line.connect().await];
    line.proxy.cut();
    for (near, far) in &mut connections {
        is_reset(near).await;
        is_reset(far).await;
    }
    let (mut near, mut far) = line.connect().await;
    near.write_all(b"ask").await.unwrap();
    hears(&mut far, "ask").await;
}

#[tokio::test]
async fn a_stalled_connection_can_be_cut() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.proxy.stall();
    near.write_all(b"ask").await.unwrap();
    line.proxy.cut();
    is_reset(&mut far).await;
    is_reset(&mut near).await;
}

#[tokio::test]
async fn a_cut_after_some_bytes_is_exact_and_once() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.proxy.cut_after(5);
    near.write_all(b"ask").await.unwrap();
    hears(&mut far, "ask").await;
    far.write_all(b"answer").await.unwrap();
    hears(&mut near, "an").await;
    is_reset(&mut near).await;
    is_reset(&mut far).await;
    let (mut near, mut far) = line.connect().await;
    near.write_all(b"a longer question").await.unwrap();
    hears(&mut far, "a longer question").await;
    line.proxy.cut_after(0);
    is_reset(&mut far).await;
}

#[tokio::test]
async fn it_refuses_newcomers_and_keeps_who_is_there() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.proxy.refuse().await;
    let refused = TcpStream::connect(line.proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    near.write_all(b"ask").await.unwrap();
    hears(&mut far, "ask").await;
    line.proxy.accept().await;
    line.connect().await;
}

#[tokio::test]
async fn half_closed_one_way_ends_and_the_other_goes_on() {
    let line = Line::new().await;
    let (mut near, mut far) = line.connect().await;
    line.proxy.half_close(Way::Back);
    hears_the_end(&mut near).await;
    far.write_all(b"unheard").await.unwrap();
    near.write_all(b"ask").await.unwrap();
    hears(&mut far, "ask").await;
    let (mut near, mut far) = line.connect().await;
    far.write_all(b"heard").await.unwrap();
    hears(&mut near, "heard").await;
}

#[tokio::test]
async fn connections_are_spread_over_targets_that_take_them() {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = Port::free();
    let third = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let targets = [
        first.local_addr().unwrap(),
        gone.addr(),
        third.local_addr().unwrap(),
    ];
    let proxy = FaultProxy::among(&targets).await;
    for target in [&first, &third, &third] {
        let _near = TcpStream::connect(proxy.addr()).await.unwrap();
        target.accept().await.unwrap();
    }
}

#[tokio::test]
async fn a_target_that_refuses_resets_who_came() {
    let gone = Port::free();
    let proxy = FaultProxy::to(gone.addr()).await;
    let mut near = TcpStream::connect(proxy.addr()).await.unwrap();
    is_reset(&mut near).await;
}
