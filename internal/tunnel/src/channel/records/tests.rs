//! Records as bytes: what a peer may do to them, and what they cost while nothing happens.

use std::io;

use data_encoding::HEXLOWER_PERMISSIVE;
use futures_util::{SinkExt, StreamExt};
use messages::{Flags, MAX_BODY_FRAME, MAX_FRAME, StreamId, Tag};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::channel::reader::Reader;

fn body(len: usize) -> Frame {
    let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
    Frame::new(Tag::Body, Flags::NONE, StreamId(1), bytes.into())
}

/// Large enough for everything that a test writes.
fn wire() -> (DuplexStream, Records<DuplexStream>) {
    let (theirs, ours) = duplex(8 << 20);
    (theirs, Records::new(ours))
}

async fn all_of(records: &mut Records<DuplexStream>) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while let Some(record) = records.next().await {
        frames.push(record.unwrap());
    }
    frames
}

/// What is read of these bytes, after which the stream ends.
async fn read(bytes: &[u8]) -> Result<Option<Bytes>, TransportError> {
    let (mut theirs, mut ours) = wire();
    theirs.write_all(bytes).await.unwrap();
    drop(theirs);
    ours.next().await.transpose()
}

fn sizes() -> Vec<usize> {
    vec![
        0,
        1,
        7,
        8_185,
        8_186,
        8_187,
        16_384,
        60_000,
        65_530,
        MAX_BODY_FRAME,
    ]
}

#[tokio::test]
async fn frames_arrive_whole_and_in_order_whatever_their_size() {
    let (theirs, mut ours) = wire();
    let mut theirs = Records::new(theirs);
    let mut sent = Vec::new();
    for len in sizes().into_iter().chain(sizes().into_iter().rev()) {
        let frame = body(len);
        sent.push(frame.to_bytes());
        theirs.feed(frame).await.unwrap();
    }
    theirs.close().await.unwrap();
    assert_eq!(all_of(&mut ours).await, sent);
    assert!(ours.next().await.is_none(), "an end is an end");
    assert!(
        theirs.send(body(0)).await.is_err(),
        "nothing behind the end"
    );
}

/// The vectors of SPEC.md.
#[tokio::test]
async fn the_records_of_the_specification_are_read_and_written() {
    let spec = include_str!("../../../../../messages/SPEC.md");
    let ping = Frame::ping([1, 2, 3, 4, 5, 6, 7, 8]);
    let text = "0000000e 300000000000 0102030405060708";
    assert!(spec.contains(text));
    let bytes = HEXLOWER_PERMISSIVE
        .decode(text.replace(' ', "").as_bytes())
        .unwrap();
    let (mut theirs, mut ours) = wire();
    ours.send(ping.clone()).await.unwrap();
    let mut written = vec![0; bytes.len()];
    theirs.read_exact(&mut written).await.unwrap();
    assert_eq!(written, bytes);
    assert_eq!(read(&bytes).await.unwrap(), Some(ping.to_bytes()));
}

#[tokio::test]
async fn a_peer_may_write_byte_by_byte() {
    for len in [0, 10, 20_000] {
        let frame = body(len);
        let (theirs, mut ours) = duplex(1);
        let sent = frame.to_bytes();
        let mut sender = Records::new(theirs);
        let sending = async move {
            sender.send(frame).await.unwrap();
            sender
        };
        // One byte fits between the two: each is read alone.
        let mut reader = Reader::default();
        let reading = std::future::poll_fn(|cx| reader.poll_record(&mut ours, cx));
        let (_sender, record) = tokio::join!(sending, reading);
        assert_eq!(record.unwrap(), Some(sent));
        assert_eq!(reader.heard(), 4 + 6 + len as u64);
    }
}

#[tokio::test]
async fn a_length_of_zero_or_less_than_a_frame_ends_the_link() {
    for len in 0..u32::try_from(HEADER_LEN).unwrap() {
        let mut bytes = len.to_be_bytes().to_vec();
        bytes.resize(PREFIX + usize::try_from(len).unwrap(), 0);
        bytes.extend_from_slice(&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0]);
        let error = read(&bytes).await.unwrap_err();
        assert!(matches!(error, TransportError::Protocol(_)), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("a record of {len} bytes"))
        );
    }
}

#[tokio::test]
async fn a_huge_length_is_refused_before_anything_is_stored() {
    for len in [MAX_FRAME + 1, 1 << 24, usize::try_from(u32::MAX).unwrap()] {
        let (mut theirs, ours) = duplex(64);
        let prefix = u32::try_from(len).unwrap().to_be_bytes();
        theirs.write_all(&prefix).await.unwrap();
        let mut records = Records::new(ours);
        match records.next().await {
            Some(Err(TransportError::TooLarge { len: said, max })) => {
                assert_eq!((said, max), (len, MAX_FRAME));
            }
            other => panic!("{other:?}"),
        }
        assert!(records.holds() < 128 * 1024);
        assert!(records.next().await.is_none());
    }
    let largest = [
        &u32::try_from(MAX_FRAME).unwrap().to_be_bytes()[..],
        &[0; MAX_FRAME],
    ]
    .concat();
    assert_eq!(read(&largest).await.unwrap().unwrap().len(), MAX_FRAME);
}

#[tokio::test]
async fn an_end_within_a_record_is_a_cut() {
    let whole = [&[0, 0, 0, 26][..], &body(20).to_bytes()].concat();
    for len in 1..whole.len() {
        let error = read(&whole[..len]).await.unwrap_err();
        assert!(error.to_string().contains("within a record"), "{len}");
    }
    let large = [&[0, 0, 0xff, 0xff][..], &[0; 40_000]].concat();
    assert!(read(&large).await.is_err());
    assert_eq!(read(b"").await.unwrap(), None);
}

#[tokio::test]
async fn a_link_that_waits_holds_no_read_buffer() {
    let (mut theirs, mut ours) = wire();
    let frame = [&[0, 0, 0, 16][..], &body(10).to_bytes()].concat();
    theirs.write_all(&frame).await.unwrap();
    theirs.write_all(&frame[..3]).await.unwrap();
    ours.next().await.unwrap().unwrap();
    assert!(futures_util::poll!(ours.next()).is_pending());
    assert!(ours.holds() < 64, "{}", ours.holds());
    theirs.write_all(&frame[3..]).await.unwrap();
    assert_eq!(ours.next().await.unwrap().unwrap(), body(10).to_bytes());
}

#[tokio::test]
async fn parts_of_a_message_are_signs_of_life() {
    let (mut theirs, mut ours) = wire();
    theirs
        .write_all(&[0, 0, 0xff, 0xff, 1, 2, 3])
        .await
        .unwrap();
    assert!(futures_util::poll!(ours.next()).is_pending());
    assert_eq!(ours.bytes_heard(), 7);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_holds_the_writer_up_and_not_more() {
    let (_theirs, ours) = duplex(1);
    let mut records = Records::new(ours);
    let mut fed = 0;
    while futures_util::poll!(std::future::poll_fn(|cx| records.poll_ready_unpin(cx))).is_ready() {
        records.start_send_unpin(body(MAX_BODY_FRAME)).unwrap();
        fed += 1;
    }
    assert_eq!(fed, 2, "128 KiB wait");
}

#[tokio::test]
async fn a_connection_that_fails_is_an_error_of_it() {
    let broken = reset();
    let mut records = Records::new(broken);
    match records.next().await {
        Some(Err(TransportError::Io(error))) => {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        other => panic!("{other:?}"),
    }
}

/// A stream that is reset.
fn reset() -> impl AsyncRead + AsyncWrite + Unpin {
    struct Broken;
    impl AsyncRead for Broken {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }
    tokio::io::join(Broken, tokio::io::sink())
}
