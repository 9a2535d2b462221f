//! The bytes of the specification, frozen: every file in `vectors/` is decoded to the message below and encoded back to the
//! same bytes; every file in `vectors/refused/` is refused with the text that its `refused:` line gives.
//!
//! A vector that has to change means that peers in the field no longer understand each other: change the version instead.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets a surprise fails, which is its job"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use adit_messages::{
    Disconnect, DisconnectCode, Frame, Granted, Hello, LinkLimits, Message, NodeId, Notice,
    NoticeCode, RefusalCode, Refused, RegistrationResponse, RequestHead, RequestId, Reset,
    ResetCode, ResponseHead, Scheme, StreamId, Teardown, VisitorFacts,
};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Version};

#[test]
fn every_vector_reads_as_its_message_and_is_written_as_its_bytes() {
    let mut expected = messages();
    for (name, bytes) in vectors("") {
        let (stream, message) = expected
            .remove(&*name)
            .unwrap_or_else(|| panic!("no message for {name}"));
        let frame = Frame::decode(bytes.clone()).unwrap();
        assert_eq!(frame.stream, StreamId(stream), "{name}");
        assert_eq!(Message::decode(&frame).unwrap(), message, "{name}");
        assert_eq!(
            encode(StreamId(stream), &message).to_bytes(),
            bytes,
            "{name}"
        );
    }
    let missing: BTreeSet<_> = expected.into_keys().collect();
    assert_eq!(missing, BTreeSet::new(), "messages without a vector");
}

#[test]
fn every_refused_vector_is_refused_for_the_reason_it_gives() {
    let refused = vectors("refused");
    assert!(!refused.is_empty());
    for (name, bytes) in refused {
        let text = fs::read_to_string(folder("refused").join(format!("{name}.hex"))).unwrap();
        let reason = text
            .lines()
            .find_map(|line| line.strip_prefix("# refused: "))
            .unwrap();
        let error = match Frame::decode(bytes) {
            Err(error) => error.to_string(),
            Ok(frame) => Message::decode(&frame).unwrap_err().to_string(),
        };
        assert_eq!(error, reason, "{name}");
    }
}

fn folder(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(below)
}

/// The vectors of one folder by name. In a file, `#` starts a comment and white space means nothing.
fn vectors(below: &str) -> BTreeMap<String, Bytes> {
    let paths = fs::read_dir(folder(below))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let hex: String = text
                .lines()
                .flat_map(|line| line.split('#').next())
                .collect();
            let hex: String = hex.split_whitespace().collect();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, Bytes::from(HEXLOWER.decode(hex.as_bytes()).unwrap()))
        })
        .collect()
}

fn encode(stream: StreamId, message: &Message) -> Frame {
    match message {
        Message::Hello(hello) => hello.encode(),
        Message::RegistrationRequest(jws) => Frame::registration_request(jws.clone()),
        Message::RegistrationResponse(response) => response.encode(),
        Message::HttpRequest { head, body, end } => head.encode(stream, body, *end).unwrap(),
        Message::HttpResponse { head, body, end } => head.encode(stream, body, *end).unwrap(),
        Message::Body { data, end } => Frame::body(stream, data.clone(), *end),
        Message::Trailers(trailers) => Frame::trailers(stream, trailers).unwrap(),
        Message::WsRequest(head) => head.encode_upgrade(stream).unwrap(),
        Message::WsResponse(head) => head.encode_accepted(stream).unwrap(),
        Message::WsMessage { data, text, more } => {
            Frame::ws_message(stream, data.clone(), *text, *more)
        }
        Message::WsTeardown(teardown) => Frame::ws_teardown(stream, teardown),
        Message::Window(credit) => Frame::window(stream, *credit),
        Message::Reset(reset) => Frame::reset(stream, reset),
        Message::Ping(data) => Frame::ping(*data),
        Message::Pong(data) => Frame::pong(*data),
        Message::Disconnect(disconnect) => disconnect.encode(),
        Message::Notice(notice) => notice.encode(),
    }
}

/// What each vector says, with its stream.
fn messages() -> BTreeMap<&'static str, (u32, Message)> {
    let mut all = link_messages();
    all.extend(stream_messages());
    all.extend(socket_messages());
    all
}

fn link_messages() -> BTreeMap<&'static str, (u32, Message)> {
    let node = NodeId(std::array::from_fn(|i| u8::try_from(i).unwrap()));
    let label = "a".repeat(52);
    let hello = Hello {
        nonce: std::array::from_fn(|i| u8::try_from(i).unwrap()),
        node,
        domain: "adit.example".to_owned(),
        time: 1_790_000_000,
        versions: vec![1],
        limits: LinkLimits::default(),
    };
    let granted = Granted {
        key_id: "A".repeat(43),
        tunnel: label.clone(),
        hostname: format!("{label}.adit.example"),
        url: format!("https://{label}.adit.example:8443"),
        node,
        generation: 1_790_000_000_000_001,
        links: 2,
        limits: LinkLimits {
            max_body: None,
            ..LinkLimits::default()
        },
    };
    let refused = Refused {
        code: RefusalCode::Contended,
        message: "The name changed hands too often.".to_owned(),
        retry_after_ms: Some(5000),
    };
    let disconnect = Disconnect {
        code: DisconnectCode::Draining,
        reason: "node restarts".to_owned(),
        spread_ms: 10_000,
    };
    let notice = Notice {
        code: NoticeCode::LinkRate,
        message: "more than 100 messages a second".to_owned(),
    };
    let limited = Granted {
        limits: LinkLimits {
            messages_per_second: Some(100),
            kib_per_second: Some(4096),
            requests_per_second: Some(50),
            visitor_requests_per_second: Some(10),
            max_links: Some(4),
            ..LinkLimits::default()
        },
        ..granted.clone()
    };
    let jws = Bytes::from_static(b"eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl");
    BTreeMap::from([
        ("hello", (0, Message::Hello(hello))),
        (
            "registration-request",
            (0, Message::RegistrationRequest(jws)),
        ),
        (
            "registration-granted",
            (
                0,
                Message::RegistrationResponse(RegistrationResponse::Granted(granted)),
            ),
        ),
        (
            "registration-granted-rates",
            (
                0,
                Message::RegistrationResponse(RegistrationResponse::Granted(limited)),
            ),
        ),
        (
            "registration-refused",
            (
                0,
                Message::RegistrationResponse(RegistrationResponse::Refused(refused)),
            ),
        ),
        ("ping", (0, Message::Ping([1, 2, 3, 4, 5, 6, 7, 8]))),
        ("pong", (0, Message::Pong([1, 2, 3, 4, 5, 6, 7, 8]))),
        ("disconnect", (0, Message::Disconnect(disconnect))),
        ("notice", (0, Message::Notice(notice))),
    ])
}

fn stream_messages() -> BTreeMap<&'static str, (u32, Message)> {
    let get = RequestHead {
        headers: headers(&[("accept", b"*/*")]),
        ..request(Method::GET, "shop.adit.example:8080", "/cart?item=%2F&n=1")
    };
    let post = RequestHead {
        scheme: Scheme::Https,
        headers: headers(&[
            ("x-trace", b"first"),
            ("x-trace", b"second"),
            ("x-name", b"caf\xe9"),
        ]),
        visitor: VisitorFacts {
            addr: "[2001:db8::1]:443".parse().unwrap(),
            version: Version::HTTP_2,
        },
        attempt: 1,
        ..request(Method::POST, "[2001:db8::1]", "//double/slash")
    };
    let mut options = request(Method::OPTIONS, "adit.example", "*");
    options.visitor.version = Version::HTTP_10;
    let ok = response(
        200,
        &[
            ("content-type", b"text/plain"),
            ("set-cookie", b"a=1"),
            ("set-cookie", b"b=2"),
        ],
    );
    let hints = response(103, &[("link", b"</a.css>")]);
    let trailers = headers(&[("grpc-status", b"0"), ("grpc-message", b"")]);
    BTreeMap::from([
        ("request-get", (1, opening(get, b"", true))),
        (
            "request-inline-body",
            (0x7fff_ffff, opening(post, b"dig", true)),
        ),
        (
            "request-options-asterisk",
            (2, opening(options, b"", false)),
        ),
        ("response-inline-body", (1, answer(ok, b"gold", true))),
        ("response-interim", (1, answer(hints, b"", false))),
        ("body", (3, body(b"\x00\xff\r\n\x7f", false))),
        ("body-end-empty", (3, body(b"", true))),
        ("trailers", (3, Message::Trailers(trailers))),
        ("window", (3, Message::Window(65_536))),
        (
            "reset",
            (
                3,
                Message::Reset(Reset::new(
                    ResetCode::TargetUnreachable,
                    "connection refused",
                )),
            ),
        ),
        (
            "reset-acknowledged",
            (3, Message::Reset(ResetCode::Done.into())),
        ),
    ])
}

fn socket_messages() -> BTreeMap<&'static str, (u32, Message)> {
    let asked = RequestHead {
        headers: headers(&[("sec-websocket-protocol", b"chat, superchat")]),
        ..request(Method::GET, "adit.example", "/chat")
    };
    let accepted = response(101, &[("sec-websocket-protocol", b"chat")]);
    let message = |data: &'static [u8], text, more| Message::WsMessage {
        data: Bytes::from_static(data),
        text,
        more,
    };
    let close = Teardown::Close {
        code: Some(4001),
        reason: "bye".to_owned(),
    };
    let empty = Teardown::Close {
        code: None,
        reason: String::new(),
    };
    BTreeMap::from([
        ("ws-request", (4, Message::WsRequest(asked))),
        ("ws-response", (4, Message::WsResponse(accepted))),
        ("ws-message-text", (4, message(b"caf\xc3\xa9", true, false))),
        (
            "ws-message-fragment",
            (4, message(b"\x00\x01", false, true)),
        ),
        ("ws-teardown", (4, Message::WsTeardown(close))),
        ("ws-teardown-empty", (4, Message::WsTeardown(empty))),
        ("ws-teardown-lost", (4, Message::WsTeardown(Teardown::Lost))),
    ])
}

fn request(method: Method, authority: &str, target: &'static str) -> RequestHead {
    RequestHead {
        method,
        scheme: Scheme::Http,
        authority: authority.to_owned(),
        target: PathAndQuery::from_static(target),
        headers: HeaderMap::new(),
        visitor: VisitorFacts {
            addr: "192.0.2.7:50000".parse().unwrap(),
            version: Version::HTTP_11,
        },
        request_id: RequestId(std::array::from_fn(|i| 0xa0 + u8::try_from(i).unwrap())),
        attempt: 0,
    }
}

fn response(status: u16, entries: &[(&'static str, &[u8])]) -> ResponseHead {
    ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers(entries),
    }
}

fn headers(entries: &[(&'static str, &[u8])]) -> HeaderMap {
    entries
        .iter()
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value).unwrap(),
            );
            headers
        })
}

fn opening(head: RequestHead, body: &'static [u8], end: bool) -> Message {
    let body = Bytes::from_static(body);
    Message::HttpRequest { head, body, end }
}

fn answer(head: ResponseHead, body: &'static [u8], end: bool) -> Message {
    let body = Bytes::from_static(body);
    Message::HttpResponse { head, body, end }
}

fn body(data: &'static [u8], end: bool) -> Message {
    let data = Bytes::from_static(data);
    Message::Body { data, end }
}
