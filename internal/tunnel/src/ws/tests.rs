//! The WebSocket over an in-memory stream: sizes, batches, and peers that do not keep to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use messages::{Disconnect, DisconnectCode, MAX_BODY_FRAME, StreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::*;
use crate::{FrameHandler, Keepalive, LinkEnd, LinkFault, Outbox, drive};

async fn client<IO: AsyncRead + AsyncWrite + Unpin>(io: IO) -> WebSocket<IO> {
    WebSocket::new(
        WebSocketStream::from_raw_socket(Counted::new(io), Role::Client, Some(config())).await,
    )
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
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Writes<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn frames_of_every_size_arrive_whole_in_both_directions() {
    // A stream that holds little, so that writes are partial.
    let (near, far) = duplex(1000);
    let (mut server, mut client) = tokio::join!(server(near), client(far));
    for len in [
        0,
        1,
        119,
        120,
        121,
        COPY_BELOW - HEADER_LEN,
        COPY_BELOW,
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
    let (mut server, mut client) =
        tokio::join!(server(Writes(near, Arc::clone(&writes))), client(far));
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
    let mut server = server(near).await;
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
    let (mut server, mut peer) = tokio::join!(server(near), lawless(far));
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
    let (mut server, mut peer) = tokio::join!(server(near), lawless(far));
    peer.send(WsMessage::text("hello?")).await.unwrap();
    let error = server.next().await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn a_websocket_ping_is_answered_and_is_no_frame() {
    let (near, far) = duplex(1 << 20);
    let (mut server, mut peer) = tokio::join!(server(near), lawless(far));
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
    let (mut server, mut client) = tokio::join!(server(near), client(far));
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
    let transport = server(near).await;
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
    let (server, client) = tokio::join!(server(near), client(far));
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
