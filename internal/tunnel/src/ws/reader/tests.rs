//! Bytes in every portion, from peers that keep to the rules and from those that do not.

use std::future::poll_fn;

use bytes::Buf;
use tokio::io::{AsyncWriteExt, ReadBuf, duplex};

use super::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    framed(first, payload, None)
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    framed(first, payload, Some(Key::new(KEY)))
}

/// A frame with this first byte, the rest of its header encoded as it should be.
fn framed(first: u8, payload: &[u8], key: Option<Key>) -> Vec<u8> {
    let header = Header {
        fin: true,
        opcode: Opcode::Binary,
        key,
        len: payload.len() as u64,
    };
    let mut bytes = [0; MAX_HEADER];
    let len = header.encode(&mut bytes);
    bytes[0] = first;
    let mut out = BytesMut::from(&bytes[..len]);
    key.unwrap_or(Key::ZERO).append(payload, &mut out);
    out.to_vec()
}

fn text(len: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(len).collect()
}

fn message(payload: impl AsRef<[u8]>) -> Event {
    Event::Message(Bytes::copy_from_slice(payload.as_ref()))
}

/// Gives at most so many bytes at once.
struct Portions<'a>(&'a [u8], usize);

impl AsyncRead for Portions<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let portion = self.0.len().min(self.1).min(buf.remaining());
        buf.put_slice(&self.0[..portion]);
        self.0.advance(portion);
        Poll::Ready(Ok(()))
    }
}

async fn next<IO: AsyncRead + Unpin>(
    reader: &mut Reader,
    io: &mut IO,
) -> Result<Event, TransportError> {
    poll_fn(|cx| reader.poll_event(io, cx)).await
}

/// All that a server makes of these bytes, up to their end, if no rule is broken.
async fn heard(bytes: &[u8], portion: usize) -> Result<Vec<Event>, TransportError> {
    let mut reader = Reader::new(true, &[]);
    let mut io = Portions(bytes, portion);
    let mut events = Vec::new();
    loop {
        match next(&mut reader, &mut io).await? {
            Event::End => {
                assert_eq!(reader.heard(), bytes.len() as u64);
                return Ok(events);
            }
            event => events.push(event),
        }
    }
}

#[tokio::test]
async fn messages_come_out_whole_in_whatever_portions_their_bytes_come_in() {
    let sizes = [
        0,
        1,
        125,
        126,
        300,
        SIP,
        READ_IN_PLACE,
        READ_IN_PLACE + 1,
        65_536,
        MAX_FRAME,
    ];
    let mut bytes = Vec::new();
    let mut sent = Vec::new();
    // Each size behind each other one, so that each way of reading meets what the one before left it.
    for before in sizes {
        for len in sizes {
            for len in [before, len] {
                bytes.extend(masked(0x82, &text(len)));
                sent.push(message(text(len)));
            }
        }
        bytes.extend(masked(0x89, b"still there?"));
        sent.push(Event::Ping(Bytes::from_static(b"still there?")));
    }
    for portion in [61, 1000, SIP, 17_000, SCRATCH_LEN, usize::MAX] {
        assert!(
            heard(&bytes, portion).await.unwrap() == sent,
            "portions of {portion}"
        );
    }
}

#[tokio::test]
async fn one_byte_at_a_time_is_enough() {
    let bytes = [
        masked(0x82, b"first"),
        masked(0x8a, b"pong"),
        masked(0x82, &text(300)),
        masked(0x82, &text(READ_IN_PLACE + 1)),
        masked(0x88, &[0x03, 0xe8]),
    ]
    .concat();
    let events = heard(&bytes, 1).await.unwrap();
    let sent = [
        message("first"),
        Event::Pong,
        message(text(300)),
        message(text(READ_IN_PLACE + 1)),
        Event::Close(Some(1000)),
    ];
    assert_eq!(events, sent);
}

#[tokio::test]
async fn what_came_behind_the_opening_handshake_is_read_first() {
    let mut reader = Reader::new(
        false,
        &[frame(0x82, b"hello"), frame(0x82, b"wor")[..4].to_vec()].concat(),
    );
    let mut io = &b"r"[..];
    assert_eq!(next(&mut reader, &mut io).await.unwrap(), message("hello"));
    assert_eq!(reader.heard(), 7 + 4);
    let mut io = &b"r"[..];
    assert_eq!(next(&mut reader, &mut io).await.unwrap(), message("wor"));
}

#[tokio::test]
async fn fragments_become_one_message_and_control_frames_pass_between_them() {
    for portion in [1, 3, usize::MAX] {
        let large = text(READ_IN_PLACE + 500);
        let bytes = [
            masked(0x02, b"Hel"),
            masked(0x89, b"ping"),
            masked(0x00, b""),
            masked(0x00, &large),
            masked(0x80, b"lo"),
            masked(0x82, b"next"),
        ]
        .concat();
        let whole = [b"Hel", &large[..], b"lo"].concat();
        let ping = Event::Ping(Bytes::from_static(b"ping"));
        assert_eq!(
            heard(&bytes, portion).await.unwrap(),
            [ping, message(whole), message("next")]
        );
    }
}

#[tokio::test]
async fn too_much_is_refused_by_its_announcement() {
    let endless = [masked(0x02, &text(60_000)), masked(0x00, &text(60_000))].concat();
    let announced = |len: u64| [&[0x82, 0xff][..], &len.to_be_bytes(), &KEY].concat();
    for (bytes, announced) in [
        (endless, 120_000),
        (announced(MAX_FRAME as u64 + 1), MAX_FRAME + 1),
        (announced(i64::MAX as u64), usize::MAX >> 1),
    ] {
        let error = heard(&bytes, usize::MAX).await.unwrap_err();
        assert!(
            matches!(error, TransportError::TooLarge { len, max: MAX_FRAME } if len == announced),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_breaks_a_rule_is_told_which() {
    use Violation as V;
    for (bytes, rule) in [
        (masked(0xc2, b"rsv"), V::ReservedBits),
        (masked(0x81, b"text"), V::Text),
        (masked(0x83, b"?"), V::Opcode(3)),
        (masked(0x09, b"ping"), V::FragmentedControl),
        (masked(0x89, &text(126)), V::LongControl),
        (frame(0x82, b"plain"), V::Unmasked),
        (frame(0x89, b"plain"), V::Unmasked),
        (masked(0x80, b"of what?"), V::LooseContinuation),
        (
            [masked(0x02, b"one"), masked(0x82, b"two")].concat(),
            V::Interleaved,
        ),
        (masked(0x88, b"?"), V::CloseBody),
        (masked(0x88, &999_u16.to_be_bytes()), V::CloseBody),
        (masked(0x88, &1005_u16.to_be_bytes()), V::CloseBody),
        (masked(0x88, &5000_u16.to_be_bytes()), V::CloseBody),
        (masked(0x88, &[0x03, 0xe8, 0xff]), V::CloseBody),
    ] {
        for portion in [1, usize::MAX] {
            let error = heard(&bytes, portion).await.unwrap_err();
            assert!(
                matches!(&error, TransportError::Protocol(told) if *told == rule.to_string()),
                "{rule:?}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_masks_is_refused() {
    let mut reader = Reader::new(false, &[]);
    let error = next(&mut reader, &mut &masked(0x82, b"?")[..])
        .await
        .unwrap_err();
    assert!(
        matches!(error, TransportError::Protocol(told) if told == Violation::Masked.to_string())
    );
}

#[tokio::test]
async fn a_link_that_waits_holds_what_has_arrived_and_no_buffer() {
    let (mut far, mut near) = duplex(1 << 20);
    let mut reader = Reader::new(true, &[]);
    let mut polled = async |reader: &mut Reader| {
        futures_util::poll!(std::pin::pin!(next(reader, &mut near))).map(Result::unwrap)
    };
    assert!(polled(&mut reader).await.is_pending());
    assert_eq!(reader.holds(), 0);

    far.write_all(&masked(0x82, b"one")).await.unwrap();
    assert_eq!(polled(&mut reader).await, Poll::Ready(message("one")));
    assert_eq!(reader.holds(), 0, "with a message and nothing behind it");
    assert!(polled(&mut reader).await.is_pending());
    assert_eq!(reader.holds(), 0, "after a message");

    let large = masked(0x82, &text(65_536));
    far.write_all(&large[..5]).await.unwrap();
    assert!(polled(&mut reader).await.is_pending());
    assert_eq!(reader.holds(), 5, "a part of a header");
    far.write_all(&large[5..30_000]).await.unwrap();
    assert!(polled(&mut reader).await.is_pending());
    assert!(reader.holds() <= 65_536 + MAX_HEADER, "a part of a message");
    far.write_all(&large[30_000..]).await.unwrap();
    assert_eq!(
        polled(&mut reader).await,
        Poll::Ready(message(text(65_536)))
    );
    assert!(polled(&mut reader).await.is_pending());
    assert_eq!(reader.holds(), 0, "after a large message");
}

/// Counts what is asked of it.
struct Asked<'a>(&'a [u8], usize);

impl AsyncRead for Asked<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.1 += 1;
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

#[tokio::test]
async fn many_small_frames_are_one_read_and_each_large_one_of_a_body_is_one() {
    let small = masked(0x82, &text(1000)).repeat(60);
    let mut io = Asked(&small, 0);
    let mut reader = Reader::new(true, &[]);
    for _ in 0..60 {
        assert_eq!(
            next(&mut reader, &mut io).await.unwrap(),
            message(text(1000))
        );
    }
    assert_eq!(io.1, 1);

    let body = masked(0x82, &text(65_000)).repeat(20);
    let mut io = Asked(&body, 0);
    for _ in 0..20 {
        assert_eq!(
            next(&mut reader, &mut io).await.unwrap(),
            message(text(65_000))
        );
    }
    assert!(io.1 <= 20 + 2, "{} reads", io.1);
}
