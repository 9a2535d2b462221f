//! A link against a peer that the test plays by hand, over the in-memory pipe and in paused time.

mod ending;
mod liveness;

use std::sync::mpsc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use messages::{Flags, StreamId};

use super::*;
use crate::pipe::{self, Pipe};

/// Records what it is given, and stays for what runs when the peer goes down.
struct Recorder {
    frames: mpsc::Sender<Frame>,
    skipped: mpsc::Sender<u8>,
    notices: mpsc::Sender<Notice>,
}

struct Seen {
    frames: mpsc::Receiver<Frame>,
    skipped: mpsc::Receiver<u8>,
    notices: mpsc::Receiver<Notice>,
}

fn recorder() -> (Recorder, Seen) {
    let (frames, seen_frames) = mpsc::channel();
    let (skipped, seen_skipped) = mpsc::channel();
    let (notices, seen_notices) = mpsc::channel();
    (
        Recorder {
            frames,
            skipped,
            notices,
        },
        Seen {
            frames: seen_frames,
            skipped: seen_skipped,
            notices: seen_notices,
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

    fn on_draining(&mut self, _notice: &Disconnect) -> bool {
        true
    }

    fn on_notice(&mut self, notice: &Notice) -> Result<(), LinkFault> {
        self.notices.send(notice.clone()).unwrap();
        Ok(())
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

#[tokio::test(start_paused = true)]
async fn a_notice_reaches_the_handler_once_a_second_and_without_controls() {
    let notice = |text: &str| Notice {
        code: messages::NoticeCode::LinkRate,
        message: text.to_owned(),
    };
    let (end, (), seen) = play(&Outbox::default(), |mut peer| async move {
        for _ in 0..100 {
            peer.send(notice("slow \u{1b}[2J").encode()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        peer.send(notice("still slow").encode()).await.unwrap();
    })
    .await;
    assert!(matches!(end, LinkEnd::Closed), "{end:?}");
    let heard: Vec<_> = seen.notices.try_iter().collect();
    assert_eq!(heard, [notice("slow \u{fffd}[2J"), notice("still slow")]);
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
async fn a_link_that_falls_idle_gives_back_what_a_burst_took() {
    let outbox = Outbox::default();
    for stream in 1..=1000 {
        outbox.push(body(stream, b"of many")).unwrap();
    }
    let (_, (), _) = play(&outbox, |mut peer| {
        let outbox = outbox.clone();
        async move {
            for _ in 1..=1000 {
                next(&mut peer).await.unwrap();
            }
            assert!(outbox.room() >= 1000, "what there is to give back");
            tokio::time::sleep(Duration::from_secs(11)).await;
            assert_eq!(outbox.room(), 0);
        }
    })
    .await;
}
