//! WebSockets of versions 1 and 2 (27 to 30, 39 to 42, 50).

use futures_util::SinkExt as _;
use testkit::cluster::until_none;
use testkit::origin::{Origin, read_head};
use testkit::socket::{Message, Plain, hear};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::stage::{OK, Stage, error, of_header, open, parts, remote};

/// The accept key for the key of a head.
pub(crate) fn accept_of(head: &str) -> String {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    derive_accept_key(key.unwrap_or_default().as_bytes())
}

/// A remote that answers every upgrade with 101 and these fields, `{accept}` in them being the right key.
pub(crate) async fn answering(fields: &'static str) -> Origin {
    Origin::accepting(move |mut tcp| async move {
        let head = String::from_utf8(read_head(&mut tcp).await).unwrap();
        let fields = fields.replace("{accept}", &accept_of(&head));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{fields}\r\n"
        );
        tcp.write_all(answer.as_bytes()).await.ok();
        tcp.read_u8().await.ok();
    })
    .await
}

/// The encoding of WebSocketProtocol.md.
fn encoded(json: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
    json.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

fn wanted(port: &str, protocol: &str, id: &str) -> String {
    format!(
        r#"{{"remote":{{"host":"127.0.0.1","port":{port},"path":"/ws?x","protocol":"{protocol}"}},"headers":{{"HoSt":"odd","Connection":"Upgrade","Upgrade":"WebSocket","Sec-WebSocket-Protocol":"chat"}},"forward_headers":["sec-websocket-key","sec-websocket-version","x-own"],"id":"{id}"}}"#
    )
}

async fn v1(stage: &Stage, json: &str) -> Result<Plain, testkit::visitor::Answer> {
    let offered = format!("bare, {}", encoded(json));
    connect(stage, "/v1/", &offered).await
}

async fn connect(
    stage: &Stage,
    route: &str,
    offered: &str,
) -> Result<Plain, testkit::visitor::Answer> {
    let fields = [("sec-websocket-protocol", offered), ("x-own", "mine")];
    match stage.client.socket(route, &fields).await {
        Ok((socket, answered)) => {
            let chosen = &answered.headers()["sec-websocket-protocol"];
            assert_eq!(chosen, offered.split(',').next().unwrap());
            Ok(socket)
        }
        Err(refused) => {
            let (parts, body) = refused.into_parts();
            Err(testkit::visitor::Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.unwrap_or_default().into(),
            })
        }
    }
}

/// An id of version 2 for a WebSocket at that remote.
async fn id_of(stage: &Stage, origin: &Origin) -> String {
    let headers = r#"{"HoSt":"odd","Connection":"Upgrade","Upgrade":"websocket","Sec-WebSocket-Protocol":"chat"}"#;
    let port = origin.port();
    let fields = [
        &parts(&port, "ws:")[..],
        &[
            ("x-bare-headers", headers),
            ("x-bare-forward-headers", "x-own"),
        ],
    ]
    .concat();
    stage
        .client
        .get_with("/v2/ws-new-meta", &fields)
        .await
        .text()
        .to_owned()
}

async fn speaks(socket: &mut Plain) {
    for said in [Message::text("text ☃"), Message::binary(vec![7; 100_000])] {
        socket.send(said.clone()).await.unwrap();
        assert_eq!(hear(socket).await, said);
    }
}

#[tokio::test]
async fn a_socket_of_version_1_names_its_remote_in_the_subprotocol() {
    let stage = open().await;
    let origin = Origin::echoing_sockets().await;
    let id = stage.client.get("/v1/ws-new-meta").await.text().to_owned();
    let mut socket = v1(&stage, &wanted(&origin.port(), "ws:", &id))
        .await
        .unwrap();
    speaks(&mut socket).await;
    let meta = stage
        .client
        .get_with("/v1/ws-meta", &[("x-bare-id", &id)])
        .await;
    let meta: serde_json::Value = serde_json::from_slice(&meta.body).unwrap();
    assert_eq!(meta["headers"]["set-cookie"][0], "seen=1; Path=/");
    assert_eq!(meta["headers"]["sec-websocket-protocol"], "chat");
    // Read once.
    let gone = stage
        .client
        .get_with("/v1/ws-meta", &[("x-bare-id", &id)])
        .await;
    assert_eq!(error(&gone), of_header("INVALID_BARE_HEADER", "x-bare-id"));
    drop(socket);
    until_none("the remote's socket", || origin.connections()).await;
}

#[tokio::test]
async fn a_socket_of_version_2_works_and_its_metadata_is_read_once() {
    let stage = open().await;
    let origin = Origin::echoing_sockets().await;
    let id = id_of(&stage, &origin).await;
    let mut socket = connect(&stage, "/v2/", &id).await.unwrap();
    speaks(&mut socket).await;
    let meta = stage
        .client
        .get_with("/v2/ws-meta", &[("x-bare-id", &id)])
        .await;
    assert_eq!((meta.status.as_u16(), meta.body.len()), (200, 0));
    assert_eq!(meta.headers["x-bare-status"], "101");
    assert!(
        meta.headers["x-bare-headers"]
            .to_str()
            .unwrap()
            .contains("seen=1")
    );
    let gone = stage
        .client
        .get_with("/v2/ws-meta", &[("x-bare-id", &id)])
        .await;
    assert_eq!(error(&gone), of_header("INVALID_BARE_HEADER", "x-bare-id"));
    drop(socket);
    until_none("the remote's socket", || origin.connections()).await;
}

#[tokio::test]
async fn the_remote_hears_the_upgrade_in_the_clients_case_with_the_clients_key() {
    let stage = open().await;
    let (origin, heard) = remote("HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n").await;
    v1(&stage, &wanted(&origin.port(), "ws:", ""))
        .await
        .unwrap_err();
    let head = heard.last();
    let lines = "GET /ws?x HTTP/1.1\r\nHoSt: odd\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Protocol: chat\r\nsec-websocket-key: ";
    assert!(head.starts_with(lines), "{head}");
    assert!(head.contains("x-own: mine\r\n") && head.contains("sec-websocket-version: 13\r\n"));
    let id = id_of(&stage, &origin).await;
    connect(&stage, "/v2/", &id).await.unwrap_err();
    let head = heard.last();
    assert!(
        head.starts_with(
            "GET /path?q HTTP/1.1\r\nHoSt: odd\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        ),
        "{head}"
    );
    assert!(head.contains("x-own: mine\r\n") && head.contains("sec-websocket-key: "));
}

#[tokio::test]
async fn what_the_remote_says_right_behind_its_101_is_not_lost() {
    let stage = open().await;
    let origin = crate::v3::early().await;
    let mut first = v1(&stage, &wanted(&origin.port(), "ws:", ""))
        .await
        .unwrap();
    let id = id_of(&stage, &origin).await;
    let mut second = connect(&stage, "/v2/", &id).await.unwrap();
    for socket in [&mut first, &mut second] {
        for word in ["one", "two"] {
            assert_eq!(hear(socket).await, Message::text(word));
        }
    }
}

#[tokio::test]
async fn an_extension_that_client_and_remote_agree_on_is_theirs() {
    let stage = open().await;
    let origin = answering(
        "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
    )
    .await;
    let id = id_of(&stage, &origin).await;
    let mut raw = stage.client.raw().await;
    raw.say(&format!(
        "GET /v2/ HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: {id}\r\n\
         sec-websocket-extensions: permessage-deflate\r\n\r\n"
    ))
    .await;
    let head = String::from_utf8(raw.until("\r\n\r\n").await).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.contains("sec-websocket-extensions: permessage-deflate\r\n"),
        "{head}"
    );
    assert!(
        head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{head}"
    );
    // Who offered none gets none.
    let id = id_of(&stage, &origin).await;
    let refused = connect(&stage, "/v2/", &id).await.unwrap_err();
    assert_eq!(refused.status, 500);
}

#[tokio::test]
async fn either_side_that_closes_closes_the_other() {
    let stage = open().await;
    let origin = Origin::sockets(|socket, _| async move { drop(socket) }).await;
    let mut socket = v1(&stage, &wanted(&origin.port(), "ws:", ""))
        .await
        .unwrap();
    assert_eq!(
        testkit::socket::end(&mut socket).await,
        testkit::socket::End::Lost
    );
}

#[tokio::test]
async fn handshakes_that_cannot_be_read_or_lead_nowhere_are_refused() {
    let stage = open().await;
    let (plain, _) = remote(OK).await;
    let refused = stage.client.socket("/v1/", &[]).await.unwrap_err();
    assert_eq!(refused.status(), 400);
    for offered in ["bare", "other, x", "bare, {", "bare, %7B%7D", "bare, %zz"] {
        let answer = connect(&stage, "/v1/", offered).await.unwrap_err();
        assert_eq!(answer.status, 400, "{offered}");
    }
    for (port, protocol) in [
        ("99999", "ws:"),
        ("\"x\"", "ws:"),
        ("80", "http:"),
        ("null", "ws:"),
    ] {
        let answer = v1(&stage, &wanted(port, protocol, "")).await.unwrap_err();
        assert_eq!(answer.status, 400, "{port} {protocol}");
    }
    for offered in ["0123456789abcdef0123456789abcdef", "bare"] {
        let answer = connect(&stage, "/v2/", offered).await.unwrap_err();
        assert_eq!(answer.status, 400, "{offered}");
    }
    // An id of version 1 opens nothing.
    let id = stage.client.get("/v1/ws-new-meta").await.text().to_owned();
    assert_eq!(connect(&stage, "/v2/", &id).await.unwrap_err().status, 400);
    // A remote that is there and upgrades nothing, and one that is not there.
    let answer = v1(&stage, &wanted(&plain.port(), "ws:", ""))
        .await
        .unwrap_err();
    assert_eq!(answer.status, 500);
    assert_eq!(
        v1(&stage, &wanted("1", "ws:", ""))
            .await
            .unwrap_err()
            .status,
        500
    );
}
