//! What no step can read: the visitor is told, or closed with the right code, and the next message works.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::SinkExt as _;
use serde_json::json;
use testkit::origin::Origin;
use testkit::port::Port;
use testkit::socket::{Message, Plain, end, hear};

use crate::stage::{Stage, ask, badger_on, handed_out, object, recipe, say};

async fn told(visitor: &mut Plain, id: &str) -> String {
    let told = object(visitor).await;
    assert_eq!(told["event_id"], id, "{told}");
    told["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bad_lines_are_told_one_by_one_and_the_next_line_works() {
    let port = Port::free();
    let _upstream = badger_on(&port);
    let stage = Stage::to(recipe(), port.addr()).await;
    let mut visitor = stage.visitor().await;
    ask(&mut visitor, "hello\n", "hello").await;
    // Not UTF-8: 1:0:1. Too long: 1:0:2. A fragment that is too long: 1:0:3.
    visitor.send(Message::binary(&b"\xff\n"[..])).await.unwrap();
    assert!(told(&mut visitor, "1:0:1").await.starts_with("not text: "));
    let long = "x".repeat(5000);
    say(&mut visitor, &format!("{long}\nsnot\n")).await;
    let why = "Invalid line of length 5000 since it exceeds maximum allowed length of 4096";
    assert_eq!(told(&mut visitor, "1:0:2").await, why);
    assert_eq!(crate::stage::text(&mut visitor).await, "badger");
    say(&mut visitor, &long).await;
    let why = told(&mut visitor, "1:0:4").await;
    assert!(
        why.starts_with("Discarded line fragment of length 5000"),
        "{why}"
    );
    ask(&mut visitor, "hello\n", "hello").await;
}

#[tokio::test]
async fn the_limit_of_a_line_can_be_set() {
    let port = Port::free();
    let _upstream = badger_on(&port);
    let mut settings = recipe();
    settings["line_limit"] = 10.into();
    let stage = Stage::to(settings, port.addr()).await;
    let mut visitor = stage.visitor().await;
    ask(&mut visitor, "1234567890\n", "1234567890").await;
    say(&mut visitor, "12345678901\n").await;
    assert!(told(&mut visitor, "1:0:1").await.contains("length of 10"));
}

fn bomb() -> Message {
    let mut to = GzEncoder::new(Vec::new(), Compression::best());
    to.write_all(&vec![0; 5_000_000]).unwrap();
    Message::binary(to.finish().unwrap())
}

#[tokio::test]
async fn a_bomb_is_told_and_the_next_message_works() {
    let upstream = Origin::echoing_sockets().await;
    let settings = json!({"incoming": ["decompress"], "errors": "message"});
    let stage = Stage::to(settings, upstream.addr).await;
    let mut visitor = stage.visitor().await;
    visitor.send(bomb()).await.unwrap();
    assert!(
        told(&mut visitor, "1:0:0")
            .await
            .contains("larger than 512000 bytes")
    );
    let mut to = GzEncoder::new(Vec::new(), Compression::best());
    to.write_all(b"snot").unwrap();
    visitor
        .send(Message::binary(to.finish().unwrap()))
        .await
        .unwrap();
    assert_eq!(hear(&mut visitor).await, Message::binary(&b"snot"[..]));
}

#[tokio::test]
async fn where_errors_close_each_has_its_code_and_the_next_visitor_is_served() {
    let upstream = Origin::echoing_sockets().await;
    for (steps, message, code) in [
        (json!(["string"]), Message::binary(&b"\xff"[..]), 1007),
        (json!(["json"]), Message::text("{"), 1007),
        (json!(["base64"]), Message::text("*"), 1007),
        (json!(["lines"]), Message::text("x".repeat(5000)), 1009),
        (json!(["decompress"]), bomb(), 1009),
        (json!([]), Message::binary(vec![0; 512_001]), 1009),
        (json!(["base64-decode"]), Message::text("/w=="), 1011),
    ] {
        let stage = Stage::to(json!({"incoming": steps}), upstream.addr).await;
        let mut visitor = stage.visitor().await;
        // The close frame may come before all of a large message is read.
        visitor.send(message).await.ok();
        assert_eq!(end(&mut visitor).await.code(), Some(code), "{steps}");
        let mut next = stage.visitor().await;
        let fine = match steps[0].as_str() {
            Some("json") => Message::text("1"),
            Some("base64" | "base64-decode") => Message::text("YQ=="),
            Some("decompress") => continue,
            _ => Message::text("a\n"),
        };
        next.send(fine).await.unwrap();
        hear(&mut next).await;
    }
}

#[tokio::test]
async fn what_the_upstream_says_wrongly_is_told_and_its_next_message_works() {
    let (upstream, mut sockets) = handed_out().await;
    let settings = json!({"outgoing": ["json"], "errors": "message"});
    let stage = Stage::to(settings, upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, "question").await;
    hear(&mut socket).await;
    say(&mut socket, "no json").await;
    let why = told(&mut visitor, "1:0:0").await;
    assert!(
        why.starts_with("Error deserializing Response message (codec/preprocessors): "),
        "{why}"
    );
    say(&mut socket, "[1]").await;
    assert_eq!(object(&mut visitor).await, json!([1]));
}

#[tokio::test]
async fn half_a_line_when_the_upstream_closes_is_told() {
    let (upstream, mut sockets) = handed_out().await;
    let settings = json!({"outgoing": ["lines"], "errors": "message"});
    let stage = Stage::to(settings, upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    say(&mut socket, "whole\nhalf").await;
    assert_eq!(crate::stage::text(&mut visitor).await, "whole\n");
    socket.close(None).await.unwrap();
    let why = told(&mut visitor, "1:0:0").await;
    assert!(why.contains("Discarded line fragment of length 4"), "{why}");
}

#[tokio::test]
async fn half_a_line_of_a_visitor_who_leaves_goes_with_them() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, "whole\nhalf").await;
    visitor.close(None).await.unwrap();
    assert_eq!(hear(&mut socket).await, Message::text("whole\n"));
    end(&mut socket).await;
}
