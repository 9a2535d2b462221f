//! WebSockets of visitors: the handshake, what is said, and how it ends.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::{Response, StatusCode};
use testkit::{
    origin::{Origin, full, read_head},
    socket::{End, Kind, Message, closing, end, fragment, hear},
};
use tokio::{
    io::AsyncWriteExt,
    sync::{Notify, mpsc},
    time::{Duration, timeout},
};

use crate::tunnel::Tunnel;

const UPGRADE: &str = "GET /chat?x=1 HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn the_visitor_is_answered_only_after_the_target_has_accepted() {
    let (seen, mut asked) = mpsc::channel(1);
    let go = Arc::new(Notify::new());
    let gone = go.clone();
    let origin = Origin::accepting(move |mut tcp| {
        let (seen, go) = (seen.clone(), gone.clone());
        async move {
            let head = read_head(&mut tcp).await;
            seen.send(head).await.unwrap();
            go.notified().await;
            tcp.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x02hi",
            )
            .await
            .unwrap();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let mut raw = tunnel.visitor().raw().await;
    raw.say(UPGRADE).await;
    let head = String::from_utf8(asked.recv().await.unwrap()).unwrap();
    assert!(head.starts_with("GET /chat?x=1 HTTP/1.1\r\n"), "{head}");
    let early = timeout(Duration::from_millis(300), raw.until("\r\n")).await;
    assert!(early.is_err(), "answered before the target: {early:?}");
    go.notify_one();
    let answer = String::from_utf8(raw.until("\r\n\r\n").await).unwrap();
    let answer = answer.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(
        answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
        "{answer}"
    );
    // What the target said in the same packet as its 101 is not lost.
    assert!(raw.until("hi").await.ends_with(b"\x81\x02hi"));
}

#[tokio::test]
async fn a_refusal_reaches_the_visitor_as_the_targets_own_response() {
    let origin = Origin::serving(|request| async move {
        let status: StatusCode = request
            .uri()
            .path()
            .trim_start_matches('/')
            .parse()
            .unwrap();
        Response::builder()
            .status(status)
            .header("www-authenticate", "Basic realm=\"chat\"")
            .body(full(format!("no: {status}")))
            .unwrap()
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    for status in [401, 403, 404, 500] {
        let mut raw = tunnel.visitor().raw().await;
        let refused = UPGRADE.replace("/chat?x=1", &format!("/{status}"));
        raw.say(&refused).await;
        let answer = String::from_utf8(raw.until("no: ").await).unwrap();
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{answer}");
        assert!(answer.contains("www-authenticate: Basic"), "{answer}");
        assert!(!answer.contains("adit-error"), "{answer}");
        assert!(
            raw.until(" ")
                .await
                .starts_with(status.to_string().as_bytes())
        );
    }
    let refused = tunnel.visitor().socket("/403", &[]).await.unwrap_err();
    assert_eq!(refused.status(), 403);
}

#[tokio::test]
async fn a_target_that_hangs_up_instead_of_an_answer_is_a_502() {
    let origin = Origin::saying("").await;
    let tunnel = Tunnel::to(origin).await;
    let refused = tunnel.visitor().socket("/", &[]).await.unwrap_err();
    assert_eq!(refused.status(), 502);
    assert_eq!(refused.headers()["adit-error"], "bad-response");
}

#[tokio::test]
async fn subprotocol_origin_and_cookies_pass_and_compression_is_declined() {
    let (seen, mut asked) = mpsc::channel(1);
    let origin = Origin::sockets(move |mut socket, request| {
        let seen = seen.clone();
        async move {
            seen.send(request).await.unwrap();
            testkit::socket::echo(&mut socket).await;
        }
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let fields = [
        ("origin", "https://app.example"),
        ("cookie", "session=abc; theme=dark"),
        ("sec-websocket-protocol", "chat.v1, chat.v2"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("authorization", "Bearer t"),
    ];
    let (mut socket, answer) = tunnel.visitor().socket("/a?b=c", &fields).await.unwrap();
    let asked = asked.recv().await.unwrap();
    assert_eq!(asked.uri().to_string(), "/a?b=c");
    assert_eq!(asked.headers()["origin"], "https://app.example");
    assert_eq!(asked.headers()["cookie"], "session=abc; theme=dark");
    assert_eq!(asked.headers()["authorization"], "Bearer t");
    assert_eq!(
        asked.headers()["sec-websocket-protocol"],
        "chat.v1, chat.v2"
    );
    assert_eq!(asked.headers()["host"], tunnel.agent.host());
    assert_eq!(asked.headers()["x-forwarded-for"], "127.0.0.1");
    assert!(!asked.headers().contains_key("sec-websocket-extensions"));
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat.v2");
    assert_eq!(answer.headers()["set-cookie"], "seen=1; Path=/");
    assert!(!answer.headers().contains_key("sec-websocket-extensions"));
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(hear(&mut socket).await, Message::text("hello"));
}

#[tokio::test]
async fn text_binary_and_empty_messages_come_back_as_they_were() {
    let tunnel = Tunnel::to(Origin::echoing_sockets().await).await;
    let mut socket = tunnel.visitor().open_socket("/").await;
    for message in [
        Message::text("héllo ☃ 𝄞"),
        Message::binary(vec![0, 255, 128]),
        Message::text(""),
        Message::binary(Vec::new()),
        Message::text("x".repeat(16 * 1024 + 1)),
        Message::binary(vec![7; 512_000]),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert!(
            hear(&mut socket).await == message,
            "{} bytes",
            message.len()
        );
    }
}

#[tokio::test]
async fn fragments_arrive_as_the_message_they_make() {
    let tunnel = Tunnel::to(Origin::echoing_sockets().await).await;
    let mut socket = tunnel.visitor().open_socket("/").await;
    for part in [
        // A character cut in two, and a ping in the middle of the message.
        fragment(b"snow \xe2\x98", Some(Kind::Text), false),
        Message::Ping("in between".into()),
        fragment(b"", None, false),
        fragment(b"\x83 man", None, true),
        fragment(b"\x00", Some(Kind::Binary), false),
        fragment(b"\x01", None, true),
        fragment(b"", Some(Kind::Text), false),
        fragment(b"", None, true),
    ] {
        socket.send(part).await.unwrap();
    }
    assert_eq!(hear(&mut socket).await, Message::text("snow ☃ man"));
    assert_eq!(hear(&mut socket).await, Message::binary(vec![0, 1]));
    assert_eq!(hear(&mut socket).await, Message::text(""));
}

/// A service that tells how each of its sockets ended.
async fn telling_ends() -> (Origin, mpsc::Receiver<End>) {
    let (tell, told) = mpsc::channel(1);
    let origin = Origin::sockets(move |mut socket, _| {
        let tell = tell.clone();
        async move { tell.send(end(&mut socket).await).await.unwrap() }
    })
    .await;
    (origin, told)
}

async fn told(ends: &mut mpsc::Receiver<End>) -> End {
    let told = timeout(Duration::from_secs(5), ends.recv()).await;
    told.expect("the target is told").unwrap()
}

const CODES: [(u16, &str); 5] = [
    (1000, "done"),
    (1001, "going away"),
    (3000, ""),
    (4001, "ünïcode reason"),
    (4999, "x"),
];

#[tokio::test]
async fn the_target_learns_the_visitors_close_code_and_reason() {
    let (origin, mut ends) = telling_ends().await;
    let tunnel = Tunnel::to(origin).await;
    for (code, reason) in CODES {
        let mut socket = tunnel.visitor().open_socket("/").await;
        socket.send(closing(code, reason)).await.unwrap();
        assert_eq!(told(&mut ends).await, End::Closed(code, reason.to_owned()));
        assert_eq!(
            end(&mut socket).await.code(),
            Some(code),
            "answered in kind"
        );
    }
    let mut socket = tunnel.visitor().open_socket("/").await;
    socket.send(Message::Close(None)).await.unwrap();
    assert_eq!(told(&mut ends).await, End::Silent);
    assert_eq!(end(&mut socket).await, End::Silent);
    let socket = tunnel.visitor().open_socket("/").await;
    drop(socket);
    assert_eq!(told(&mut ends).await, End::Lost);
}

#[tokio::test]
async fn the_visitor_learns_the_targets_close_code_and_reason() {
    let origin = Origin::sockets(|mut socket, request| async move {
        let number: usize = request
            .uri()
            .path()
            .trim_start_matches('/')
            .parse()
            .unwrap();
        let last = match CODES.get(number) {
            Some((code, reason)) => closing(*code, reason),
            None if number == CODES.len() => Message::Close(None),
            // Gone without a word.
            None => return,
        };
        socket.send(Message::text("last words")).await.unwrap();
        socket.send(last).await.unwrap();
        assert_ne!(end(&mut socket).await, End::Lost, "the close is answered");
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    for (number, (code, reason)) in CODES.into_iter().enumerate() {
        let mut socket = tunnel.visitor().open_socket(&format!("/{number}")).await;
        assert_eq!(hear(&mut socket).await, Message::text("last words"));
        assert_eq!(end(&mut socket).await, End::Closed(code, reason.to_owned()));
    }
    let mut socket = tunnel.visitor().open_socket("/5").await;
    assert_eq!(end(&mut socket).await, End::Silent);
    let mut socket = tunnel.visitor().open_socket("/6").await;
    assert_eq!(end(&mut socket).await, End::Lost);
}

#[tokio::test]
async fn a_message_over_the_limit_is_1009_for_its_sender_and_the_target_is_told() {
    let (origin, mut ends) = telling_ends().await;
    let tunnel = Tunnel::to(origin).await;
    let mut socket = tunnel.visitor().open_socket("/").await;
    socket
        .send(Message::binary(vec![0; 512_001]))
        .await
        .unwrap();
    assert_eq!(end(&mut socket).await.code(), Some(1009));
    assert_eq!(told(&mut ends).await.code(), Some(1009));
    // Nor do fragments get past it.
    let mut socket = tunnel.visitor().open_socket("/").await;
    let part: &[u8] = &[0; 200_000];
    let mut first = Some(Kind::Binary);
    for _ in 0..3 {
        // The server may close before the last fragment is out.
        drop(socket.send(fragment(part, first.take(), false)).await);
    }
    assert_eq!(end(&mut socket).await.code(), Some(1009));
    assert_eq!(told(&mut ends).await.code(), Some(1009));
}

#[tokio::test]
async fn a_targets_message_over_the_limit_is_1009_for_it_and_the_visitor_is_told() {
    let (tell, mut ends) = mpsc::channel(1);
    let origin = Origin::sockets(move |mut socket, _| {
        let tell = tell.clone();
        async move {
            socket
                .send(Message::binary(vec![0; 512_001]))
                .await
                .unwrap();
            tell.send(end(&mut socket).await).await.unwrap();
        }
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let mut socket = tunnel.visitor().open_socket("/").await;
    assert_eq!(end(&mut socket).await.code(), Some(1009));
    assert_eq!(told(&mut ends).await.code(), Some(1009));
}

#[tokio::test]
async fn pings_are_answered_by_the_next_hop_and_never_reach_the_other_side() {
    let (heard, mut target) = mpsc::channel(8);
    let origin = Origin::sockets(move |mut socket, _| {
        let heard = heard.clone();
        async move {
            socket.send(Message::Ping("target".into())).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                heard.send(message.clone()).await.unwrap();
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        }
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let mut socket = tunnel.visitor().open_socket("/").await;
    socket.send(Message::Ping("visitor".into())).await.unwrap();
    socket.send(Message::Pong("unasked".into())).await.unwrap();
    socket.send(Message::text("data")).await.unwrap();
    let mut visitor = Vec::new();
    for _ in 0..2 {
        let next = timeout(Duration::from_secs(5), socket.next()).await;
        visitor.push(next.expect("an answer").unwrap().unwrap());
    }
    assert_eq!(
        visitor,
        [Message::Pong("visitor".into()), Message::text("data")]
    );
    let mut got = [target.recv().await.unwrap(), target.recv().await.unwrap()];
    // The pong comes from the agent, the data from further away.
    got.sort_by_key(Message::is_text);
    assert_eq!(got, [Message::Pong("target".into()), Message::text("data")]);
}

#[tokio::test]
async fn an_idle_websocket_is_closed_where_the_operator_says_so_and_a_busy_one_is_not() {
    let (origin, mut ends) = telling_ends().await;
    let tunnel = Tunnel::configured("[exchanges]\nidle_timeout = \"1500ms\"", origin).await;
    let mut busy = tunnel.visitor().open_socket("/").await;
    let mut idle = tunnel.visitor().open_socket("/").await;
    for _ in 0..20 {
        busy.send(Message::text("alive")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let idle = timeout(Duration::from_secs(5), end(&mut idle)).await;
    assert_eq!(idle.expect("in time").code(), Some(1001));
    assert_eq!(told(&mut ends).await, End::Lost);
    busy.send(closing(1000, "bye")).await.unwrap();
    assert_eq!(told(&mut ends).await.code(), Some(1000));
}

#[tokio::test]
async fn a_websocket_that_says_nothing_outlives_every_other_timer() {
    let settings = "[exchanges]\nhead_timeout = \"1s\"\nbody_timeout = \"1s\"\nwrite_stall = \"1s\"\n\
        [visitors]\nheader_timeout = \"1s\"\nidle_timeout = \"1s\"";
    let tunnel = Tunnel::configured(settings, Origin::echoing_sockets().await).await;
    let mut socket = tunnel.visitor().open_socket("/").await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(hear(&mut socket).await, Message::text("still here"));
}
