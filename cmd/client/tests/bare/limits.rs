//! How much one visitor may ask for (16, 17).

use testkit::cluster::Cluster;
use testkit::visitor::Visitor;

use crate::stage::{error, told, with};

const TOO_MANY: &str = "CONNECTION_LIMIT_EXCEEDED";

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back_whatever_headers_say_who_he_is() {
    let stage = with(&["--visitor-requests", "3"]).await;
    let claim = async |address: &str| {
        let fields = [("x-forwarded-for", address), ("x-real-ip", address)];
        stage.client.get_with("/", &fields).await
    };
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        assert_eq!(claim(address).await.status, 200);
    }
    let refused = claim("192.0.2.4").await;
    assert_eq!(
        error(&refused),
        told(429, TOO_MANY, "error.TooManyConnections")
    );
    assert_eq!(refused.headers["ratelimit-limit"], "3");
    assert_eq!(refused.headers["ratelimit-remaining"], "0");
    assert_eq!(
        refused.headers["retry-after"],
        refused.headers["ratelimit-reset"]
    );
    // Questions that browsers ask by themselves are free.
    let asked = stage
        .client
        .send(http::Method::OPTIONS, "/v3/", "".into())
        .await;
    assert_eq!(asked.status, 200);
    let refused = stage.client.socket("/v3/", &[]).await.unwrap_err();
    assert_eq!(refused.status(), 429);
}

#[tokio::test]
async fn open_websockets_are_counted_not_only_requests() {
    let stage = with(&["--visitor-sockets", "2"]).await;
    let first = stage.client.open_socket("/v3/").await;
    let _second = stage.client.open_socket("/v3/").await;
    let refused = stage.client.socket("/v3/", &[]).await.unwrap_err();
    assert_eq!(refused.status(), 429);
    drop(first);
    let waiting = async {
        while stage.client.socket("/v3/", &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(testkit::visitor::PATIENCE, waiting)
        .await
        .unwrap();
}

#[tokio::test]
async fn through_a_tunnel_the_visitor_is_whom_the_edge_has_found() {
    let edge = edge::Config {
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..edge::Config::default()
    };
    let cluster = Cluster::with(1, &edge, &uplink::Config::new("localhost")).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    let server = cluster.agent().config.server.to_string();
    let line = [
        "bare",
        "--key",
        key.to_str().unwrap(),
        "--server",
        &server,
        "--visitor-requests",
        "1",
    ];
    let mut agent = testkit::process::Program::start(env!("CARGO_BIN_EXE_adit"), line);
    let url = |line: &str| line.strip_prefix("http://").map(str::to_owned);
    let host = agent.line("its URL", url).await;
    let visitor = Visitor::new(cluster.node(0).addr, host);
    // The edge believes the proxy in front of it, so these are two visitors, and what they claim beyond that is nothing.
    for (forwarded, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.2", 200),
        ("192.0.2.1", 429),
        ("198.51.100.7, 192.0.2.2", 429),
    ] {
        let answer = visitor
            .get_with("/", &[("x-forwarded-for", forwarded)])
            .await;
        assert_eq!(answer.status.as_u16(), status, "{forwarded}");
    }
}
