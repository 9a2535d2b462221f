//! What visitors' handshakes are answered with, and what the upstream learns of them.

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use testkit::origin::Origin;
use testkit::port::Port;
use tokio::sync::mpsc;

use crate::stage::{Stage, config, recipe};

fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

/// An upstream that tells which requests opened its sockets.
async fn telling() -> (Origin, mpsc::Receiver<http::Request<()>>) {
    let (tell, told) = mpsc::channel(8);
    let origin = Origin::sockets(move |mut socket, request| {
        let tell = tell.clone();
        async move {
            tell.send(request).await.ok();
            testkit::socket::echo(&mut socket).await;
        }
    })
    .await;
    (origin, told)
}

#[tokio::test]
async fn the_upstream_chooses_among_the_subprotocols_that_a_visitor_offers() {
    let (upstream, mut told) = telling().await;
    let stage = Stage::to(json!({}), upstream.addr).await;
    let offered = fields(&[
        ("sec-websocket-protocol", "chat.v1, chat.v2"),
        ("cookie", "a=b"),
    ]);
    let opened = stage.relay.open(&offered).await.unwrap();
    assert_eq!(opened.protocol.unwrap(), "chat.v2");
    let asked = told.recv().await.unwrap();
    assert_eq!(asked.headers()["cookie"], "a=b");
}

#[tokio::test]
async fn without_an_upstream_to_choose_a_subprotocol_the_handshake_is_refused() {
    let port = Port::free();
    let stage = Stage::to(recipe(), port.addr()).await;
    let offered = fields(&[("sec-websocket-protocol", "chat")]);
    let refused = stage.relay.open(&offered).await.unwrap_err();
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
    assert!(stage.relay.open(&fields(&[])).await.is_ok());
}

#[tokio::test]
async fn the_upstream_is_the_configured_one_whatever_a_visitor_asks_for() {
    let (upstream, mut told) = telling().await;
    let mut settings = json!({});
    settings["upstream"] = format!("ws://{}/feed?k=1", upstream.addr).into();
    let settings: adit_relay::Settings = serde_json::from_value(settings).unwrap();
    let stage = Stage::with(settings.check().unwrap()).await;
    let mut visitor = stage.visitor().await;
    crate::stage::ask(
        &mut visitor,
        r#"{"$url":"ws://127.0.0.1:1/"}"#,
        r#"{"$url":"ws://127.0.0.1:1/"}"#,
    )
    .await;
    let asked = told.recv().await.unwrap();
    assert_eq!(asked.uri().to_string(), "/feed?k=1");
    assert_eq!(asked.headers()["host"], upstream.addr.to_string());
}

#[tokio::test]
async fn there_are_only_so_many_visitors_at_the_same_time() {
    let upstream = Origin::echoing_sockets().await;
    let mut config = config(json!({}), upstream.addr);
    config.visitors = 2;
    let stage = Stage::with(config).await;
    let one = stage.relay.open(&fields(&[])).await.unwrap();
    let _two = stage.relay.open(&fields(&[])).await.unwrap();
    let refused = stage.relay.open(&fields(&[])).await.unwrap_err();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(one);
    assert!(stage.relay.open(&fields(&[])).await.is_ok());
}
