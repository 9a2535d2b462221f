//! Version 3 (43 to 50).

use futures_util::SinkExt as _;
use testkit::origin::Origin;
use testkit::socket::{End, Message, Plain, closing, echo, end, hear};
use tokio::sync::mpsc;

use crate::stage::{OK, Stage, error, of_header, open, remote};

#[tokio::test]
async fn a_url_that_is_missing_or_none_is_told_by_its_header() {
    let stage = open().await;
    let headers = ("x-bare-headers", "{}");
    let missing = stage.client.get_with("/v3/", &[headers]).await;
    assert_eq!(
        error(&missing),
        of_header("MISSING_BARE_HEADER", "x-bare-url")
    );
    for url in [
        "",
        "example.org",
        "//a/",
        "ws://a/",
        "ftp://a/",
        "http://",
        "http://a:99999/",
        "data:,",
    ] {
        let answer = stage
            .client
            .get_with("/v3/", &[headers, ("x-bare-url", url)])
            .await;
        assert_eq!(
            error(&answer),
            of_header("INVALID_BARE_HEADER", "x-bare-url"),
            "{url}"
        );
    }
    let url = ("x-bare-url", "http://127.0.0.1/");
    let missing = stage.client.get_with("/v3/", &[url]).await;
    assert_eq!(
        error(&missing),
        of_header("MISSING_BARE_HEADER", "x-bare-headers")
    );
}

#[tokio::test]
async fn userinfo_and_fragment_of_a_url_stay_behind() {
    let stage = open().await;
    let (origin, heard) = remote(OK).await;
    let url = format!("http://user:password@{}/a?b#c", origin.addr);
    let fields = [("x-bare-url", &*url), ("x-bare-headers", "{}")];
    stage.client.get_with("/v3/", &fields).await;
    assert_eq!(heard.last(), "GET /a?b HTTP/1.1\r\n\r\n");
}

/// A connect message for this URL.
pub(crate) fn connect(url: &str) -> Message {
    Message::text(format!(
        r#"{{"type":"connect","remote":"{url}","protocols":["a","b"],"headers":{{"HoSt":"odd","Origin":"http://page.example"}},"forwardHeaders":["X-Own"]}}"#
    ))
}

/// A WebSocket on which this was said first.
pub(crate) async fn say_first(stage: &Stage, first: Message) -> Plain {
    let fields = [("x-own", "mine"), ("sec-websocket-protocol", "one")];
    let (mut socket, answered) = stage.client.socket("/v3/", &fields).await.unwrap();
    assert_eq!(answered.headers()["sec-websocket-protocol"], "one");
    socket.send(first).await.unwrap();
    socket
}

fn url(origin: &Origin) -> String {
    format!("ws://{}/ws?x", origin.addr)
}

#[tokio::test]
async fn a_socket_is_opened_by_its_first_message_and_types_are_kept() {
    let stage = open().await;
    let (asked, mut asking) = mpsc::channel(1);
    let origin = Origin::sockets(move |mut socket, request| {
        let asked = asked.clone();
        async move {
            asked
                .send(testkit::origin::written(&request))
                .await
                .unwrap();
            echo(&mut socket).await;
        }
    })
    .await;
    let mut socket = say_first(&stage, connect(&url(&origin))).await;
    let open = Message::text(r#"{"type":"open","protocol":"b","setCookies":["seen=1; Path=/"]}"#);
    assert_eq!(hear(&mut socket).await, open);
    let request = asking.recv().await.unwrap();
    for line in [
        "GET /ws?x\n",
        "host: odd\n",
        "origin: http://page.example\n",
        "x-own: mine\n",
        "sec-websocket-protocol: a, b\n",
    ] {
        assert!(request.contains(line), "{line}{request}");
    }
    assert!(!request.contains("sec-websocket-extensions"));
    for said in [
        Message::text("text ☃"),
        Message::binary(vec![0, 255]),
        Message::text(""),
        Message::binary(vec![7; 300_000]),
    ] {
        socket.send(said.clone()).await.unwrap();
        assert_eq!(hear(&mut socket).await, said);
    }
    socket.send(closing(4002, "bye")).await.unwrap();
    drop(socket);
    testkit::cluster::until_none("the remote's socket", || origin.connections()).await;
}

#[tokio::test]
async fn what_the_remote_says_right_behind_its_101_comes_behind_open() {
    let stage = open().await;
    let origin = early().await;
    let mut socket = say_first(&stage, connect(&url(&origin))).await;
    let open = hear(&mut socket).await.into_text().unwrap();
    assert!(open.starts_with(r#"{"type":"open""#));
    for word in ["one", "two"] {
        assert_eq!(hear(&mut socket).await, Message::text(word));
    }
}

/// A remote whose first messages leave in the same packet as its 101.
pub(crate) async fn early() -> Origin {
    Origin::accepting(|mut tcp| async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let head = String::from_utf8(testkit::origin::read_head(&mut tcp).await).unwrap();
        let accept = crate::sockets::accept_of(&head);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nX-CaSe: kept\r\n\r\n\u{0}"
        );
        let mut bytes = answer.into_bytes();
        bytes.pop();
        bytes.extend_from_slice(b"\x81\x03one\x81\x03two");
        tcp.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        tcp.read_to_end(&mut rest).await.ok();
    })
    .await
}

#[tokio::test]
async fn codes_of_closing_stay_behind_both_ways() {
    let stage = open().await;
    let (tell, mut told) = mpsc::channel(1);
    let origin = Origin::sockets(move |mut socket, request| {
        let tell = tell.clone();
        async move {
            if request.uri().path() == "/close" {
                socket.send(closing(4001, "remote")).await.unwrap();
            }
            tell.send(end(&mut socket).await).await.unwrap();
        }
    })
    .await;
    let mut socket = say_first(&stage, connect(&format!("ws://{}/close", origin.addr))).await;
    hear(&mut socket).await;
    assert_eq!(end(&mut socket).await, End::Silent);
    told.recv().await.unwrap();
    let mut socket = say_first(&stage, connect(&url(&origin))).await;
    hear(&mut socket).await;
    socket.send(closing(4002, "client")).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), End::Silent);
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_is_closed_without_a_code_or_a_word() {
    let stage = open().await;
    let (plain, _) = remote(OK).await;
    let good = connect("ws://127.0.0.1:1/").into_text().unwrap();
    let text = |from: &str, to: &str| Message::text(good.replacen(from, to, 1));
    for first in [
        Message::binary(good.as_bytes().to_vec()),
        Message::text("no json"),
        text("connect", "open"),
        text(r#""type":"connect","#, ""),
        text(r#","forwardHeaders":["X-Own"]"#, ""),
        text(r#"["a","b"]"#, r#""a""#),
        text("ws://", "http://"),
        text("ws://127.0.0.1:1/", "ws://nothing.invalid/"),
        // Refused, and answered by something else than a WebSocket.
        text("", ""),
        connect(&url(&plain)),
    ] {
        let shown = format!("{first:?}");
        let mut socket = say_first(&stage, first).await;
        assert_eq!(end(&mut socket).await, End::Silent, "{shown}");
    }
}

#[tokio::test]
async fn a_remote_that_proves_nothing_or_chooses_what_was_not_offered_is_no_websocket() {
    let stage = open().await;
    for more in [
        "Sec-WebSocket-Accept: wrong\r\n",
        "",
        "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: c\r\n",
        "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
    ] {
        let origin = crate::sockets::answering(more).await;
        let mut socket = say_first(&stage, connect(&url(&origin))).await;
        assert_eq!(end(&mut socket).await, End::Silent, "{more}");
    }
}
