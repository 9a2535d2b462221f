//! The WebSocket over an in-memory stream: sizes, batches, and peers that do not keep to it.

mod interop;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use messages::{
    Disconnect, DisconnectCode, Flags, HEADER_LEN, MAX_BODY_FRAME, MAX_FRAME, StreamId, Tag,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::{FrameHandler, Keepalive, LinkEnd, LinkFault, Outbox, drive};

/// The agent's end, as it is without TLS.
fn client<IO: AsyncRead + AsyncWrite + Unpin>(io: IO) -> WebSocket<IO> {
    WebSocket::new(io, Masking::client(false), &[])
}

fn body(len: usize) -> Frame {
    let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
    Frame::body(StreamId(1), bytes.into(), false)
}

/// Counts the writes that reach the stream.
struct Writes<IO>(IO, Arc<AtomicUsize>);

impl<IO: AsyncRead + Unpin> AsyncRead for Writes<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Writes<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn frames_of_every_size_arrive_whole_in_both_directions() {
    // A stream that holds little, so that writes are partial.
    let (near, far) = duplex(1000);
    let (mut server, mut client) = (server(near), client(far));
    for len in [
        0,
        1,
        119,
        120,
        121,
        2041,
        2042,
        2048,
        16_384,
        MAX_BODY_FRAME,
    ] {
        let frame = body(len);
        let (sent, got) = tokio::join!(server.send(frame.clone()), client.next());
        sent.unwrap();
        assert_eq!(
            Frame::decode(got.unwrap().unwrap()),
            Ok(frame.clone()),
            "{len} bytes down"
        );
        let (sent, got) = tokio::join!(client.send(frame.clone()), server.next());
        sent.unwrap();
        assert_eq!(
            Frame::decode(got.unwrap().unwrap()),
            Ok(frame),
            "{len} bytes up"
        );
    }
}

#[tokio::test]
async fn frames_fed_between_two_flushes_leave_in_one_write() {
    let (near, far) = duplex(1 << 20);
    let writes = Arc::new(AtomicUsize::new(0));
    let (mut server, mut client) = (server(Writes(near, Arc::clone(&writes))), client(far));
    for _ in 0..40 {
        server.feed(body(1000)).await.unwrap();
    }
    assert_eq!(writes.load(Ordering::Relaxed), 0);
    server.flush().await.unwrap();
    assert_eq!(writes.load(Ordering::Relaxed), 1);
    for _ in 0..40 {
        assert_eq!(client.next().await.unwrap().unwrap().len(), 1006);
    }
}

#[tokio::test]
async fn a_writer_that_meets_no_reader_stops_at_its_bound() {
    let (near, _far) = duplex(1000);
    let mut server = server(near);
    let mut taken = 0;
    while futures_util::poll!(std::pin::pin!(server.feed(body(MAX_BODY_FRAME)))).is_ready() {
        taken += 1;
        assert!(taken < 10, "frames pile up without bound");
    }
}

/// A peer that uses the library without the limits of this crate.
async fn lawless(io: DuplexStream) -> WebSocketStream<DuplexStream> {
    WebSocketStream::from_raw_socket(io, Role::Client, None).await
}

#[tokio::test]
async fn a_message_longer_than_any_frame_is_refused_before_it_is_read() {
    let (near, far) = duplex(1 << 20);
    let (mut server, mut peer) = (server(near), lawless(far).await);
    peer.send(WsMessage::Binary(vec![0; MAX_FRAME + 1].into()))
        .await
        .unwrap();
    let error = server.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, TransportError::TooLarge { len, max: MAX_FRAME } if len == MAX_FRAME + 1),
        "{error:?}"
    );
}

#[tokio::test]
async fn text_is_no_message_of_a_link() {
    let (near, far) = duplex(1 << 20);
    let (mut server, mut peer) = (server(near), lawless(far).await);
    peer.send(WsMessage::text("hello?")).await.unwrap();
    let error = server.next().await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn a_websocket_ping_is_answered_and_is_no_frame() {
    let (near, far) = duplex(1 << 20);
    let (mut server, mut peer) = (server(near), lawless(far).await);
    peer.send(WsMessage::Ping(Bytes::from_static(b"?")))
        .await
        .unwrap();
    peer.send(WsMessage::Binary(body(1).to_bytes()))
        .await
        .unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), body(1).to_bytes());
    server.flush().await.unwrap();
    assert_eq!(
        peer.next().await.unwrap().unwrap(),
        WsMessage::Pong(Bytes::from_static(b"?"))
    );
}

#[tokio::test]
async fn a_closing_handshake_ends_the_stream_of_frames_quietly() {
    let (near, far) = duplex(1 << 20);
    let (mut server, mut client) = (server(near), client(far));
    client.close().await.unwrap();
    assert!(server.next().await.is_none());
}

struct Ignore;

impl FrameHandler for Ignore {
    fn on_frame(&mut self, _: Frame) -> Result<(), LinkFault> {
        Ok(())
    }
}

/// The story: a large frame comes over a line so thin that it takes minutes. Its bytes prove life, though no message
/// is whole; when they stop, the link is dead twenty seconds later.
#[tokio::test(start_paused = true)]
async fn a_trickle_of_bytes_keeps_a_link_alive_and_its_end_kills_it() {
    let (near, mut wire) = duplex(1 << 20);
    let transport = server(near);
    let began = Instant::now();
    let trickle = async {
        // A masked binary message of 60 000 bytes (RFC 6455 section 5.2), of which one byte comes each five seconds.
        wire.write_all(&[0x82, 0xfe, 0xea, 0x60, 0, 0, 0, 0])
            .await
            .unwrap();
        for _ in 0..60 {
            sleep(Duration::from_secs(5)).await;
            wire.write_all(&[0]).await.unwrap();
        }
        // Reads on, or the link could not write its pings.
        drop(wire.read_to_end(&mut Vec::new()).await);
    };
    let (end, ()) = tokio::join!(
        drive(transport, Outbox::default(), Ignore, Keepalive::default()),
        trickle
    );
    assert!(matches!(end, LinkEnd::Dead), "{end:?}");
    assert_eq!(began.elapsed().as_secs(), 300 + 20);
}

#[tokio::test(start_paused = true)]
async fn two_links_part_with_a_disconnect_and_a_closing_handshake() {
    let (near, far) = duplex(1 << 16);
    let (server, client) = (server(near), client(far));
    let outbox = Outbox::default();
    outbox.push(body(MAX_BODY_FRAME)).unwrap();
    outbox.push(body(MAX_BODY_FRAME)).unwrap();
    let goodbye = Disconnect::new(DisconnectCode::Draining, "come back elsewhere");
    outbox.close(Some(goodbye.clone()));
    let began = Instant::now();
    let (left, told) = tokio::join!(
        drive(server, outbox, Ignore, Keepalive::default()),
        drive(client, Outbox::default(), Ignore, Keepalive::default()),
    );
    assert!(matches!(left, LinkEnd::Local(Some(_))), "{left:?}");
    assert!(matches!(told, LinkEnd::Disconnected(told) if told == goodbye));
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits for a timer");
}

#[tokio::test]
async fn a_connection_that_ends_without_a_closing_handshake_is_an_error() {
    let (near, far) = duplex(1 << 16);
    let mut server = server(near);
    drop(far);
    let error = server.next().await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Protocol(_)), "{error:?}");
    assert!(server.next().await.is_none());
}

/// The story: a peer pings and pings and reads nothing.
#[tokio::test]
async fn a_flood_of_pings_leaves_one_answer_waiting() {
    let (near, far) = duplex(100);
    let mut server = server(near);
    let (mut from_us, mut to_us) = tokio::io::split(far);
    // What the server has to say already fills the way.
    server.feed(body(1000)).await.unwrap();
    assert!(futures_util::poll!(server.flush()).is_pending());
    let flood = async {
        for at in 0..1000_u16 {
            let [high, low] = at.to_be_bytes();
            // A masked ping of two bytes, with the key of zeros.
            to_us
                .write_all(&[0x89, 0x82, 0, 0, 0, 0, high, low])
                .await
                .unwrap();
        }
    };
    tokio::select! {
        biased;
        next = server.next() => panic!("{next:?}"),
        () = flood => {}
    }
    assert!(futures_util::poll!(server.next()).is_pending());
    let mut rest = Vec::new();
    let read = async {
        from_us.read_buf(&mut rest).await.unwrap();
        while rest.len() < 4 + 1006 + 4 {
            from_us.read_buf(&mut rest).await.unwrap();
        }
    };
    let (flushed, ()) = tokio::join!(server.flush(), read);
    flushed.unwrap();
    assert_eq!(rest[4 + 1006..], [0x8a, 2, 0x03, 0xe7], "the latest one");
}

/// What came in behind the 101 is the link's: see also the loopback tests.
#[tokio::test]
async fn bytes_behind_the_opening_handshake_are_the_first_to_be_read() {
    let (near, _far) = duplex(1 << 16);
    let mut bytes = vec![0x82, 7];
    bytes.extend(body(1).to_bytes());
    let mut client = WebSocket::new(near, Masking::client(false), &bytes);
    assert_eq!(client.next().await.unwrap().unwrap(), body(1).to_bytes());
    assert_eq!(client.bytes_heard(), 9);
}
