//! Trailers, both ways, over every pair of protocols.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, request::Builder};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use testkit::{
    origin::{Origin, OriginBody},
    process::{Agent, Key, Server},
};

/// Data and trailers.
type Pieces = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::io::Error>>>>;

fn with_trailers(trailers: &[(&'static str, &str)]) -> Pieces {
    let trailers: HeaderMap = trailers
        .iter()
        .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
        .collect();
    let data = Frame::data(Bytes::from_static(b"data"));
    StreamBody::new(stream::iter(vec![Ok(data), Ok(Frame::trailers(trailers))]))
}

/// Answers with the trailers it got, and what it learnt of the visitor's wish for some.
async fn answer(request: Request<Incoming>) -> Response<OriginBody> {
    let te = request.headers().get("te").cloned();
    let body = request.into_body().collect().await.unwrap();
    let names = |trailers: &HeaderMap| {
        let mut names: Vec<_> = trailers.iter().map(|(name, _)| name.to_string()).collect();
        names.sort();
        names.join(",")
    };
    let seen = body.trailers().map(names).unwrap_or_default();
    let answer = with_trailers(&[
        ("x-seen", &seen),
        ("content-length", "3"),
        ("set-cookie", "a=b"),
    ]);
    let mut response = Response::new(answer.boxed_unsync());
    let announced = HeaderValue::from_static("x-seen, content-length, set-cookie");
    response.headers_mut().insert("trailer", announced);
    response
        .headers_mut()
        .insert("x-te", te.unwrap_or(HeaderValue::from_static("none")));
    response
}

fn asking(builder: Builder, te: bool) -> Request<Pieces> {
    let builder = builder.header("trailer", "x-sum, authorization, host");
    let builder = if te {
        builder.header("te", "trailers")
    } else {
        builder
    };
    let body = with_trailers(&[
        ("x-sum", "1"),
        ("authorization", "Basic x"),
        ("host", "evil"),
    ]);
    builder.body(body).unwrap()
}

#[tokio::test]
async fn trailers_pass_both_ways_without_those_that_would_change_the_message() {
    let server = Server::start(&[]).await;
    for protocol in ["http1", "h2c"] {
        let origin = match protocol {
            "h2c" => Origin::serving_h2c(answer).await,
            _ => Origin::serving(answer).await,
        };
        let options = ["-q", "--target-protocol", protocol];
        let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &options).await;
        let http1 = asking(Request::post("/"), true);
        let (response, _connection) = agent.visitor().open(http1).await;
        check(response, "HTTP/1.1", protocol).await;
        let visitor = agent.visitor().http2().await;
        let http2 = asking(visitor.asking(Method::POST, "/"), true);
        check(visitor.open(http2).await, "HTTP/2", protocol).await;
    }
}

async fn check(response: Response<Incoming>, visitor: &str, service: &str) {
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["x-te"],
        "trailers",
        "{visitor} to {service}"
    );
    let body = response.into_body().collect().await.unwrap();
    let trailers = body
        .trailers()
        .unwrap_or_else(|| panic!("no trailers, {visitor} to {service}"));
    assert_eq!(trailers["x-seen"], "x-sum", "{visitor} to {service}");
    assert_eq!(trailers.len(), 1, "{trailers:?}, {visitor} to {service}");
    assert_eq!(body.to_bytes(), "data");
}

#[tokio::test]
async fn who_asks_for_no_trailers_over_http_1_1_gets_none() {
    let server = Server::start(&[]).await;
    let origin = Origin::serving_h2c(answer).await;
    let options = ["-q", "--target-protocol", "h2c"];
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &options).await;
    let (response, _connection) = agent
        .visitor()
        .open(asking(Request::post("/"), false))
        .await;
    assert_eq!(response.headers()["x-te"], "none");
    let body = response.into_body().collect().await.unwrap();
    assert!(body.trailers().is_none(), "{:?}", body.trailers());
    assert_eq!(body.to_bytes(), "data");
}
