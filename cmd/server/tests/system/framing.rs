//! Where a response ends: for old visitors, and for statuses that have no body.

use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use testkit::{
    origin::{Origin, OriginBody, full},
    process::{Agent, Key, Server},
    visitor::Raw,
};

/// `/204` and the like answer with that status, `/chunked` without a length, `/hello` with one.
async fn answer(request: Request<Incoming>) -> Response<OriginBody> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    if path == "chunked" {
        let parts = ["a", "b", "c"].map(|part| Ok(http_body::Frame::data(part.into())));
        return Response::new(StreamBody::new(stream::iter(parts)).boxed_unsync());
    }
    let mut response = Response::new(full(if path == "hello" { "hello" } else { "" }));
    if let Ok(status) = path.parse::<u16>() {
        *response.status_mut() = status.try_into().unwrap();
    }
    response
}

/// The same service over both protocols, each with a visitor's connection for raw bytes.
async fn published() -> (Server, Vec<(Agent, Origin)>) {
    let server = Server::start(&[]).await;
    let mut agents = Vec::new();
    for (protocol, origin) in [
        ("http1", Origin::serving(answer).await),
        ("h2c", Origin::serving_h2c(answer).await),
    ] {
        let options = ["-q", "--target-protocol", protocol];
        let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &options).await;
        agents.push((agent, origin));
    }
    (server, agents)
}

async fn head(visitor: &mut Raw) -> String {
    String::from_utf8(visitor.until("\r\n\r\n").await)
        .unwrap()
        .to_ascii_lowercase()
}

#[tokio::test]
async fn an_http_1_0_visitor_gets_no_chunks() {
    let (_server, agents) = published().await;
    for (agent, _) in &agents {
        for (path, body) in [("/chunked", "abc"), ("/hello", "hello")] {
            let mut visitor = agent.visitor().raw().await;
            let asked = format!("GET {path} HTTP/1.0\r\nHost: {{host}}\r\n\r\n");
            visitor.say(&asked).await;
            let head = head(&mut visitor).await;
            assert!(head.starts_with("http/1.0 200"), "{head}");
            assert!(!head.contains("transfer-encoding"), "{head}");
            let (rest, reset) = visitor.rest().await;
            assert_eq!(
                (String::from_utf8(rest).unwrap().as_str(), reset),
                (body, false)
            );
        }
    }
}

#[tokio::test]
async fn an_http_1_0_visitor_who_keeps_the_connection_is_told_where_a_response_ends() {
    let (_server, agents) = published().await;
    let (agent, _) = &agents[0];
    let mut visitor = agent.visitor().raw().await;
    for _ in 0..2 {
        visitor
            .say("GET /hello HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n")
            .await;
        let head = head(&mut visitor).await;
        assert!(head.contains("content-length: 5\r\n"), "{head}");
        assert!(head.contains("connection: keep-alive\r\n"), "{head}");
        visitor.until("hello").await;
    }
}

#[tokio::test]
async fn responses_without_a_body_end_with_their_head_and_the_next_one_follows() {
    let (_server, agents) = published().await;
    for (agent, _) in &agents {
        let mut visitor = agent.visitor().raw().await;
        for (asked, status, length) in [
            ("HEAD /hello", "200", Some("content-length: 5\r\n")),
            ("GET /204", "204", None),
            ("GET /304", "304", None),
            ("HEAD /chunked", "200", None),
        ] {
            visitor
                .say(&format!("{asked} HTTP/1.1\r\nHost: {{host}}\r\n\r\n"))
                .await;
            let head = head(&mut visitor).await;
            assert!(
                head.starts_with(&format!("http/1.1 {status}")),
                "{asked}: {head}"
            );
            if let Some(length) = length {
                assert!(head.contains(length), "{asked}: {head}");
            }
            if status == "204" {
                // RFC 9110, 8.6 and RFC 9112, 6.1: neither.
                assert!(!head.contains("content-length"), "{head}");
                assert!(!head.contains("transfer-encoding"), "{head}");
            }
        }
        visitor
            .say("GET /hello HTTP/1.1\r\nHost: {host}\r\n\r\n")
            .await;
        let head = head(&mut visitor).await;
        assert!(
            head.starts_with("http/1.1 200"),
            "what came before had no body: {head}"
        );
        visitor.until("hello").await;
    }
}
