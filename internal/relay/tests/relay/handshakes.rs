//! What visitors' handshakes are answered with, and what the upstream learns of them.

use std::sync::Arc;

use adit_relay::Config;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use testkit::origin::Origin;
use testkit::port::Port;
use testkit::socket::end;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};

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

/// A service that says everything back over TLS, and who trusts it alone.
async fn echoing_over_tls() -> (Origin, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let origin = Origin::accepting(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(tls) = acceptor.accept(tcp).await else {
                return;
            };
            let mut socket = tokio_tungstenite::accept_async(tls).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                socket.send(message).await.ok();
            }
        }
    })
    .await;
    (origin, Arc::new(client))
}

#[tokio::test]
async fn an_upstream_may_have_tls_and_is_believed_only_with_a_certificate_that_is_trusted() {
    let (upstream, trust) = echoing_over_tls().await;
    let url = format!("wss://{}", upstream.addr).parse().unwrap();
    let mut config = Config::new(url);
    let stage = Stage::with(config.clone()).await;
    assert_eq!(end(&mut stage.visitor().await).await.code(), Some(1011));
    config.tls = Some(trust);
    let stage = Stage::with(config).await;
    crate::stage::ask(&mut stage.visitor().await, "hello", "hello").await;
}
