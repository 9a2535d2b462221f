//! Many WebSockets on one link, slow ones among them, and the loss of the link.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt, stream};
use testkit::{
    origin::Origin,
    socket::{Message, Plain, echo, hear},
};
use tokio::{
    sync::Notify,
    time::{Duration, Instant, timeout},
};

use crate::tunnel::Tunnel;

/// Longer than any pause of a stream that moves, on a busy machine too.
const STALL: Duration = Duration::from_secs(2);
const PIECE: usize = 64 * 1024;
/// More than windows and sockets' buffers can hold: 4 MiB of credit on the link, and a few MiB in each kernel buffer.
const TOO_MUCH: usize = 64 * 1024 * 1024;

/// How many bytes go into the socket until it takes no more.
async fn fill(socket: &mut Plain) -> usize {
    let mut sent = 0;
    while sent < TOO_MUCH {
        let message = Message::binary(vec![7; PIECE]);
        match timeout(STALL, socket.send(message)).await {
            Ok(done) => done.expect("the socket stays open"),
            // The message is in the socket's own buffer and goes out later.
            Err(_) => return sent + PIECE,
        }
        sent += PIECE;
    }
    sent
}

/// Takes what the other side has sent; gives how much it was.
async fn drain(socket: &mut Plain, expected: usize) {
    let mut got = 0;
    while got < expected {
        got += hear(socket).await.len();
    }
    assert_eq!(got, expected);
}

async fn is_quick(socket: &mut Plain) {
    for _ in 0..20 {
        let began = Instant::now();
        socket.send(Message::text("ping?")).await.unwrap();
        assert_eq!(hear(socket).await, Message::text("ping?"));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "a round trip took {took:?}");
    }
}

#[tokio::test]
async fn a_target_that_reads_nothing_holds_back_its_own_visitor_and_no_other() {
    let go = Arc::new(Notify::new());
    let gone = go.clone();
    let origin = Origin::sockets(move |mut socket, request| {
        let go = gone.clone();
        async move {
            if request.uri().path() == "/slow" {
                go.notified().await;
            }
            echo(&mut socket).await;
        }
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let mut slow = tunnel.visitor().open_socket("/slow").await;
    let mut quick = tunnel.visitor().open_socket("/").await;
    let sent = fill(&mut slow).await;
    assert!(sent < TOO_MUCH, "nothing held the sender back");
    is_quick(&mut quick).await;
    go.notify_one();
    // Nothing of it was dropped: it all comes back, while the rest of the last message goes out.
    let (mut out, inp) = slow.split();
    let flushing = async { out.flush().await.unwrap() };
    let reading = inp
        .filter_map(async |message| Some(message.ok()?.len()))
        .scan(0, |got, len| {
            *got += len;
            std::future::ready(Some(*got))
        })
        .take_while(|got| std::future::ready(*got < sent))
        .count();
    let both = async { tokio::join!(flushing, reading) };
    timeout(Duration::from_secs(60), both)
        .await
        .expect("everything comes back");
}

#[tokio::test]
async fn a_visitor_who_reads_nothing_holds_back_its_own_target_and_no_other() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let origin = Origin::sockets(move |mut socket, request| {
        let tell = tell.clone();
        async move {
            if request.uri().path() == "/flood" {
                tell.send(fill(&mut socket).await).await.unwrap();
                socket.flush().await.unwrap();
            }
            echo(&mut socket).await;
        }
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let mut slow = tunnel.visitor().open_socket("/flood").await;
    let mut quick = tunnel.visitor().open_socket("/").await;
    let sent = told.recv().await.unwrap();
    assert!(sent < TOO_MUCH, "nothing held the sender back");
    is_quick(&mut quick).await;
    drain(&mut slow, sent).await;
}

#[tokio::test]
async fn a_thousand_websockets_live_on_one_link() {
    let tunnel = Tunnel::to(Origin::echoing_sockets().await).await;
    let visitor = tunnel.visitor();
    let mut sockets: Vec<Plain> = stream::iter(0..1000)
        .map(|_| visitor.open_socket("/"))
        .buffer_unordered(32)
        .collect()
        .await;
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket
            .send(Message::text(number.to_string()))
            .await
            .unwrap();
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(hear(socket).await, Message::text(number.to_string()));
    }
    assert_eq!(tunnel.origin.connections(), 1000);
    drop(sockets);
    let freed = async {
        while tunnel.origin.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), freed)
        .await
        .expect("the service's connections end with their visitors");
    // The link has room again for as many.
    is_quick(&mut visitor.open_socket("/").await).await;
}

#[tokio::test]
async fn the_loss_of_the_agent_closes_the_visitors_sockets_as_a_gateway_does() {
    let tunnel = Tunnel::to(Origin::echoing_sockets().await).await;
    let mut raw = tunnel.visitor().raw().await;
    raw.say(
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    raw.until("\r\n\r\n").await;
    tunnel.agent.program.kill().await;
    // 1014, Bad Gateway, in IANA's registry of close codes. Not every library knows it, so the bytes are looked at.
    let close = timeout(Duration::from_secs(5), raw.until("the tunnel was lost")).await;
    let close = close.expect("within seconds");
    assert_eq!(close[0], 0x88, "a close frame: {close:?}");
    assert_eq!(close[2..4], 1014_u16.to_be_bytes());
}
