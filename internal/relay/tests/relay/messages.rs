//! What is said comes back: in order, to who asked, as what it was.

use futures_util::SinkExt as _;
use serde_json::json;
use testkit::origin::Origin;
use testkit::port::Port;
use testkit::socket::{Message, hear};

use crate::stage::{Stage, ask, badger_on, handed_out, object, recipe, say, text};

#[tokio::test]
async fn the_recipe_answers_line_by_line() {
    let port = Port::free();
    let _upstream = badger_on(&port);
    let stage = Stage::to(recipe(), port.addr()).await;
    let mut visitor = stage.visitor().await;
    ask(&mut visitor, "hello\n", "hello").await;
    ask(&mut visitor, "snot\n", "badger").await;
    say(&mut visitor, "a\nb\n").await;
    assert_eq!(
        [text(&mut visitor).await, text(&mut visitor).await],
        ["a", "b"]
    );
    // Without a line feed there is no line yet.
    say(&mut visitor, "sn").await;
    ask(&mut visitor, "ot\n", "badger").await;
}

#[tokio::test]
async fn each_line_reaches_the_upstream_as_a_message_with_a_line_feed_and_as_the_type_it_came_as() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, "one\r\n\n").await;
    assert_eq!(hear(&mut socket).await, Message::text("one\r\n"));
    assert_eq!(hear(&mut socket).await, Message::text("\n"));
    visitor.send(Message::binary(&b"two\n"[..])).await.unwrap();
    assert_eq!(hear(&mut socket).await, Message::binary(&b"two\n"[..]));
    // The upstream's type is the answer's, and its line feeds are its own.
    socket.send(Message::text("a\nb\n")).await.unwrap();
    assert_eq!(hear(&mut visitor).await, Message::text("a\nb\n"));
    socket.send(Message::binary(&b"c"[..])).await.unwrap();
    assert_eq!(hear(&mut visitor).await, Message::binary(&b"c"[..]));
}

#[tokio::test]
async fn without_steps_messages_pass_as_they_are() {
    let upstream = Origin::echoing_sockets().await;
    let stage = Stage::to(json!({}), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    for message in [
        Message::text("no line feed"),
        Message::text(""),
        Message::binary(&b"\xff\0\n"[..]),
        Message::binary(vec![7; 400_000]),
    ] {
        visitor.send(message.clone()).await.unwrap();
        assert_eq!(hear(&mut visitor).await, message);
    }
}

#[tokio::test]
async fn pings_are_answered_by_the_relay_and_are_no_messages() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    visitor.send(Message::Ping("v".into())).await.unwrap();
    socket.send(Message::Ping("u".into())).await.unwrap();
    say(&mut visitor, "after\n").await;
    assert_eq!(hear(&mut socket).await, Message::text("after\n"));
    socket.send(Message::text("first")).await.unwrap();
    assert_eq!(text(&mut visitor).await, "first");
}

#[tokio::test]
async fn a_visitor_hears_what_they_asked_for_and_is_not_held_up_by_others() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let (mut one, mut two) = (stage.visitor().await, stage.visitor().await);
    let mut ends = [sockets.recv().await.unwrap(), sockets.recv().await.unwrap()];
    // The first is never answered, and the second is, message by message.
    say(&mut one, "nobody answers\n").await;
    say(&mut two, "for two\n").await;
    let mut both = [text(&mut ends[0]).await, text(&mut ends[1]).await];
    let of_two = both.iter().position(|said| said == "for two\n").unwrap();
    both.sort();
    assert_eq!(both, ["for two\n", "nobody answers\n"]);
    for answer in ["a", "b", "c"] {
        say(&mut ends[of_two], answer).await;
        assert_eq!(text(&mut two).await, answer);
    }
}

#[tokio::test]
async fn what_the_upstream_says_of_its_own_accord_comes_at_once() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    for news in ["one", "two"] {
        say(&mut socket, news).await;
        assert_eq!(text(&mut visitor).await, news);
    }
}

#[tokio::test]
async fn correlation_is_copied_from_a_request_to_its_answer() {
    let (upstream, mut sockets) = handed_out().await;
    let settings = json!({"incoming": "json", "outgoing": "json", "correlate": "/id"});
    let stage = Stage::to(settings, upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    for id in [json!("text"), json!([1, "two"]), json!(null)] {
        say(&mut visitor, &json!({"id": id, "q": 1}).to_string()).await;
        assert_eq!(object(&mut socket).await["id"], id);
        say(&mut socket, r#"{"a":1}"#).await;
        assert_eq!(object(&mut visitor).await, json!({"a": 1, "id": id}));
    }
    say(&mut visitor, r#"{"q":1}"#).await;
    assert_eq!(object(&mut socket).await, json!({"q": 1}));
    say(&mut socket, r#"{"a":1}"#).await;
    assert_eq!(object(&mut visitor).await, json!({"a": 1}));
}

#[tokio::test]
async fn rules_filter_and_rename_in_both_directions() {
    let (upstream, mut sockets) = handed_out().await;
    let settings = json!({
        "incoming": ["lines", "json"],
        "incoming_rules": [{"drop": "/kind", "is": "ping"}, {"rename": "/user", "to": "/meta/user"}],
        "outgoing": ["json"],
        "outgoing_rules": [{"keep": "/ok"}],
    });
    let stage = Stage::to(settings, upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, "{\"kind\":\"ping\"}\n{\"user\":\"a\"}\n").await;
    assert_eq!(text(&mut socket).await, "{\"meta\":{\"user\":\"a\"}}\n");
    say(&mut socket, r#"{"secret":1}"#).await;
    say(&mut socket, r#"{"ok":true}"#).await;
    assert_eq!(text(&mut visitor).await, r#"{"ok":true}"#);
}
