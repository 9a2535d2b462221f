//! One connection for all visitors.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use testkit::origin::Origin;
use testkit::port::Port;
use testkit::socket::{Message, Plain, end, hear};

use crate::stage::{Stage, config, handed_out, object, say};

fn settings(errors: &str) -> Value {
    json!({"incoming": "json", "outgoing": "json", "correlate": "/id", "shared": true, "errors": errors})
}

async fn ask(visitor: &mut Plain, request: Value) {
    say(visitor, &request.to_string()).await;
}

/// A request as the upstream sees it.
async fn asked(socket: &mut Plain) -> Value {
    object(socket).await
}

#[tokio::test]
async fn answers_find_their_visitors_in_whatever_order_and_with_the_ids_they_chose() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(settings("message"), upstream.addr).await;
    let mut socket = sockets.recv().await.unwrap();
    let (mut one, mut two) = (stage.visitor().await, stage.visitor().await);
    // Both call theirs the same.
    ask(&mut one, json!({"id": "x", "of": 1})).await;
    let first = asked(&mut socket).await;
    ask(&mut two, json!({"id": "x", "of": 2})).await;
    let second = asked(&mut socket).await;
    ask(&mut two, json!({"of": 3})).await;
    let third = asked(&mut socket).await;
    assert_eq!([&first["of"], &second["of"], &third["of"]], [1, 2, 3]);
    for request in [third, second, first] {
        ask(
            &mut socket,
            json!({"id": request["id"], "answer": request["of"]}),
        )
        .await;
    }
    assert_eq!(object(&mut two).await, json!({"answer": 3}));
    assert_eq!(object(&mut two).await, json!({"id": "x", "answer": 2}));
    assert_eq!(object(&mut one).await, json!({"id": "x", "answer": 1}));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn what_answers_no_request_reaches_nobody_and_shifts_nothing() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(settings("message"), upstream.addr).await;
    let mut socket = sockets.recv().await.unwrap();
    let mut visitor = stage.visitor().await;
    ask(&mut visitor, json!({"id": 7})).await;
    let request = asked(&mut socket).await;
    for odd in [
        r#"{"news":1}"#,
        r#"{"id":999}"#,
        r#"{"id":"1"}"#,
        "no json",
        "[1]",
    ] {
        say(&mut socket, odd).await;
    }
    socket.send(Message::Ping("p".into())).await.unwrap();
    ask(&mut socket, json!({"id": request["id"], "mine": true})).await;
    assert_eq!(object(&mut visitor).await, json!({"id": 7, "mine": true}));
}

#[tokio::test]
async fn a_request_that_is_never_answered_costs_only_who_asked() {
    let (upstream, mut sockets) = handed_out().await;
    let mut config = config(settings("message"), upstream.addr);
    config.answer = Some(Duration::from_millis(200));
    let stage = Stage::with(config).await;
    let mut socket = sockets.recv().await.unwrap();
    let (mut one, mut two) = (stage.visitor().await, stage.visitor().await);
    ask(&mut one, json!({"id": "lost"})).await;
    let late = asked(&mut socket).await;
    ask(&mut two, json!({"id": "found"})).await;
    let request = asked(&mut socket).await;
    ask(&mut socket, json!({"id": request["id"]})).await;
    assert_eq!(object(&mut two).await, json!({"id": "found"}));
    let told = object(&mut one).await;
    assert_eq!(told["correlation"], "lost");
    // What comes too late is not taken for the next answer.
    ask(&mut socket, json!({"id": late["id"], "late": true})).await;
    ask(&mut one, json!({"id": "next"})).await;
    let request = asked(&mut socket).await;
    ask(&mut socket, json!({"id": request["id"]})).await;
    assert_eq!(object(&mut one).await, json!({"id": "next"}));
}

#[tokio::test]
async fn when_the_connection_is_lost_all_who_wait_are_told_and_the_next_message_works() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(settings("message"), upstream.addr).await;
    let mut socket = sockets.recv().await.unwrap();
    let (mut one, mut two) = (stage.visitor().await, stage.visitor().await);
    for visitor in [&mut one, &mut two] {
        ask(visitor, json!({"id": 1})).await;
        asked(&mut socket).await;
    }
    drop(socket);
    for visitor in [&mut one, &mut two] {
        let told = object(visitor).await;
        let why = told["error"].as_str().unwrap();
        assert!(
            why.starts_with("Error while receiving reply from server"),
            "{why}"
        );
    }
    let mut socket = sockets.recv().await.unwrap();
    ask(&mut two, json!({"id": 2})).await;
    let request = asked(&mut socket).await;
    ask(&mut socket, json!({"id": request["id"]})).await;
    assert_eq!(object(&mut two).await, json!({"id": 2}));
}

#[tokio::test]
async fn while_there_is_no_connection_requests_are_refused_and_later_ones_work() {
    let port = Port::free();
    let stage = Stage::to(settings("message"), port.addr()).await;
    let mut visitor = stage.visitor().await;
    ask(&mut visitor, json!({"id": 1})).await;
    let told = object(&mut visitor).await;
    assert_eq!(
        told["error"],
        format!("No connection available for ws://{}.", port.addr())
    );
    let _upstream = Origin::sockets_on(port.listen(), |mut socket, _| async move {
        testkit::socket::echo(&mut socket).await;
    });
    ask(&mut visitor, json!({"id": 2})).await;
    assert_eq!(object(&mut visitor).await, json!({"id": 2}));
}

#[tokio::test]
async fn a_request_without_room_for_its_number_is_refused_and_the_next_works() {
    let upstream = Origin::echoing_sockets().await;
    let stage = Stage::to(settings("message"), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    say(&mut visitor, "[1]").await;
    let told = object(&mut visitor).await;
    assert!(
        told["error"].as_str().unwrap().contains("room for /id"),
        "{told}"
    );
    ask(&mut visitor, json!({"id": 2})).await;
    assert_eq!(object(&mut visitor).await, json!({"id": 2}));
    let stage = Stage::to(settings("close"), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    say(&mut visitor, "[1]").await;
    assert_eq!(end(&mut visitor).await.code(), Some(1007));
}

#[tokio::test]
async fn a_visitor_who_does_not_listen_holds_up_nobody_and_has_only_so_many_requests() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(settings("message"), upstream.addr).await;
    let mut socket = sockets.recv().await.unwrap();
    let (mut deaf, mut other) = (stage.visitor().await, stage.visitor().await);
    for _ in 0..20 {
        ask(&mut deaf, json!({"of": "deaf"})).await;
    }
    // Sixteen are under way, and the others wait in the visitor's own connection.
    for _ in 0..16 {
        assert_eq!(asked(&mut socket).await["of"], "deaf");
    }
    ask(&mut other, json!({"of": "other"})).await;
    let request = asked(&mut socket).await;
    assert_eq!(request["of"], "other");
    ask(&mut socket, json!({"id": request["id"]})).await;
    assert_eq!(hear(&mut other).await, Message::text("{}"));
}

#[tokio::test]
async fn a_visitor_who_leaves_takes_nothing_along() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(settings("message"), upstream.addr).await;
    let mut socket = sockets.recv().await.unwrap();
    let (mut gone, mut other) = (stage.visitor().await, stage.visitor().await);
    ask(&mut gone, json!({"of": 1})).await;
    let unheard = asked(&mut socket).await;
    drop(gone);
    ask(&mut socket, json!({"id": unheard["id"]})).await;
    ask(&mut other, json!({"of": 2})).await;
    let request = asked(&mut socket).await;
    ask(&mut socket, json!({"id": request["id"], "of": 2})).await;
    assert_eq!(object(&mut other).await, json!({"of": 2}));
}
