//! A visitor of any node is served as by the node that holds the link.

use bytes::Bytes;
use futures_util::SinkExt;
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use testkit::{
    balancer::Kind,
    fleet::Fleet,
    origin::Origin,
    process::Key,
    socket::{End, Message, closing, end, hear},
    visitor::Visitor,
};

use crate::{
    service::{LARGE, large, with_trailers},
    stage::{Events, ONE_LINK, Stage},
};

/// Everything a service and its visitor can say to each other.
async fn converses(visitor: &Visitor) {
    assert_eq!(visitor.get("/").await.text(), "service");
    assert_eq!(
        visitor.post("/echo", "a question").await.text(),
        "a question"
    );
    assert_eq!(visitor.get("/large").await.body, large());
    let body = large();
    assert_eq!(visitor.post("/echo", body.clone()).await.body, body);
    let head = visitor.send(Method::HEAD, "/large", Bytes::new()).await;
    assert_eq!(head.headers[header::CONTENT_LENGTH], LARGE.to_string());
    assert!(head.body.is_empty());
    let mut events = Events::of(visitor).await;
    for _ in 0..3 {
        events.next().await;
    }
    sends_trailers(visitor).await;
}

async fn sends_trailers(visitor: &Visitor) {
    let trailers: HeaderMap = [("x-sum".parse().unwrap(), "1".parse().unwrap())]
        .into_iter()
        .collect();
    let request = Request::post("/echo")
        .header(header::TE, "trailers")
        .header(header::TRAILER, "x-sum")
        .body(with_trailers("data".into(), trailers.clone()));
    let (response, _connection) = visitor.open(request.unwrap()).await;
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers(), Some(&trailers));
    assert_eq!(body.to_bytes(), "data");
}

/// Messages both ways, and a close with its code.
async fn exchanges_messages(visitor: &Visitor) {
    let mut socket = visitor.open_socket("/socket").await;
    for message in [
        Message::text("hello"),
        Message::binary(Bytes::new()),
        Message::binary(vec![7; 100_000]),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(hear(&mut socket).await, message);
    }
    socket.send(closing(4001, "enough")).await.unwrap();
    assert_eq!(
        end(&mut socket).await,
        End::Closed(4001, "enough".to_owned())
    );
}

#[tokio::test]
async fn any_node_serves_a_tunnel_whose_agent_is_on_another() {
    let stage = Stage::of(3).await;
    let agent = stage.agent_at(2).await;
    for node in [0, 1, 2] {
        converses(&stage.fleet.visitor_of(node, &agent)).await;
    }
}

#[tokio::test]
async fn any_node_carries_the_websockets_of_a_tunnel_whose_agent_is_on_another() {
    let stage = Stage::of(2).await;
    let sockets = Origin::echoing_sockets().await;
    let port = sockets.port();
    let agent = stage.fleet.agent_of(1, &port, &stage.key, ONE_LINK).await;
    for node in [0, 1] {
        exchanges_messages(&stage.fleet.visitor_of(node, &agent)).await;
    }
}

#[tokio::test]
async fn nobody_notices_which_node_a_balancer_chose() {
    for kind in [Kind::HaProxy, Kind::Nginx] {
        let stage = Stage::with(Fleet::of(2).behind(kind)).await;
        let sockets = Origin::echoing_sockets().await;
        let agent = stage.agent_by(stage.fleet.addr(), ONE_LINK).await;
        let key = Key::fresh();
        let to_sockets = stage.fleet.agent(&sockets.port(), &key, ONE_LINK).await;
        for _ in 0..3 {
            let visitor = stage.fleet.visitor(&agent);
            assert_eq!(visitor.get("/").await.text(), "service");
            assert_eq!(visitor.get("/large").await.body, large());
            let body = large();
            assert_eq!(visitor.post("/echo", body.clone()).await.body, body);
            Events::of(&visitor).await.next().await;
            exchanges_messages(&stage.fleet.visitor(&to_sockets)).await;
        }
    }
}

#[tokio::test]
async fn failures_have_the_same_names_on_every_node_and_ids_that_lead_to_the_agent() {
    let stage = Stage::of(2).await;
    let agent = stage.agent_at(1).await;
    let key = Key::fresh();
    let options = ["--links", "1", "--log-format", "json"];
    let mut nowhere = stage.fleet.agent_of(1, "1", &key, &options).await;
    for node in [0, 1] {
        let visitor = stage.fleet.visitor_of(node, &agent);
        let stranger = visitor.asking_for("nobody.localhost").get("/").await;
        assert_eq!(
            (stranger.status.as_u16(), stranger.error()),
            (404, Some("unknown-host"))
        );
        let too_large = visitor.post("/echo", vec![0; 600_000]).await;
        assert_eq!(
            (too_large.status.as_u16(), too_large.error()),
            (413, Some("request-too-large"))
        );
        let lost = stage.fleet.visitor_of(node, &nowhere).get("/").await;
        assert_eq!(
            (lost.status.as_u16(), lost.error()),
            (502, Some("target-unreachable"))
        );
        let id = lost.headers["adit-request-id"].to_str().unwrap();
        nowhere.program.says(id).await;
    }
    drop(agent);
    for node in [0, 1] {
        let key = Key::fresh();
        let gone = stage.fleet.agent_of(1, "1", &key, ONE_LINK).await;
        let visitor = stage.fleet.visitor_of(node, &gone);
        gone.program.kill().await;
        crate::stage::within(testkit::visitor::PATIENCE, "offline", async || {
            visitor.get("/").await.error() == Some("tunnel-offline")
        })
        .await;
    }
}
