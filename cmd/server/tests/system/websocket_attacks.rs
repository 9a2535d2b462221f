//! Upgrades and frames that break RFC 6455: refused or closed where they came in, with the code it names.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::Response;
use testkit::{
    origin::{Origin, full, read_head},
    socket::{End, end},
    visitor::Raw,
};
use tokio::{io::AsyncWriteExt, sync::mpsc, time::Duration};

use crate::tunnel::Tunnel;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const UPGRADE: &str = "Host: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";

#[tokio::test]
async fn malformed_upgrades_are_refused_and_never_reach_the_target() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let origin = Origin::serving(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Response::new(full("reached")) }
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    for (status, head) in [
        (426, format!("GET / HTTP/1.1\r\n{UPGRADE}{KEY}")),
        (
            426,
            format!("GET / HTTP/1.1\r\n{UPGRADE}{KEY}Sec-WebSocket-Version: 8\r\n"),
        ),
        (
            426,
            format!("GET / HTTP/1.1\r\n{UPGRADE}{KEY}Sec-WebSocket-Version: 13, 8\r\n"),
        ),
        (400, format!("GET / HTTP/1.1\r\n{UPGRADE}{VERSION}")),
        (
            400,
            format!("GET / HTTP/1.1\r\n{UPGRADE}{VERSION}{KEY}{KEY}"),
        ),
        (
            400,
            format!("GET / HTTP/1.1\r\n{UPGRADE}{VERSION}Sec-WebSocket-Key: short\r\n"),
        ),
        (
            400,
            format!(
                "GET / HTTP/1.1\r\n{UPGRADE}{VERSION}Sec-WebSocket-Key: {}\r\n",
                "A".repeat(24)
            ),
        ),
        (
            400,
            format!("POST / HTTP/1.1\r\n{UPGRADE}{VERSION}{KEY}Content-Length: 0\r\n"),
        ),
        (400, format!("HEAD / HTTP/1.1\r\n{UPGRADE}{VERSION}{KEY}")),
        (
            400,
            format!("GET / HTTP/1.1\r\n{UPGRADE}{VERSION}{KEY}Transfer-Encoding: chunked\r\n"),
        ),
        (
            400,
            format!("GET / HTTP/1.1\r\n{UPGRADE}{VERSION}{KEY}Content-Length: 5\r\n"),
        ),
    ] {
        let mut raw = tunnel.visitor().raw().await;
        raw.say(&head).await.say("\r\n").await;
        let answer = String::from_utf8(raw.until("\r\n\r\n").await).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{head}\n{answer}"
        );
        if status == 426 {
            let answer = answer.to_ascii_lowercase();
            assert!(answer.contains("sec-websocket-version: 13\r\n"), "{answer}");
        }
    }
    assert_eq!(
        requests.load(Ordering::SeqCst),
        0,
        "nothing crossed the tunnel"
    );
}

#[tokio::test]
async fn another_protocol_is_not_switched_to_and_the_request_passes_as_it_is() {
    let tunnel = Tunnel::to(Origin::echo().await).await;
    for protocol in ["foo", "h2c", "tcp"] {
        let mut raw = tunnel.visitor().raw().await;
        raw.say(&format!(
            "GET /x HTTP/1.1\r\nHost: {{host}}\r\nConnection: Upgrade, close\r\nUpgrade: {protocol}\r\n\r\n"
        ))
        .await;
        let (answer, _) = raw.rest().await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.contains("GET /x\n") && !answer.contains("upgrade: "),
            "{answer}"
        );
    }
}

/// A frame as a client sends it, with a mask of zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    framed(first, 0x80, payload)
}

fn framed(first: u8, mask: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    let mut frame = vec![first];
    match u8::try_from(len) {
        Ok(len) if len < 126 => frame.push(mask | len),
        _ => {
            frame.push(mask | 126);
            frame.extend(len.to_be_bytes());
        }
    }
    if mask != 0 {
        frame.extend([0; 4]);
    }
    frame.extend(payload);
    frame
}

/// The code of the close frame that a visitor gets.
async fn close_code(raw: &mut Raw) -> Option<u16> {
    let (rest, _) = raw.rest().await;
    let frame = rest.iter().position(|byte| *byte == 0x88)?;
    let code = rest.get(frame + 2..frame + 4)?;
    Some(u16::from_be_bytes(code.try_into().unwrap()))
}

#[tokio::test]
async fn a_visitors_broken_frames_get_the_codes_the_rfc_names_and_the_target_is_told() {
    let (tell, mut ends) = mpsc::channel(1);
    let origin = Origin::sockets(move |mut socket, _| {
        let tell = tell.clone();
        async move { tell.send(end(&mut socket).await).await.unwrap() }
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let breaks: [(&str, u16, Vec<u8>); 9] = [
        ("text that is not UTF-8", 1007, masked(0x81, b"\xc3\x28")),
        (
            "text that ends within a character",
            1007,
            masked(0x81, b"\xe2\x98"),
        ),
        ("no mask", 1002, framed(0x81, 0, b"hello")),
        ("a ping of 126 bytes", 1002, masked(0x89, &[0; 126])),
        ("a ping in fragments", 1002, masked(0x09, b"")),
        ("a reserved bit", 1002, masked(0xc1, b"x")),
        ("an unknown opcode", 1002, masked(0x83, b"x")),
        ("an end without a beginning", 1002, masked(0x80, b"x")),
        (
            "a beginning within a message",
            1002,
            [masked(0x01, b"a"), masked(0x81, b"b")].concat(),
        ),
    ];
    for (what, code, bytes) in breaks {
        let mut raw = tunnel.visitor().raw().await;
        raw.say(&format!("GET / HTTP/1.1\r\n{UPGRADE}{VERSION}{KEY}\r\n"))
            .await;
        raw.until("\r\n\r\n").await;
        assert!(raw.try_send(&bytes).await);
        assert_eq!(close_code(&mut raw).await, Some(code), "{what}");
        let told = tokio::time::timeout(Duration::from_secs(5), ends.recv()).await;
        let told = told.unwrap_or_else(|_| panic!("the target is told of {what}"));
        assert_eq!(told.unwrap().code(), Some(code), "{what}");
    }
}

#[tokio::test]
async fn a_visitors_broken_close_frames_are_1002_and_bad_reasons_1007() {
    let tunnel = Tunnel::to(Origin::echoing_sockets().await).await;
    for (what, code, payload) in [
        ("one byte", 1002, &b"\x03"[..]),
        ("code 999", 1002, b"\x03\xe7"),
        ("code 1005", 1002, b"\x03\xed"),
        ("code 1006", 1002, b"\x03\xee"),
        ("code 5000", 1002, b"\x13\x88"),
        ("a reason that is not UTF-8", 1007, b"\x03\xe8\xc3\x28"),
    ] {
        let mut raw = tunnel.visitor().raw().await;
        raw.say(&format!("GET / HTTP/1.1\r\n{UPGRADE}{VERSION}{KEY}\r\n"))
            .await;
        raw.until("\r\n\r\n").await;
        assert!(raw.try_send(&masked(0x88, payload)).await);
        assert_eq!(close_code(&mut raw).await, Some(code), "{what}");
    }
}

#[tokio::test]
async fn a_target_that_breaks_the_protocol_is_closed_and_the_visitor_is_told() {
    let origin = Origin::accepting(|mut tcp| async move {
        let head = read_head(&mut tcp).await;
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-key")
                .then_some(value)
        });
        let accept = testkit::socket::accept_key(key.unwrap());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        tcp.write_all(answer.as_bytes()).await.unwrap();
        let frame = if head.starts_with("GET /masked ") {
            masked(0x81, b"hello")
        } else {
            framed(0x81, 0, b"\xc3\x28")
        };
        tcp.write_all(&frame).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    for (path, code) in [("/masked", 1002), ("/utf8", 1007)] {
        let mut socket = tunnel.visitor().open_socket(path).await;
        assert_eq!(end(&mut socket).await.code(), Some(code), "{path}");
    }
}

#[tokio::test]
async fn an_answer_to_the_upgrade_that_proves_nothing_is_a_502() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let tunnel = Tunnel::to(Origin::saying(answer).await).await;
        let refused = tunnel.visitor().socket("/", &[]).await.unwrap_err();
        assert_eq!(refused.status(), 502, "{answer}");
        assert_eq!(refused.headers()["adit-error"], "bad-response", "{answer}");
    }
}

#[tokio::test]
async fn a_visitor_who_leaves_within_a_message_leaves_the_target_without_half_of_it() {
    let (tell, mut ends) = mpsc::channel(1);
    let origin = Origin::sockets(move |mut socket, _| {
        let tell = tell.clone();
        async move { tell.send(end(&mut socket).await).await.unwrap() }
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let mut raw = tunnel.visitor().raw().await;
    raw.say(&format!("GET / HTTP/1.1\r\n{UPGRADE}{VERSION}{KEY}\r\n"))
        .await;
    raw.until("\r\n\r\n").await;
    assert!(raw.try_send(&masked(0x01, b"half of")).await);
    drop(raw);
    assert_eq!(ends.recv().await.unwrap(), End::Lost);
}
