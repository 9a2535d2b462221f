//! An upstream that is away, dies, keeps silent or says too much.

use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde_json::json;
use testkit::origin::Origin;
use testkit::port::Port;
use testkit::socket::{Message, Plain, end, hear};
use tokio::time::timeout;

use crate::stage::{Stage, ask, badger_on, config, handed_out, object, recipe, say, text};

/// What the visitor is told about event `id`.
async fn told(visitor: &mut Plain, id: &str) -> String {
    let told = object(visitor).await;
    assert_eq!(told["event_id"], id, "{told}");
    told["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn while_the_upstream_is_away_each_line_is_told_and_when_it_is_back_the_next_works() {
    let port = Port::free();
    let stage = Stage::to(recipe(), port.addr()).await;
    let mut visitor = stage.visitor().await;
    let away = format!("No connection available for ws://{}.", port.addr());
    say(&mut visitor, "one\ntwo\n").await;
    assert_eq!(told(&mut visitor, "1:0:0").await, away);
    assert_eq!(told(&mut visitor, "1:0:1").await, away);
    let upstream = badger_on(&port);
    ask(&mut visitor, "snot\n", "badger").await;
    drop(upstream);
    say(&mut visitor, "three\n").await;
    // Lost while it was sent or awaited, or known to be lost: the socket is open in any case.
    let why = told(&mut visitor, "1:0:3").await;
    assert!(why.contains(&port.addr().to_string()), "{why}");
    let _upstream = badger_on(&port);
    ask(&mut visitor, "snot\n", "badger").await;
}

#[tokio::test]
async fn where_errors_close_an_upstream_that_is_away_is_1011() {
    let port = Port::free();
    let stage = Stage::to(json!({}), port.addr()).await;
    let mut visitor = stage.visitor().await;
    assert_eq!(end(&mut visitor).await.code(), Some(1011));
    let _upstream = badger_on(&port);
    ask(&mut stage.visitor().await, "snot", "badger").await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_told_whether_the_upstream_resets_or_closes() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, "one\n").await;
    hear(&mut socket).await;
    drop(socket);
    let server = format!(
        "Error while receiving reply from server ws://{}: ",
        upstream.addr
    );
    let why = told(&mut visitor, "1:0:0").await;
    assert!(why.starts_with(&server), "{why}");
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, "two\n").await;
    hear(&mut socket).await;
    socket.close(None).await.unwrap();
    let why = told(&mut visitor, "1:0:1").await;
    assert_eq!(why, format!("{server}the server closed the connection"));
    // And it is dialled again by itself.
    let mut socket = sockets.recv().await.unwrap();
    say(&mut socket, "news").await;
    assert_eq!(text(&mut visitor).await, "news");
}

#[tokio::test]
async fn an_upstream_that_closes_while_nobody_waits_is_no_error() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, "one\n").await;
    hear(&mut socket).await;
    say(&mut socket, "answer").await;
    assert_eq!(text(&mut visitor).await, "answer");
    socket.close(None).await.unwrap();
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, "two\n").await;
    assert_eq!(text(&mut socket).await, "two\n");
    say(&mut socket, "answer").await;
    assert_eq!(text(&mut visitor).await, "answer");
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_told_and_the_next_message_works() {
    let (upstream, mut sockets) = handed_out().await;
    let settings =
        json!({"incoming": "json", "outgoing": "json", "correlate": "/id", "errors": "message"});
    let mut config = config(settings, upstream.addr);
    config.answer = Some(Duration::from_millis(200));
    let stage = Stage::with(config).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, r#"{"id":"a"}"#).await;
    hear(&mut socket).await;
    let told = object(&mut visitor).await;
    assert_eq!(told["correlation"], "a");
    assert!(
        told["error"]
            .as_str()
            .unwrap()
            .starts_with("No answer from server "),
        "{told}"
    );
    // On a new connection, so that a late answer is not taken for the next one.
    end(&mut socket).await;
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, r#"{"id":"b"}"#).await;
    hear(&mut socket).await;
    say(&mut socket, r#"{"ok":1}"#).await;
    assert_eq!(object(&mut visitor).await, json!({"ok": 1, "id": "b"}));
}

#[tokio::test]
async fn an_upstream_that_accepts_and_says_nothing_is_no_connection() {
    let upstream = Origin::accepting(|_tcp| std::future::pending()).await;
    let mut config = config(recipe(), upstream.addr);
    config.connect = Duration::from_millis(100);
    let stage = Stage::with(config).await;
    let mut visitor = stage.visitor().await;
    say(&mut visitor, "hello\n").await;
    assert!(
        told(&mut visitor, "1:0:0")
            .await
            .starts_with("No connection available")
    );
}

#[tokio::test]
async fn a_silent_upstream_is_asked_for_a_sign_of_life_and_lost_without_one() {
    let (upstream, mut sockets) = handed_out().await;
    let mut config = config(recipe(), upstream.addr);
    config.silence = Duration::from_millis(100);
    let stage = Stage::with(config).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    // One that answers pings may be silent for as long as it likes.
    for _ in 0..4 {
        let ping = socket.next().await.unwrap().unwrap();
        assert!(ping.is_ping(), "{ping:?}");
    }
    say(&mut socket, "still here").await;
    assert_eq!(text(&mut visitor).await, "still here");
    say(&mut visitor, "question\n").await;
    // Nobody reads the socket any more, so nobody answers.
    let why = told(&mut visitor, "1:0:0").await;
    assert!(why.contains("no sign of life"), "{why}");
}

#[tokio::test]
async fn an_upstream_that_floods_waits_for_the_visitor() {
    const MESSAGE: usize = 100_000;
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(json!({}), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    let mut sent = 0_u32;
    let flood = |number: u32| {
        let mut data = vec![0; MESSAGE];
        data[..4].copy_from_slice(&number.to_be_bytes());
        Message::binary(data)
    };
    // Until nothing more is taken for a while.
    while let Ok(taken) = timeout(Duration::from_millis(500), socket.send(flood(sent))).await {
        taken.unwrap();
        sent += 1;
    }
    // What the kernel holds for four sockets, and not what the upstream would like to say.
    assert!(sent < 500, "{sent} messages of {MESSAGE} bytes are held");
    // The last send was cut off behind its message: that comes too.
    let finishing = socket.flush();
    let listening = async {
        for number in 0..=sent {
            assert_eq!(hear(&mut visitor).await, flood(number));
        }
    };
    let (finished, ()) = tokio::join!(finishing, listening);
    finished.unwrap();
}

#[tokio::test]
async fn a_visitor_who_floods_waits_for_the_upstream() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(json!({}), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    let message = Message::binary(vec![0; 100_000]);
    let mut sent = 0;
    while let Ok(taken) = timeout(Duration::from_millis(500), visitor.send(message.clone())).await {
        taken.unwrap();
        sent += 1;
    }
    assert!(sent < 500, "{sent} messages are held");
    // The other direction is not held up by that.
    socket.send(Message::text("other way")).await.unwrap();
    assert_eq!(text(&mut visitor).await, "other way");
}

#[tokio::test]
async fn a_visitor_may_leave_while_the_upstream_is_dialled() {
    let upstream = Origin::accepting(|_tcp| std::future::pending()).await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    visitor.close(None).await.unwrap();
    // Long before connecting has had its ten seconds.
    assert!(end(&mut visitor).await.code().is_none());
    while upstream.connections() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(visitor.next().now_or_never().is_some());
}
