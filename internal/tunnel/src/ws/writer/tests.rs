//! What reaches the wire, in how many calls, and what is copied on the way.

use std::future::poll_fn;

use std::io::IoSlice;
use std::pin::Pin;

use bytes::Bytes;
use messages::{MAX_BODY_FRAME, StreamId};

use super::super::reader::{Event, Reader};
use super::*;
use crate::buffers::batch::APART_FROM;

/// Takes a number of bytes at each call, and remembers how it was called.
struct Wire {
    taken: Vec<u8>,
    at_once: Box<dyn FnMut() -> usize>,
    plain: usize,
    vectored: usize,
}

impl Wire {
    fn taking(at_once: impl FnMut() -> usize + 'static) -> Self {
        Self {
            taken: Vec::new(),
            at_once: Box::new(at_once),
            plain: 0,
            vectored: 0,
        }
    }

    fn wide() -> Self {
        Self::taking(|| usize::MAX)
    }

    fn take<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>) -> Poll<io::Result<usize>> {
        let mut left = (self.at_once)();
        let mut taken = 0;
        for part in parts {
            let part = &part[..part.len().min(left)];
            self.taken.extend(part);
            left -= part.len();
            taken += part.len();
        }
        Poll::Ready(Ok(taken))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.plain += 1;
        self.take([buf].into_iter())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.vectored += 1;
        self.take(bufs.iter().map(|part| &**part))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn key() -> Key {
    Key::new([0x37, 0xfa, 0x21, 0x3d])
}

fn body(len: usize) -> Frame {
    let bytes: Vec<u8> = (b'a'..=b'z').cycle().take(len).collect();
    Frame::body(StreamId(1), bytes.into(), false)
}

async fn written(writer: &mut Writer, wire: &mut Wire) -> io::Result<()> {
    poll_fn(|cx| writer.poll_write(wire, cx)).await
}

/// The messages in what was written.
async fn read(masked: bool, mut bytes: &[u8]) -> Vec<Bytes> {
    let mut reader = Reader::new(masked, &[]);
    let mut messages = Vec::new();
    loop {
        match poll_fn(|cx| reader.poll_event(&mut bytes, cx))
            .await
            .unwrap()
        {
            Event::Message(message) => messages.push(message),
            Event::End => return messages,
            _ => {}
        }
    }
}

/// Small and large ones, and a control frame, side by side.
fn push_some(writer: &mut Writer, key: Option<Key>) -> Vec<Bytes> {
    let frames = [0, 1, APART_FROM - 1, APART_FROM, 10, 3000, APART_FROM].map(body);
    for (at, frame) in frames.iter().enumerate() {
        if at == 3 {
            writer.push_control(Opcode::Pong, b"between", key);
        }
        writer.push(frame.clone(), key);
    }
    frames.iter().map(Frame::to_bytes).collect()
}

/// The same in little, for a test that tries every offset.
fn push_few(writer: &mut Writer, key: Option<Key>) {
    for len in [0, APART_FROM, 10, APART_FROM] {
        writer.push(body(len), key);
    }
}

#[tokio::test]
async fn what_waits_leaves_in_one_write() {
    for key in [None, Some(Key::ZERO), Some(key())] {
        let mut writer = Writer::new(true);
        let mut wire = Wire::wide();
        let sent = push_some(&mut writer, key);
        written(&mut writer, &mut wire).await.unwrap();
        assert_eq!(wire.plain + wire.vectored, 1, "{key:?}");
        assert!(!writer.0.is_held(), "nothing waits, and no buffer is held");
        assert_eq!(read(key.is_some(), &wire.taken).await, sent, "{key:?}");
    }
}

#[tokio::test]
async fn small_frames_are_one_part_and_need_no_vector() {
    let mut writer = Writer::new(true);
    let mut wire = Wire::wide();
    for _ in 0..50 {
        writer.push(body(100), None);
    }
    written(&mut writer, &mut wire).await.unwrap();
    assert_eq!((wire.plain, wire.vectored), (1, 0));
}

#[tokio::test]
async fn a_connection_without_vectored_writes_gets_one_buffer() {
    let mut writer = Writer::new(false);
    let mut wire = Wire::wide();
    let sent = push_some(&mut writer, None);
    written(&mut writer, &mut wire).await.unwrap();
    assert_eq!((wire.plain, wire.vectored), (1, 0));
    assert_eq!(read(false, &wire.taken).await, sent);
}

#[tokio::test]
async fn a_write_may_stop_after_any_byte() {
    for key in [None, Some(key())] {
        let mut wire = Wire::wide();
        let mut writer = Writer::new(true);
        push_few(&mut writer, key);
        written(&mut writer, &mut wire).await.unwrap();
        let whole = wire.taken;
        for stop in 1..whole.len() {
            let mut first = Some(stop);
            let mut wire = Wire::taking(move || first.take().unwrap_or(usize::MAX));
            push_few(&mut writer, key);
            written(&mut writer, &mut wire).await.unwrap();
            assert_eq!(wire.plain + wire.vectored, 2);
            assert!(wire.taken == whole, "stopped at {stop}");
        }
        let mut wire = Wire::taking(|| 1);
        push_few(&mut writer, key);
        written(&mut writer, &mut wire).await.unwrap();
        assert!(wire.taken == whole, "byte by byte");
    }
}

#[tokio::test]
async fn frames_that_are_added_while_others_wait_follow_them() {
    let mut writer = Writer::new(true);
    let mut wire = Wire::taking(|| 0);
    let mut sent = push_some(&mut writer, None);
    let error = written(&mut writer, &mut wire).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    sent.extend(push_some(&mut writer, None));
    let mut wire = Wire::taking(|| 1500);
    written(&mut writer, &mut wire).await.unwrap();
    assert_eq!(read(false, &wire.taken).await, sent);
}

#[tokio::test]
async fn a_full_writer_has_one_write_for_many_large_frames() {
    let mut writer = Writer::new(true);
    let mut pushed = 0;
    while !writer.is_full() {
        writer.push(body(APART_FROM), None);
        pushed += 1;
    }
    let mut wire = Wire::wide();
    written(&mut writer, &mut wire).await.unwrap();
    assert_eq!((wire.plain, wire.vectored), (0, 1));
    assert_eq!(read(false, &wire.taken).await.len(), pushed);
}

/// Where the payload of the only frame lies that was set apart.
fn apart(writer: &Writer) -> Option<*const u8> {
    writer.0.first_apart().map(|payload| payload.as_ptr())
}

#[tokio::test]
async fn a_large_payload_is_copied_only_to_be_masked_and_only_if_somebody_shares_it() {
    for (key, shared, stays) in [
        (None, true, true),
        (Some(Key::ZERO), true, true),
        (Some(key()), false, true),
        (Some(key()), true, false),
    ] {
        let frame = body(MAX_BODY_FRAME);
        let lies = frame.payload.as_ptr();
        let sent = frame.to_bytes();
        let held = shared.then(|| frame.payload.clone());
        let mut writer = Writer::new(true);
        writer.push(frame, key);
        assert_eq!(
            apart(&writer),
            stays.then_some(lies),
            "{key:?}, shared: {shared}"
        );
        let mut wire = Wire::wide();
        written(&mut writer, &mut wire).await.unwrap();
        assert_eq!(read(key.is_some(), &wire.taken).await.first(), Some(&sent));
        if let Some(held) = held {
            assert_eq!(
                held,
                sent.slice(HEADER_LEN..),
                "what others see is never masked"
            );
        }
    }
}
