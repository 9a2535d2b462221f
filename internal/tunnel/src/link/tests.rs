//! A link against a peer that the test plays by hand, over the in-memory pipe and in paused time.

use std::sync::mpsc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use messages::{Flags, StreamId};
use tokio::time::advance;

use super::*;
use crate::pipe::{self, Pipe};

/// Records what it is given.
struct Recorder {
    frames: mpsc::Sender<Frame>,
    skipped: mpsc::Sender<u8>,
}

struct Seen {
    frames: mpsc::Receiver<Frame>,
    skipped: mpsc::Receiver<u8>,
}

fn recorder() -> (Recorder, Seen) {
    let (frames, seen_frames) = mpsc::channel();
    let (skipped, seen_skipped) = mpsc::channel();
    (
        Recorder { frames, skipped },
        Seen {
            frames: seen_frames,
            skipped: seen_skipped,
        },
    )
}

impl FrameHandler for Recorder {
    fn on_frame(&mut self, frame: Frame) -> Result<(), LinkFault> {
        if frame.stream == UNOPENED {
            return Err(LinkFault::Protocol(
                "stream 666 was never opened".to_owned(),
            ));
        }
        self.frames.send(frame).unwrap();
        Ok(())
    }

    fn on_skipped(&mut self, tag: u8) {
        self.skipped.send(tag).unwrap();
    }
}

const UNOPENED: StreamId = StreamId(666);

/// Plays `peer` against a link with default keepalive; both must come to an end.
async fn play<F: Future>(
    outbox: &Outbox,
    peer: impl FnOnce(Pipe) -> F,
) -> (LinkEnd, F::Output, Seen) {
    let (link, other) = pipe::pair();
    play_over(link, other, outbox, peer).await
}

async fn play_over<F: Future>(
    link: Pipe,
    other: Pipe,
    outbox: &Outbox,
    peer: impl FnOnce(Pipe) -> F,
) -> (LinkEnd, F::Output, Seen) {
    let (handler, seen) = recorder();
    let link = drive(link, outbox.clone(), handler, Keepalive::default());
    let (end, played) = tokio::join!(link, peer(other));
    (end, played, seen)
}

fn body(stream: u32, text: &'static [u8]) -> Frame {
    Frame::body(StreamId(stream), Bytes::from_static(text), false)
}

fn leaving() -> Disconnect {
    Disconnect::new(DisconnectCode::Leaving, "that is all")
}

async fn next(peer: &mut Pipe) -> Option<Message> {
    let bytes = peer.next().await?.unwrap();
    Some(Message::decode(&Frame::decode(bytes).unwrap()).unwrap())
}

/// All that the link still says until it closes.
async fn rest(peer: &mut Pipe) -> Vec<Message> {
    let mut said = Vec::new();
    while let Some(message) = next(peer).await {
        said.push(message);
    }
    said
}

#[tokio::test(start_paused = true)]
async fn frames_reach_the_handler_in_order_and_a_hang_up_ends_the_link() {
    let outbox = Outbox::default();
    let (end, (), seen) = play(&outbox, |mut peer| async move {
        for text in [&b"a"[..], b"b", b"c"] {
            peer.send(body(1, text)).await.unwrap();
        }
    })
    .await;
    assert!(matches!(end, LinkEnd::Closed), "{end:?}");
    let payloads: Vec<_> = seen.frames.try_iter().map(|frame| frame.payload).collect();
    assert_eq!(payloads.concat(), b"abc");
    assert!(outbox.is_closed());
    assert_eq!(outbox.push(body(1, b"late")), Err(crate::PushError::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_is_pushed_at_any_time_is_written() {
    let outbox = Outbox::default();
    outbox.push(body(1, b"before")).unwrap();
    let (end, said, _) = play(&outbox, |mut peer| {
        let outbox = outbox.clone();
        async move {
            let first = next(&mut peer).await;
            // The link is idle by now; the push must wake it.
            tokio::time::sleep(Duration::from_secs(1)).await;
            outbox.push(body(1, b"after")).unwrap();
            (first, next(&mut peer).await)
        }
    })
    .await;
    assert!(matches!(end, LinkEnd::Closed));
    let data = |text: &'static [u8]| {
        Some(Message::Body {
            data: Bytes::from_static(text),
            end: false,
        })
    };
    assert_eq!(said, (data(b"before"), data(b"after")));
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_at_once_and_ahead_of_data() {
    let outbox = Outbox::default();
    for stream in 1..=10 {
        outbox.push(body(stream, b"bulk")).unwrap();
    }
    let (link, mut other) = pipe::pair_holding(1);
    other.send(Frame::ping(*b"are you?")).await.unwrap();
    let began = Instant::now();
    let (_, first, _) = play_over(link, other, &outbox, |mut peer| async move {
        next(&mut peer).await
    })
    .await;
    assert_eq!(first, Some(Message::Pong(*b"are you?")));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_pings_without_reading_gets_one_answer() {
    let outbox = Outbox::default();
    let (link, other) = pipe::pair_holding(1);
    let (_, pongs, _) = play_over(link, other, &outbox, |mut peer| async move {
        for token in 0..1000_u64 {
            peer.send(Frame::ping(token.to_be_bytes())).await.unwrap();
        }
        let mut pongs = Vec::new();
        while let Ok(Some(message)) = timeout(Duration::from_secs(1), next(&mut peer)).await {
            pongs.push(message);
        }
        pongs
    })
    .await;
    assert!(pongs.len() <= 3, "{} answers were kept", pongs.len());
    assert_eq!(
        pongs.last(),
        Some(&Message::Pong(999_u64.to_be_bytes())),
        "the latest is answered"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_after_ten_seconds_and_dead_after_twenty() {
    let began = Instant::now();
    let (end, pinged, _) = play(&Outbox::default(), |mut peer| async move {
        let message = next(&mut peer).await;
        let at = began.elapsed();
        assert!(matches!(message, Some(Message::Ping(_))), "{message:?}");
        // Keeps the pipe open, and says nothing.
        let left = rest(&mut peer).await;
        (at, left)
    })
    .await;
    let (at, left) = pinged;
    assert!(
        at > Duration::from_secs(9) && at <= Duration::from_secs(10),
        "pinged at {at:?}"
    );
    assert!(matches!(end, LinkEnd::Dead), "{end:?}");
    assert_eq!(began.elapsed().as_secs(), 20);
    assert!(
        left.iter()
            .all(|message| matches!(message, Message::Ping(_))),
        "{left:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_only_answers_pings_lives() {
    let began = Instant::now();
    let (end, pings, _) = play(&Outbox::default(), |mut peer| async move {
        let mut pings = 0;
        while began.elapsed() < Duration::from_secs(3600) {
            let Some(Message::Ping(token)) = next(&mut peer).await else {
                panic!("after {pings} pings")
            };
            peer.send(Frame::pong(token)).await.unwrap();
            pings += 1;
        }
        pings
    })
    .await;
    assert!(matches!(end, LinkEnd::Closed), "{end:?}");
    assert!((360..=400).contains(&pings), "{pings} pings in an hour");
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_other_traffic_is_not_pinged() {
    let (_, said, _) = play(&Outbox::default(), |mut peer| async move {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(8)).await;
            peer.send(body(1, b"news")).await.unwrap();
        }
        timeout(Duration::from_secs(1), next(&mut peer)).await.ok()
    })
    .await;
    assert_eq!(said, None);
}

/// The story: a laptop lid was closed for a minute. The peer's bytes wait in the socket; they prove it alive.
#[tokio::test(start_paused = true)]
async fn a_process_that_was_asleep_reads_before_it_judges() {
    let (link, mut other) = pipe::pair();
    let (handler, seen) = recorder();
    let mut link = std::pin::pin!(drive(
        link,
        Outbox::default(),
        handler,
        Keepalive::default()
    ));
    let mut poll_link = async || futures_util::poll!(&mut link);
    assert!(poll_link().await.is_pending());
    other.send(body(1, b"still here")).await.unwrap();
    advance(Duration::from_secs(60)).await;
    assert!(poll_link().await.is_pending(), "not dead");
    assert_eq!(seen.frames.try_iter().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_write_does_not_stop_the_reading() {
    let outbox = Outbox::default();
    for stream in 1..=100 {
        outbox.push(body(stream, b"nobody reads this")).unwrap();
    }
    let (link, other) = pipe::pair_holding(2);
    let (_, (), seen) = play_over(link, other, &outbox, |mut peer| async move {
        for _ in 0..1000 {
            peer.send(body(1, b"x")).await.unwrap();
        }
    })
    .await;
    assert_eq!(seen.frames.try_iter().count(), 1000);
}

#[tokio::test(start_paused = true)]
async fn closing_writes_what_waits_and_says_goodbye_last() {
    let outbox = Outbox::default();
    for stream in 1..=3 {
        outbox.push(body(stream, b"answer")).unwrap();
    }
    outbox.close(Some(leaving()));
    outbox.close(None);
    assert_eq!(outbox.push(body(4, b"late")), Err(crate::PushError::Closed));
    let (end, mut said, _) = play(&outbox, |mut peer| async move { rest(&mut peer).await }).await;
    assert_eq!(said.pop(), Some(Message::Disconnect(leaving())));
    assert_eq!(said.len(), 3);
    assert!(matches!(end, LinkEnd::Local(Some(last)) if last == leaving()));
}

#[tokio::test(start_paused = true)]
async fn closing_an_idle_link_wakes_it() {
    let outbox = Outbox::default();
    let began = Instant::now();
    let (end, said, _) = play(&outbox, |mut peer| {
        let outbox = outbox.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            outbox.close(None);
            rest(&mut peer).await
        }
    })
    .await;
    assert!(matches!(end, LinkEnd::Local(None)), "{end:?}");
    assert_eq!((said, began.elapsed().as_secs()), (vec![], 3));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_goodbye_delays_it_by_a_second_only() {
    let outbox = Outbox::default();
    for stream in 1..=100 {
        outbox.push(body(stream, b"nobody reads this")).unwrap();
    }
    let (link, other) = pipe::pair_holding(1);
    let (_, took, _) = play_over(link, other, &outbox, |mut peer| {
        let outbox = outbox.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            outbox.close(Some(leaving()));
            let closed = Instant::now();
            // Sends on, and never reads: until the other end is dropped.
            while peer.send(Frame::ping([0; 8])).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            closed.elapsed()
        }
    })
    .await;
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_millis(1100),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_from_the_peer_ends_the_link_with_its_reason() {
    let replaced = Disconnect {
        spread_ms: 250,
        ..Disconnect::new(DisconnectCode::Replaced, "newer session")
    };
    let sent = replaced.encode();
    let (end, said, _) = play(&Outbox::default(), |mut peer| async move {
        peer.send(sent).await.unwrap();
        rest(&mut peer).await
    })
    .await;
    assert!(matches!(end, LinkEnd::Disconnected(told) if told == replaced));
    assert_eq!(said, [], "nothing is said to somebody who has left");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_the_protocol_is_told_and_cut_off() {
    let on_link =
        |tag, payload: &'static [u8]| Bytes::from([&[tag, 0, 0, 0, 0, 0], payload].concat());
    for (bytes, what) in [
        (Bytes::from_static(b"\x12"), "6-byte header"),
        (on_link(0x12, b"body of the link"), "its stream id is 0"),
        (
            Bytes::from_static(&[0x30, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8]),
            "its stream id is not 0",
        ),
        (on_link(0x30, b"ping"), "8 bytes"),
        (on_link(0x30, b"too long ping"), "limit"),
        (on_link(0x32, b"{"), "Disconnect"),
        (
            on_link(0x02, b"a.registration.again"),
            "RegistrationRequest",
        ),
        (Bytes::from_static(&[0x77, 0x80, 0, 0, 0, 0]), "CRITICAL"),
        (
            Bytes::from_static(&[0x12, 0, 0, 0, 0x02, 0x9a]),
            "never opened",
        ),
    ] {
        let outbox = Outbox::default();
        let (end, mut said, seen) = play(&outbox, |mut peer| {
            let outbox = outbox.clone();
            async move {
                peer.send_raw(bytes).await.unwrap();
                outbox.push(body(1, b"what waits is dropped")).unwrap();
                rest(&mut peer).await
            }
        })
        .await;
        assert!(matches!(end, LinkEnd::Fault(_)), "{what}: {end:?}");
        let Some(Message::Disconnect(told)) = said.pop() else {
            panic!("{what}: nothing was said")
        };
        assert_eq!(told.code, DisconnectCode::Protocol);
        assert!(
            told.reason.contains(what),
            "{what:?} is not in {:?}",
            told.reason
        );
        assert_eq!(seen.frames.try_iter().count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_the_future_is_skipped_and_counted() {
    let (end, (), seen) = play(&Outbox::default(), |mut peer| async move {
        peer.send_raw(Bytes::from_static(&[0x77, 0, 0, 0, 0, 9, 1, 2, 3]))
            .await
            .unwrap();
        peer.send(body(1, b"and on")).await.unwrap();
    })
    .await;
    assert!(matches!(end, LinkEnd::Closed), "{end:?}");
    assert_eq!(seen.skipped.try_iter().collect::<Vec<_>>(), [0x77]);
    assert_eq!(seen.frames.try_iter().count(), 1);
}

/// The seam of the next messages: what this crate does not understand of a known stream tag is its handler's.
#[tokio::test(start_paused = true)]
async fn reserved_stream_messages_go_to_the_handler() {
    let (_, (), seen) = play(&Outbox::default(), |mut peer| async move {
        let message = Frame::new(
            Tag::WsMessage,
            Flags::NONE,
            StreamId(1),
            Bytes::from_static(b"hi"),
        );
        peer.send(message).await.unwrap();
    })
    .await;
    assert_eq!(
        seen.frames
            .try_iter()
            .map(|frame| frame.tag())
            .collect::<Vec<_>>(),
        [Some(Tag::WsMessage)]
    );
}

#[tokio::test(start_paused = true)]
async fn credit_held_back_goes_out_when_the_hold_ends() {
    let outbox = Outbox::default();
    let began = Instant::now();
    outbox.hold_until(began + Duration::from_secs(2));
    let (_, times, _) = play(&outbox, |mut peer| {
        let outbox = outbox.clone();
        async move {
            outbox.push(Frame::window(StreamId(1), 1000)).unwrap();
            outbox.push(body(1, b"data flows")).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            outbox.hold_until(began + Duration::from_secs(5));
            let data = next(&mut peer).await;
            assert!(matches!(data, Some(Message::Body { .. })), "{data:?}");
            let credit = next(&mut peer).await;
            assert_eq!(credit, Some(Message::Window(1000)));
            began.elapsed()
        }
    })
    .await;
    assert_eq!(times.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_dropped_closes_its_outbox() {
    let (link, _other) = pipe::pair();
    let outbox = Outbox::default();
    let (handler, _seen) = recorder();
    outbox.push(body(1, b"lost")).unwrap();
    drop(Box::pin(drive(
        link,
        outbox.clone(),
        handler,
        Keepalive::default(),
    )));
    assert!(
        !outbox.is_closed(),
        "a future that never ran has begun nothing"
    );

    let (link, _other) = pipe::pair();
    let (handler, _seen) = recorder();
    let mut driven = Box::pin(drive(link, outbox.clone(), handler, Keepalive::default()));
    assert!(futures_util::poll!(&mut driven).is_pending());
    drop(driven);
    assert!(outbox.is_closed());
    assert_eq!(outbox.queued_bytes(), 0);
}
