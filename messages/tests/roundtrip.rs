//! Properties of the codec over input nobody thought of: what is written reads back, and what is read writes back the same or
//! is refused; nothing panics.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets a surprise fails, which is its job"
)]

use adit_messages::{
    Flags, Frame, HEADER_LEN, MAX_FRAME, MAX_INLINE_BODY, Message, RequestHead, RequestId, Reset,
    ResetCode, ResponseHead, Scheme, StreamId, Tag, Teardown, TunnelId, VisitorFacts,
};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Version};
use proptest::prelude::*;

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn stream() -> impl Strategy<Value = StreamId> {
    (1..=StreamId::LAST.0).prop_map(StreamId)
}

/// Names from a few letters, so that repeats are common; values of any legal byte.
fn headers() -> impl Strategy<Value = HeaderMap> {
    let value = prop::collection::vec(
        prop_oneof![Just(b'\t'), 0x20..0x7f_u8, 0x80..=0xff_u8],
        0..40,
    );
    let name = prop_oneof![
        "[a-c]",
        "x-[a-z0-9!#$%&'*+.^_`|~-]{1,20}",
        Just("host".to_owned())
    ];
    prop::collection::vec((name, value), 0..40).prop_map(|entries| {
        entries
            .into_iter()
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.append(name, HeaderValue::from_bytes(&value).unwrap());
                headers
            })
    })
}

fn visitor() -> impl Strategy<Value = VisitorFacts> {
    let version = prop_oneof![
        Just(Version::HTTP_10),
        Just(Version::HTTP_11),
        Just(Version::HTTP_2)
    ];
    (any::<std::net::IpAddr>(), any::<u16>(), version).prop_map(|(ip, port, version)| {
        VisitorFacts {
            addr: (ip, port).into(),
            version,
        }
    })
}

prop_compose! {
    fn request()(
        method in "[A-Z!#$%&'*+.^_`|~-]{1,30}".prop_filter("CONNECT does not travel", |method| method != "CONNECT"),
        https in any::<bool>(),
        authority in "[a-z0-9.-]{1,60}(:[0-9]{1,5})?",
        target in "/[a-zA-Z0-9/%&=@:\\\\~{}|\"-]{0,40}([?][a-zA-Z0-9/%&=?@:\\\\~{}|-]{0,40})?",
        headers in headers(),
        visitor in visitor(),
        request_id in any::<[u8; 16]>(),
        attempt in any::<u8>(),
    ) -> RequestHead {
        RequestHead {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            scheme: if https { Scheme::Https } else { Scheme::Http },
            authority,
            target: PathAndQuery::try_from(target).unwrap(),
            headers,
            visitor,
            request_id: RequestId(request_id),
            attempt,
        }
    }
}

fn response() -> impl Strategy<Value = ResponseHead> {
    (200_u16..=999, headers()).prop_map(|(status, headers)| ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
    })
}

/// Through the bytes and back, as over a link.
fn carried(frame: &Frame) -> Frame {
    Frame::decode(frame.to_bytes()).unwrap()
}

/// What an encoder made is within every limit, so the frame and its message decode.
fn read(frame: &Frame) -> Message {
    Message::decode(&carried(frame)).unwrap()
}

/// The frame's header and what is random about a hostile peer: a payload that is likely to begin well.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![4 => prop::sample::select(Tag::ALL.to_vec()).prop_map(Tag::as_u8), 1 => any::<u8>()];
    let start = prop_oneof![Just(vec![]), (0_u8..80).prop_map(|len| vec![0, 0, 0, len])];
    (
        tag,
        any::<u8>(),
        0_u8..2,
        start,
        prop::collection::vec(any::<u8>(), 0..200),
    )
        .prop_map(|(tag, flags, stream, start, rest)| {
            [vec![tag, flags, 0, 0, 0, stream], start, rest].concat()
        })
}

proptest! {
    #[test]
    fn requests(head in request(), stream in stream(), body in bytes(2000), end in any::<bool>()) {
        let frame = head.encode(stream, &body, end).unwrap();
        prop_assert_eq!(carried(&frame).stream, stream);
        prop_assert_eq!(frame.is_end(), end);
        prop_assert_eq!(frame.cost() > 0, !body.is_empty());
        prop_assert_eq!(read(&frame), Message::HttpRequest { head, body, end });
    }

    #[test]
    fn responses(head in response(), stream in stream(), body in bytes(MAX_INLINE_BODY), end in any::<bool>()) {
        let frame = head.encode(stream, &body, end).unwrap();
        prop_assert!(frame.payload.len() + HEADER_LEN <= MAX_FRAME);
        prop_assert_eq!(read(&frame), Message::HttpResponse { head, body, end });
    }

    #[test]
    fn trailers(trailers in headers(), stream in stream()) {
        let frame = Frame::trailers(stream, &trailers).unwrap();
        prop_assert!(frame.is_end());
        prop_assert_eq!(read(&frame), Message::Trailers(trailers));
    }

    #[test]
    fn bodies_and_signals(data in bytes(2000), end in any::<bool>(), stream in stream(), credit in 1..=0x7fff_ffff_u32) {
        prop_assert_eq!(read(&Frame::window(stream, credit)), Message::Window(credit));
        prop_assert_eq!(read(&Frame::body(stream, data.clone(), end)), Message::Body { data, end });
    }

    #[test]
    fn resets(code in any::<u16>(), reason in any::<String>(), stream in stream()) {
        let reset = Reset::new(ResetCode::from_u16(code), reason);
        prop_assert_eq!(read(&Frame::reset(stream, &reset)), Message::Reset(reset));
    }

    #[test]
    fn upgrades(head in request(), accepted in headers(), stream in stream()) {
        let status = StatusCode::SWITCHING_PROTOCOLS;
        let accepted = ResponseHead { status, headers: accepted };
        prop_assert_eq!(read(&accepted.encode_accepted(stream).unwrap()), Message::WsResponse(accepted));
        prop_assert_eq!(read(&head.encode_upgrade(stream).unwrap()), Message::WsRequest(head));
    }

    #[test]
    fn socket_messages(data in bytes(2000), text in any::<bool>(), more in any::<bool>(), stream in stream()) {
        let frame = Frame::ws_message(stream, data.clone(), text, more);
        prop_assert!(!frame.is_end() && frame.cost() >= 64);
        prop_assert_eq!(read(&frame), Message::WsMessage { data, text, more });
    }

    #[test]
    fn teardowns(code in 1000_u16..=4999, reason in "[a-zé]{0,60}", stream in stream()) {
        let close = |code, reason| Teardown::Close { code, reason };
        let teardown = match code {
            1005 => close(None, String::new()),
            1006 => Teardown::Lost,
            code => close(Some(code), reason),
        };
        let frame = Frame::ws_teardown(stream, &teardown);
        prop_assert!(frame.is_end());
        prop_assert_eq!(read(&frame), Message::WsTeardown(teardown));
    }

    #[test]
    fn labels(id in any::<[u8; 32]>()) {
        let id = TunnelId(id);
        prop_assert_eq!(TunnelId::from_label(&id.label()), Ok(id));
    }

    /// Any text that is a label is the one label of its tunnel.
    #[test]
    fn no_tunnel_has_two_labels(text in "[a-z2-7]{52}") {
        if let Ok(id) = TunnelId::from_label(&text) {
            prop_assert_eq!(id.label(), text);
        }
    }

    #[test]
    fn hostile_bytes_never_panic(message in hostile()) {
        if let Ok(frame) = Frame::decode(Bytes::from(message)) {
            prop_assert!(!frame.is_end() || frame.tag().is_some_and(Tag::on_stream), "{:?}", frame);
            prop_assert!(frame.cost() as usize <= frame.payload.len() + 64);
            match Message::decode(&frame) {
                Ok(message) => prop_assert!(frame.tag().is_some(), "{:?}", message),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    /// One changed byte in a good request is read as a request or refused, and what is read can be written again.
    #[test]
    fn a_damaged_request_is_refused_or_still_a_request(
        head in request(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut payload = head.encode(StreamId(1), b"body", true).unwrap().payload.to_vec();
        let at = at.index(payload.len());
        payload[at] = byte;
        let frame = Frame::new(Tag::HttpRequest, Flags::END, StreamId(1), Bytes::from(payload));
        if let Ok(Message::HttpRequest { head, body, end }) = Message::decode(&frame) {
            let again = head.encode(StreamId(1), &body, end).unwrap();
            prop_assert_eq!(read(&again), Message::HttpRequest { head, body, end });
        }
    }
}
