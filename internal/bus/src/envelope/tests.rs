//! The bytes of an envelope: round trips, one frozen example, and what is refused.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn frames() -> impl Strategy<Value = Frame> {
    (
        any::<u8>(),
        any::<u8>(),
        any::<u32>(),
        vec(any::<u8>(), 0..300),
    )
        .prop_map(|(tag, flags, stream, payload)| Frame {
            tag,
            flags: Flags(flags),
            stream: StreamId(stream),
            payload: payload.into(),
        })
}

fn contents() -> impl Strategy<Value = Content> {
    prop_oneof![
        (
            any::<u64>(),
            any::<u64>(),
            any::<[u8; 32]>(),
            any::<u8>(),
            frames()
        )
            .prop_map(|(link, generation, policy, attempt, frame)| Content::Open {
                link: LinkId(link),
                generation,
                policy: PolicyId(policy),
                attempt,
                frame,
            }),
        (any::<u64>(), frames()).prop_map(|(link, frame)| Content::ToAgent {
            link: LinkId(link),
            frame,
        }),
        Just(Content::Accepted),
        proptest::sample::select(Nack::ALL.to_vec()).prop_map(Content::Nack),
        frames().prop_map(Content::ToVisitor),
    ]
}

fn envelopes() -> impl Strategy<Value = Envelope> {
    (
        any::<[u8; 16]>(),
        any::<u64>(),
        any::<[u8; 32]>(),
        contents(),
    )
        .prop_map(|(from, exchange, tunnel, content)| Envelope {
            from: NodeId(from),
            exchange: ExchangeId(exchange),
            tunnel: TunnelId(tunnel),
            content,
        })
}

fn bytes_of(envelope: &Envelope) -> Bytes {
    let mut out = BytesMut::new();
    envelope.encode(&mut out).expect("it is small enough");
    assert_eq!(out.len(), envelope.encoded_len());
    out.freeze()
}

fn with_payload(len: usize) -> Envelope {
    Envelope {
        from: NodeId([0xaa; 16]),
        exchange: ExchangeId(0x0102),
        tunnel: TunnelId([0xbb; 32]),
        content: Content::Open {
            link: LinkId(3),
            generation: 4,
            policy: PolicyId([0xcc; 32]),
            attempt: 5,
            frame: Frame {
                tag: 0x10,
                flags: Flags(1),
                stream: StreamId(0),
                payload: vec![b'x'; len].into(),
            },
        },
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(envelope in envelopes()) {
        prop_assert_eq!(Envelope::decode(bytes_of(&envelope)), Ok(envelope));
    }

    #[test]
    fn any_prefix_is_refused_or_a_shorter_payload(envelope in envelopes(), cut in any::<prop::sample::Index>()) {
        let whole = bytes_of(&envelope);
        let short = whole.slice(..cut.index(whole.len()));
        if let Ok(read) = Envelope::decode(short) {
            prop_assert!(read.content.frame().is_some());
            prop_assert_ne!(read, envelope);
        }
    }

    #[test]
    fn garbage_is_refused_or_means_itself(bytes in vec(any::<u8>(), 0..200)) {
        // Random first bytes would nearly always stop at the version, so these get past it.
        let mut bytes = bytes;
        if let [version, kind, ..] = bytes.as_mut_slice() {
            *version = VERSION;
            *kind %= 8;
        }
        if let Ok(envelope) = Envelope::decode(bytes.clone().into()) {
            prop_assert_eq!(bytes_of(&envelope), bytes);
        }
    }
}

#[test]
fn the_bytes_are_frozen() {
    let mut expected = vec![2, 1];
    expected.extend([0xaa; 16]);
    expected.extend([0, 0, 0, 0, 0, 0, 1, 2]);
    expected.extend([0xbb; 32]);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4]);
    expected.extend([0xcc; 32]);
    expected.push(5);
    expected.extend([0x10, 1, 0, 0, 0, 0, b'x', b'x']);
    assert_eq!(bytes_of(&with_payload(2)), expected);
}

#[test]
fn the_payload_is_not_copied_when_read() {
    let bytes = bytes_of(&with_payload(1000));
    let tail = bytes.slice(bytes.len() - 1000..);
    let envelope = Envelope::decode(bytes).unwrap();
    let frame = envelope.content.frame().unwrap();
    assert_eq!(frame.payload.as_ptr(), tail.as_ptr());
}

#[test]
fn the_largest_frame_fits_and_one_byte_more_does_not() {
    let largest = with_payload(MAX_FRAME - HEADER_LEN);
    assert_eq!(bytes_of(&largest).len(), MAX_ENVELOPE);
    assert_eq!(Envelope::decode(bytes_of(&largest)), Ok(largest));

    let mut out = BytesMut::from("kept");
    let larger = with_payload(MAX_FRAME - HEADER_LEN + 1);
    assert_eq!(
        larger.encode(&mut out),
        Err(EncodeError {
            len: MAX_FRAME - HEADER_LEN + 1
        })
    );
    assert_eq!(out, "kept");
}

#[test]
fn each_fault_has_its_own_error() {
    let accepted = Envelope {
        content: Content::Accepted,
        ..with_payload(0)
    };
    let altered = |at: usize, to: u8| {
        let mut bytes = BytesMut::from(bytes_of(&accepted));
        bytes[at] = to;
        Envelope::decode(bytes.freeze())
    };
    assert_eq!(altered(0, 1), Err(EnvelopeError::Version(1)));
    assert_eq!(altered(1, 6), Err(EnvelopeError::Kind(6)));
    assert_eq!(altered(1, NACK), Err(EnvelopeError::Short));

    let mut followed = BytesMut::from(bytes_of(&accepted));
    followed.put_u8(9);
    assert_eq!(
        Envelope::decode(followed.clone().freeze()),
        Err(EnvelopeError::Trailing(1))
    );
    followed[1] = NACK;
    assert_eq!(
        Envelope::decode(followed.freeze()),
        Err(EnvelopeError::Reason(9))
    );

    let huge = Bytes::from(vec![0; MAX_ENVELOPE + 1]);
    assert_eq!(
        Envelope::decode(huge),
        Err(EnvelopeError::TooLarge(MAX_ENVELOPE + 1))
    );

    // Of a kind with a shorter fixed part, a frame can be too large inside an envelope that is not.
    let mut visitor = BytesMut::from(bytes_of(&accepted));
    visitor[1] = TO_VISITOR;
    visitor.put_bytes(0, MAX_FRAME + 1);
    assert_eq!(
        Envelope::decode(visitor.freeze()),
        Err(EnvelopeError::TooLarge(MAX_FRAME + 1))
    );
}
