//! Frames: what is read, what is refused before anything is read, and what a frame costs.

use http::StatusCode;

use super::*;
use crate::head::ResponseHead;
use crate::reset::ResetCode;

fn raw(tag: u8, flags: u8, stream: u32, payload_len: usize) -> Bytes {
    let mut bytes = vec![tag, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.resize(HEADER_LEN + payload_len, b'x');
    Bytes::from(bytes)
}

#[test]
fn a_frame_reads_back_and_shares_the_memory_of_its_message() {
    let sent = Frame::body(StreamId(7), Bytes::from_static(b"coal"), true);
    let message = sent.to_bytes();
    let read = Frame::decode(message.clone()).unwrap();
    assert_eq!(read, sent);
    assert_eq!(read.payload.as_ptr(), message[HEADER_LEN..].as_ptr());
}

#[test]
fn a_message_shorter_than_the_header_is_no_frame() {
    assert_eq!(Frame::decode(Bytes::new()), Err(FrameError::Short));
    assert_eq!(
        Frame::decode(raw(0x30, 0, 0, 0).slice(..5)),
        Err(FrameError::Short)
    );
}

#[test]
fn each_tag_takes_its_longest_payload_and_not_one_byte_more() {
    for tag in Tag::ALL {
        let stream = u32::from(tag.on_stream());
        let max = tag.max_payload();
        assert!(
            Frame::decode(raw(tag.as_u8(), 0, stream, max)).is_ok(),
            "{tag:?}"
        );
        assert_eq!(
            Frame::decode(raw(tag.as_u8(), 0, stream, max + 1)),
            Err(FrameError::TooLarge {
                tag: tag.as_u8(),
                len: max + 1,
                max
            }),
        );
        assert!(HEADER_LEN + max <= MAX_FRAME);
    }
}

#[test]
fn messages_of_the_link_and_of_streams_do_not_mix() {
    assert_eq!(
        Frame::decode(raw(0x12, 0, 0, 0)),
        Err(FrameError::StreamZero(Tag::Body))
    );
    assert_eq!(
        Frame::decode(raw(0x30, 0, 9, 8)),
        Err(FrameError::StreamNonZero(Tag::Ping))
    );
}

#[test]
fn an_unknown_tag_is_skipped_unless_it_is_critical() {
    let skipped = Frame::decode(raw(0x7f, 0x01, 3, 10)).unwrap();
    assert_eq!(
        (skipped.tag(), skipped.is_end(), skipped.cost()),
        (None, false, 0)
    );
    assert_eq!(
        Frame::decode(raw(0x7f, 0x80, 3, 10)),
        Err(FrameError::UnknownCritical(0x7f))
    );
    let long = MAX_FRAME - HEADER_LEN + 1;
    assert!(matches!(
        Frame::decode(raw(0x7f, 0, 0, long)),
        Err(FrameError::TooLarge { .. })
    ));
}

#[test]
fn flags_without_a_name_change_nothing() {
    let frame = Frame::decode(raw(0x12, 0x7c, 3, 10)).unwrap();
    assert!(!frame.is_end());
    assert!(Frame::decode(raw(0x12, 0x7d, 3, 10)).unwrap().is_end());
    // CRITICAL says nothing about a tag that is known.
    assert!(Frame::decode(raw(0x12, 0x80, 3, 10)).is_ok());
}

#[test]
fn the_end_flag_ends_only_what_can_end() {
    assert!(
        Frame::decode(raw(0x12, 0x02, 3, 2)).unwrap().is_end(),
        "trailers imply the end"
    );
    assert!(
        !Frame::decode(raw(0x10, 0x02, 3, 2)).unwrap().is_end(),
        "a head has no trailers flag"
    );
    assert!(
        !Frame::decode(raw(0x20, 0x01, 3, 4)).unwrap().is_end(),
        "a window ends nothing"
    );
    assert!(
        Frame::decode(raw(0x1b, 0, 3, 2)).unwrap().is_end(),
        "a teardown is an end even without the flag"
    );
}

#[test]
fn bodies_cost_their_bytes_and_an_overhead_wherever_they_travel() {
    let id = StreamId(1);
    let head = ResponseHead {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
    };
    assert_eq!(
        Frame::body(id, Bytes::from(vec![0; 1000]), false).cost(),
        1064
    );
    assert_eq!(Frame::body(id, Bytes::new(), false).cost(), 64);
    assert_eq!(
        Frame::body(id, Bytes::new(), true).cost(),
        0,
        "the bare end is free"
    );
    assert_eq!(
        Frame::trailers(id, &HeaderMap::new()).unwrap().cost(),
        2 + 64
    );
    assert_eq!(head.encode(id, b"inline", true).unwrap().cost(), 6 + 64);
    assert_eq!(head.encode(id, b"", true).unwrap().cost(), 0);
    assert_eq!(Frame::window(id, 1).cost(), 0);
    assert_eq!(
        Frame::reset(id, &Reset::new(ResetCode::Done, "so it goes")).cost(),
        0
    );
}

#[test]
fn a_malformed_head_costs_nothing_rather_than_panicking() {
    // Announces more head than there is, or has no room for the announcement.
    assert_eq!(Frame::decode(raw(0x11, 0, 1, 200)).unwrap().cost(), 0);
    assert_eq!(Frame::decode(raw(0x11, 0, 1, 3)).unwrap().cost(), 0);
}

#[test]
fn debug_output_has_no_payload() {
    let frame = Frame::body(StreamId(1), Bytes::from_static(b"secret"), true);
    assert_eq!(
        format!("{frame:?}"),
        "Frame { tag: Body, flags: Flags(0x01), stream: 1, payload_len: 6 }"
    );
}
