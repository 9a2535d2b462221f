//! Heads: what survives the trip, and what is refused at each end with the rule's name.

use http::header::{HeaderName, HeaderValue};

use super::*;
use crate::headers::{MAX_HEADER_NAME, MAX_HEADERS};
use crate::message::Message;

const STREAM: StreamId = StreamId(1);

fn request(target: &str) -> RequestHead {
    RequestHead {
        method: Method::GET,
        scheme: Scheme::Https,
        authority: "pit.example:8443".to_owned(),
        target: PathAndQuery::try_from(target).unwrap(),
        headers: HeaderMap::new(),
        visitor: VisitorFacts {
            addr: "[2001:db8::1]:50000".parse().unwrap(),
            version: Version::HTTP_11,
        },
        request_id: RequestId([9; 16]),
        attempt: 1,
    }
}

fn response(status: u16) -> ResponseHead {
    ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
    }
}

fn with_headers(entries: impl IntoIterator<Item = (String, Vec<u8>)>) -> ResponseHead {
    let mut head = response(200);
    for (name, value) in entries {
        head.headers.append(
            HeaderName::try_from(name).unwrap(),
            HeaderValue::from_bytes(&value).unwrap(),
        );
    }
    head
}

/// A response payload made by hand: what a hostile peer can send and our encoder cannot.
fn payload(head: &[u8], body: &[u8]) -> Bytes {
    let len = u32::try_from(head.len()).unwrap().to_be_bytes();
    Bytes::from([&len, head, body].concat())
}

fn decode_response(head: &[u8], body: &[u8]) -> Result<ResponseHead, DecodeError> {
    ResponseHead::decode(&payload(head, body), false).map(|(head, _)| head)
}

/// The payload of a good request in which one run of bytes was replaced by another of the same length.
fn tampered(head: &RequestHead, from: &[u8], to: &[u8]) -> Result<RequestHead, DecodeError> {
    let mut bytes = head.encode(STREAM, b"", true).unwrap().payload.to_vec();
    let at = bytes
        .windows(from.len())
        .position(|run| run == from)
        .unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    RequestHead::decode(&Bytes::from(bytes)).map(|(head, _)| head)
}

#[test]
fn a_request_survives_with_its_inline_body() {
    let head = request("/a//b?q=%00&x[]=1");
    let frame = head.encode(STREAM, b"body", true).unwrap();
    let read = Message::decode(&frame).unwrap();
    let body = Bytes::from_static(b"body");
    assert_eq!(
        read,
        Message::HttpRequest {
            head,
            body,
            end: true
        }
    );
}

#[test]
fn repeated_headers_keep_their_order_and_values_their_bytes() {
    let head = with_headers([
        ("set-cookie".to_owned(), b"a=1".to_vec()),
        ("x-latin".to_owned(), b"caf\xe9\t\xff".to_vec()),
        ("set-cookie".to_owned(), b"b=2".to_vec()),
        ("x-empty".to_owned(), Vec::new()),
        ("set-cookie".to_owned(), b"a=1".to_vec()),
    ]);
    let frame = head.encode(STREAM, b"", false).unwrap();
    let (read, _) = ResponseHead::decode(&frame.payload, false).unwrap();
    let cookies: Vec<_> = read.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2", "a=1"]);
    assert_eq!(read, head);
}

#[test]
fn encoding_allocates_exactly_what_it_writes() {
    for head in [request("/"), request("/a?b")] {
        let len = head.encode(STREAM, b"xyz", true).unwrap().payload.len();
        let fixed = HEAD_LEN_FIELD + REQUEST_FIXED + 16 + 2;
        assert_eq!(
            len,
            fixed + "GET".len() + head.authority.len() + head.target.as_str().len() + 3
        );
    }
}

#[test]
fn odd_targets_stay_what_they_are() {
    for target in [
        "//169.254.169.254/x",
        "/@host",
        "/\\host",
        "/http://other/",
        "/?",
        "/%2e%2e/",
    ] {
        let head = request(target);
        let frame = head.encode(STREAM, b"", true).unwrap();
        assert_eq!(
            RequestHead::decode(&frame.payload)
                .unwrap()
                .0
                .target
                .as_str(),
            target
        );
    }
}

#[test]
fn only_origin_form_and_the_asterisk_of_options_are_targets() {
    let head = request("/twelve-chars");
    let hostile = [
        "http://a.b/cd",
        "@twelve-chars",
        "?twelve-chars",
        "*",
        "twelve-chars:",
        "\\twelve-chars",
        "/frag#ment123",
        "/nul\0ment1234",
        "/spa ce123456",
        "/line\nbreak12",
    ];
    for target in hostile {
        let padded = format!("{target:/<13}");
        let target = if target == "*" {
            "*//twelve-cha"
        } else {
            &padded
        };
        assert_eq!(
            tampered(&head, b"/twelve-chars", target.as_bytes()),
            Err(DecodeError::Target),
            "{target:?}"
        );
    }

    let mut asterisk = request("*");
    assert_eq!(asterisk.encode(STREAM, b"", true), Err(EncodeError::Target));
    asterisk.method = Method::OPTIONS;
    let frame = asterisk.encode(STREAM, b"", true).unwrap();
    assert_eq!(RequestHead::decode(&frame.payload).unwrap().0, asterisk);
}

#[test]
fn methods_schemes_authorities_and_versions_are_checked() {
    let mut head = request("/");
    head.method = Method::from_bytes(b"BREWING").unwrap();
    assert_eq!(
        tampered(&head, b"BREWING", b"BREW NG"),
        Err(DecodeError::Method)
    );
    assert_eq!(
        tampered(&head, b"BREWING", b"CONNECT").map(|h| h.method),
        Err(DecodeError::Method)
    );
    // The length in front of the method, the scheme before that.
    assert_eq!(
        tampered(&head, b"\x01\x07BREW", b"\x02\x07BREW"),
        Err(DecodeError::Scheme(2))
    );
    for authority in [
        "user@it.example",
        "pit.example/443",
        "pit example:443",
        "pit.ex\u{e9}mple:44",
        "pit.example\r8443",
    ] {
        let padded = format!("{authority:x<16}");
        assert_eq!(
            tampered(&head, b"pit.example:8443", &padded.as_bytes()[..16]),
            Err(DecodeError::Authority),
            "{authority:?}"
        );
    }
    let facts = [&[9; 16][..], &[11, 6]].concat();
    let other = |version, family| [&[9; 16][..], &[version, family]].concat();
    assert_eq!(
        tampered(&head, &facts, &other(30, 6)),
        Err(DecodeError::VisitorVersion(30))
    );
    assert_eq!(
        tampered(&head, &facts, &other(11, 5)),
        Err(DecodeError::AddressFamily(5))
    );
}

#[test]
fn what_cannot_be_carried_is_refused_before_it_is_written() {
    let refused = |change: fn(&mut RequestHead)| {
        let mut head = request("/");
        change(&mut head);
        head.encode(STREAM, b"", true).unwrap_err()
    };
    assert_eq!(refused(|h| h.method = Method::CONNECT), EncodeError::Method);
    assert_eq!(
        refused(|h| h.method = Method::from_bytes(&[b'M'; 256]).unwrap()),
        EncodeError::Method
    );
    assert_eq!(
        refused(|h| h.authority = String::new()),
        EncodeError::Authority
    );
    assert_eq!(
        refused(|h| h.authority = "a".repeat(256)),
        EncodeError::Authority
    );
    assert_eq!(
        refused(|h| h.authority = "user@host".to_owned()),
        EncodeError::Authority
    );
    assert_eq!(
        refused(|h| h.visitor.version = Version::HTTP_3),
        EncodeError::VisitorVersion
    );
    let big = vec![0; MAX_INLINE_BODY + 1];
    let too_big = Err(EncodeError::InlineBodyTooLarge { len: big.len() });
    assert_eq!(request("/").encode(STREAM, &big, true), too_big);
    assert!(request("/").encode(STREAM, &big[1..], true).is_ok());
}

#[test]
fn header_limits_hold_at_both_ends() {
    let many = |count: usize| {
        with_headers((0..count).map(|i| ("x-same".to_owned(), i.to_string().into_bytes())))
    };
    let frame = many(MAX_HEADERS).encode(STREAM, b"", false).unwrap();
    assert_eq!(
        ResponseHead::decode(&frame.payload, false).unwrap().0,
        many(MAX_HEADERS)
    );
    let count = MAX_HEADERS + 1;
    assert_eq!(
        many(count).encode(STREAM, b"", false),
        Err(EncodeError::TooManyHeaders { count })
    );
    // The count alone is refused: the entries need not be there.
    assert_eq!(
        decode_response(&[0, 200, 1, 1], b""),
        Err(DecodeError::TooManyHeaders { count })
    );
    assert_eq!(
        decode_response(&[0, 200, 0xff, 0xff], b""),
        Err(DecodeError::TooManyHeaders { count: 0xffff })
    );

    let name = "n".repeat(MAX_HEADER_NAME);
    assert!(
        with_headers([(name.clone(), Vec::new())])
            .encode(STREAM, b"", false)
            .is_ok()
    );
    let long = with_headers([(format!("{name}n"), Vec::new())]);
    assert_eq!(
        long.encode(STREAM, b"", false),
        Err(EncodeError::HeaderNameTooLong { len: 256 })
    );
}

#[test]
fn a_head_ends_at_64_kib() {
    // Status, count, two lengths and the name "x" are 8 bytes.
    let sized = |value: usize| {
        let half = value / 2;
        let entry = |len| ("x".to_owned(), vec![b'v'; len]);
        with_headers([entry(half), entry(value - half)])
    };
    let largest = sized(MAX_HEAD - 12);
    let frame = largest.encode(STREAM, b"", false).unwrap();
    assert_eq!(frame.payload.len(), HEAD_LEN_FIELD + MAX_HEAD);
    assert_eq!(
        ResponseHead::decode(&frame.payload, false).unwrap().0,
        largest
    );
    let len = MAX_HEAD + 1;
    assert_eq!(
        sized(MAX_HEAD - 11).encode(STREAM, b"", false),
        Err(EncodeError::HeadTooLarge { len })
    );
    let announced = Bytes::copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
    assert_eq!(
        ResponseHead::decode(&announced, false),
        Err(DecodeError::HeadTooLarge { len })
    );
}

#[test]
fn header_grammar_is_checked_on_arrival() {
    let entry = |name: &[u8], value: &[u8]| {
        let lengths = [
            u8::try_from(name.len()).unwrap(),
            0,
            u8::try_from(value.len()).unwrap(),
        ];
        [
            &[0, 200, 0, 2, 1, 0, 1, b'a', b'1'],
            &lengths[..],
            name,
            value,
        ]
        .concat()
    };
    assert!(decode_response(&entry(b"x-good", b"v\xff\t"), b"").is_ok());
    for name in [
        &b""[..],
        b"Upper",
        b"sp ace",
        b"co:lon",
        b":status",
        b"cr\r",
        b"nul\0",
        b"\xe9",
    ] {
        assert_eq!(
            decode_response(&entry(name, b"v"), b""),
            Err(DecodeError::HeaderName { index: 1 })
        );
    }
    for value in [&b"a\r\nb: c"[..], b"\n", b"\0", b"\x7f", b"\x1b[31m"] {
        assert_eq!(
            decode_response(&entry(b"x", value), b""),
            Err(DecodeError::HeaderValue { index: 1 })
        );
    }
}

#[test]
fn a_payload_cut_anywhere_inside_its_head_says_what_is_missing() {
    let mut head = request("/path");
    head.headers
        .append("x-mine", HeaderValue::from_static("value"));
    let whole = head.encode(STREAM, b"", true).unwrap().payload;
    for len in 0..whole.len() {
        let cut = whole.slice(..len);
        assert!(
            matches!(
                RequestHead::decode(&cut),
                Err(DecodeError::Truncated { .. })
            ),
            "at {len}"
        );
        // Also when the announced length agrees with the cut.
        if let Some(head) = len.checked_sub(HEAD_LEN_FIELD) {
            let cut = payload(&whole[HEAD_LEN_FIELD..len], b"");
            assert!(RequestHead::decode(&cut).is_err(), "head of {head}");
        }
    }
}

#[test]
fn fields_of_a_later_version_behind_the_headers_are_skipped() {
    assert_eq!(
        decode_response(b"\x00\xc8\x00\x00from the future", b"").unwrap(),
        response(200)
    );
}

#[test]
fn a_status_has_three_digits() {
    assert_eq!(
        decode_response(&[0, 99, 0, 0], b""),
        Err(DecodeError::Status(99))
    );
    assert_eq!(
        decode_response(&[3, 0xe8, 0, 0], b""),
        Err(DecodeError::Status(1000))
    );
    assert_eq!(
        decode_response(&[3, 0xe7, 0, 0], b"").unwrap(),
        response(999)
    );
}

#[test]
fn an_interim_head_neither_ends_nor_carries_a_body() {
    let hints = response(103);
    assert!(hints.encode(STREAM, b"", false).is_ok());
    assert_eq!(hints.encode(STREAM, b"", true), Err(EncodeError::Interim));
    assert_eq!(hints.encode(STREAM, b"x", false), Err(EncodeError::Interim));
    assert_eq!(
        decode_response(&[0, 103, 0, 0], b"x"),
        Err(DecodeError::Interim)
    );
    let ending = ResponseHead::decode(&payload(&[0, 103, 0, 0], b""), true);
    assert_eq!(ending, Err(DecodeError::Interim));
}

#[test]
fn an_inline_body_has_its_limit_and_is_never_copied() {
    let frame = payload(&[0, 200, 0, 0], &vec![b'b'; MAX_INLINE_BODY]);
    let (_, body) = ResponseHead::decode(&frame, true).unwrap();
    assert_eq!(body.len(), MAX_INLINE_BODY);
    assert_eq!(body.as_ptr(), frame[8..].as_ptr());
    let len = MAX_INLINE_BODY + 1;
    assert_eq!(
        decode_response(&[0, 200, 0, 0], &vec![b'b'; len]),
        Err(DecodeError::InlineBodyTooLarge { len })
    );
}
