//! What leaves first, what is dropped, what waits.

use std::time::Duration;

use bytes::Bytes;
use messages::{Flags, Reset};

use super::*;

fn queue() -> Queue {
    Queue::new(OutboxLimits::default())
}

fn opening(stream: u32) -> Frame {
    Frame::new(
        Tag::HttpRequest,
        Flags::END,
        StreamId(stream),
        Bytes::from_static(b"head"),
    )
}

fn body(stream: u32, text: &'static str) -> Frame {
    Frame::body(StreamId(stream), Bytes::from_static(text.as_bytes()), false)
}

fn reset(stream: u32, code: ResetCode) -> Frame {
    Frame::reset(StreamId(stream), &code.into())
}

fn window(stream: u32) -> Frame {
    Frame::window(StreamId(stream), 1000)
}

fn fill(queue: &mut Queue, frames: impl IntoIterator<Item = Frame>) {
    for frame in frames {
        queue.push(frame).unwrap();
    }
}

/// Everything that may leave at `now`, in order, as text.
fn leaving_at(queue: &mut Queue, now: Instant) -> Vec<String> {
    let frames = std::iter::from_fn(|| queue.pop(now));
    frames
        .map(|frame| format!("{:?} {}", frame.tag().unwrap(), frame.stream.0))
        .collect()
}

fn leaving(queue: &mut Queue) -> Vec<String> {
    leaving_at(queue, Instant::now())
}

#[test]
fn streams_take_turns_and_keep_their_own_order() {
    let mut queue = queue();
    fill(
        &mut queue,
        [
            body(1, "a"),
            body(1, "b"),
            body(1, "c"),
            body(2, "d"),
            body(3, "e"),
            body(3, "f"),
        ],
    );
    let payloads: Vec<_> = std::iter::from_fn(|| queue.pop(Instant::now()))
        .map(|frame| frame.payload)
        .collect();
    assert_eq!(payloads.concat(), b"adebfc");
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn credit_and_cancellation_overtake_bodies() {
    let mut queue = queue();
    fill(
        &mut queue,
        [
            body(1, "a"),
            body(1, "b"),
            window(2),
            reset(3, ResetCode::Cancelled),
        ],
    );
    assert_eq!(
        leaving(&mut queue),
        ["Reset 3", "Window 2", "Body 1", "Body 1"]
    );
}

#[test]
fn a_cancelled_stream_sends_nothing_more() {
    let mut queue = queue();
    fill(
        &mut queue,
        [
            body(1, "a"),
            body(2, "b"),
            body(1, "c"),
            reset(1, ResetCode::Cancelled),
        ],
    );
    assert_eq!(leaving(&mut queue), ["Reset 1", "Body 2"]);
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn a_side_that_is_merely_done_still_sends_what_it_has() {
    let mut queue = queue();
    fill(
        &mut queue,
        [body(1, "a"), body(2, "b"), reset(1, ResetCode::Done)],
    );
    assert_eq!(leaving(&mut queue), ["Body 1", "Body 2", "Reset 1"]);
    fill(&mut queue, [reset(1, ResetCode::Done)]);
    assert_eq!(
        leaving(&mut queue),
        ["Reset 1"],
        "with nothing of its stream waiting it goes ahead"
    );
}

#[test]
fn nothing_overtakes_the_frame_that_opens_its_stream() {
    let mut queue = queue();
    fill(
        &mut queue,
        [
            opening(7),
            body(7, "a"),
            window(7),
            reset(7, ResetCode::Cancelled),
        ],
    );
    assert_eq!(
        leaving(&mut queue),
        ["HttpRequest 7", "Reset 7"],
        "the peer must hear of what is cancelled"
    );
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn held_back_are_credit_and_new_work_and_nothing_else() {
    let mut queue = queue();
    let now = Instant::now();
    let until = now + Duration::from_secs(1);
    fill(&mut queue, [opening(1), body(2, "a")]);
    queue.hold_until(until);
    fill(
        &mut queue,
        [
            opening(3),
            body(3, "b"),
            window(2),
            body(4, "c"),
            reset(4, ResetCode::Done),
        ],
    );
    assert_eq!(leaving_at(&mut queue, now), ["Body 2", "Body 4", "Reset 4"]);
    assert_eq!(queue.held_until(), Some(until));
    fill(&mut queue, [opening(5)]);
    let released = leaving_at(&mut queue, until);
    assert_eq!(
        released,
        [
            "Window 2",
            "HttpRequest 1",
            "HttpRequest 3",
            "HttpRequest 5",
            "Body 3"
        ],
        "ids only rise"
    );
    assert_eq!(queue.held_until(), None);
}

#[test]
fn a_hold_is_lengthened_and_never_shortened() {
    let mut queue = queue();
    let now = Instant::now();
    queue.hold_until(now + Duration::from_secs(2));
    queue.hold_until(now + Duration::from_secs(1));
    assert_eq!(queue.held_until(), None, "nothing waits for it yet");
    fill(&mut queue, [window(1)]);
    assert_eq!(queue.held_until(), Some(now + Duration::from_secs(2)));
    assert_eq!(
        leaving_at(&mut queue, now + Duration::from_secs(1)),
        Vec::<String>::new()
    );
}

#[test]
fn a_link_that_leaves_opens_nothing_more() {
    let mut queue = queue();
    fill(&mut queue, [opening(1), body(1, "a"), body(2, "b")]);
    queue.hold_until(Instant::now() + Duration::from_secs(60));
    fill(&mut queue, [opening(3), window(2)]);
    queue.drop_openings();
    assert_eq!(leaving(&mut queue), ["Window 2", "Body 2"]);
}

#[test]
fn data_is_bounded_by_bytes_and_control_by_frames() {
    let limits = OutboxLimits {
        bytes: 2 * (64 + 3),
        control_frames: 2,
    };
    let mut queue = Queue::new(limits);
    fill(&mut queue, [body(1, "abc"), body(2, "abc")]);
    assert_eq!(
        queue.push(body(3, "")),
        Err(PushError::Full),
        "an empty frame costs too"
    );
    fill(&mut queue, [window(1), reset(3, ResetCode::Cancelled)]);
    assert_eq!(queue.push(window(2)), Err(PushError::Full));
    assert_eq!(leaving(&mut queue).len(), 4);
    fill(&mut queue, [body(3, ""), window(2)]);
}

#[test]
fn a_reset_of_unknown_wording_still_cancels() {
    let mut queue = queue();
    let unknown = Frame::reset(
        StreamId(1),
        &Reset::new(ResetCode::Unknown(900), "from the future"),
    );
    fill(&mut queue, [body(1, "a"), unknown]);
    assert_eq!(leaving(&mut queue), ["Reset 1"]);
}

#[test]
fn what_a_burst_has_left_is_given_back_and_what_waits_is_kept() {
    let mut queue = queue();
    fill(&mut queue, (1..=1000).map(opening));
    fill(&mut queue, (1..=1000).map(window));
    fill(&mut queue, [body(1, "a"), body(1, "b")]);
    assert_eq!(leaving(&mut queue).len(), 2002);
    assert!(queue.room() >= 1000, "what there is to give back");
    fill(&mut queue, [body(7, "kept"), window(7)]);
    queue.trim();
    assert!(queue.room() < 20, "room for {} is held", queue.room());
    assert_eq!(leaving(&mut queue), ["Window 7", "Body 7"]);
    queue.trim();
    assert_eq!(queue.room(), 0);
}
