//! Visitors who speak HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, ext::Protocol};
use testkit::{
    origin::{Origin, full},
    process::{Agent, Key, Program, Server},
    visitor::{PATIENCE, Visitor},
};
use tokio::{sync::mpsc, time::timeout};

struct Published {
    agent: Agent,
    _server: Server,
    _origin: Origin,
}

impl Published {
    async fn over(origin: Origin, options: &[&str]) -> Self {
        let server = Server::start(&[]).await;
        let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), options).await;
        Self {
            agent,
            _server: server,
            _origin: origin,
        }
    }

    async fn echo() -> Self {
        Self::over(Origin::echo().await, &["-q"]).await
    }

    fn visitor(&self) -> Visitor {
        self.agent.visitor()
    }
}

#[tokio::test]
async fn what_is_asked_over_http_2_arrives_over_http_1_1() {
    let echo = Published::echo().await;
    let visitor = echo.visitor().http2().await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
        let answer = visitor.send(method.clone(), "/m?q=1", "body").await;
        let text = answer.text();
        assert_eq!(answer.status, 200, "{text}");
        assert!(text.starts_with(&format!("{method} /m?q=1\n")), "{text}");
        assert!(
            text.contains(&format!("host: {}\n", echo.agent.host())),
            "{text}"
        );
        assert!(text.contains("via: 2"), "{text}");
        assert!(text.ends_with("\n\nbody"), "{text}");
    }
    let mut crumbs = visitor.asking(Method::GET, "/").body(Empty::new()).unwrap();
    for crumb in ["a=1", "b=2"] {
        let crumb = HeaderValue::from_static(crumb);
        crumbs.headers_mut().append("cookie", crumb);
    }
    let answer = visitor.request(crumbs).await;
    assert!(
        answer.text().contains("cookie: a=1; b=2\n"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let echo = Published::echo().await;
    let visitor = echo.visitor().http2().await;
    let body = vec![b'x'; 500_000];
    let answer = visitor.send(Method::POST, "/", body.clone()).await;
    assert!(answer.body.ends_with(&body));
    let refused = visitor.send(Method::POST, "/", vec![b'x'; 512_001]).await;
    assert_eq!(
        (refused.status.as_u16(), refused.error()),
        (413, Some("request-too-large"))
    );
    assert_eq!(
        visitor.get("/").await.status,
        200,
        "the connection lives on"
    );
}

#[tokio::test]
async fn five_hundred_requests_on_one_connection_are_each_answered() {
    let echo = Published::echo().await;
    let visitor = &echo.visitor().http2().await;
    stream::iter(0..500)
        .map(|number| async move {
            let answer = visitor.get(&format!("/{number}")).await;
            let line = format!("GET /{number}\n");
            assert!(answer.text().starts_with(&line), "{}", answer.text());
        })
        .buffer_unordered(100)
        .collect::<Vec<()>>()
        .await;
}

#[tokio::test]
async fn a_stream_that_is_reset_is_cancelled_at_the_service_and_the_others_go_on() {
    for protocol in ["http1", "h2c"] {
        let (began, mut begun) = mpsc::channel::<mpsc::Receiver<()>>(1);
        let handler = move |request: Request<Incoming>| {
            let began = began.clone();
            async move {
                if request.uri().path() == "/" {
                    return Response::new(full("other"));
                }
                // A service in mid-body does not look whether its client is still there.
                request.into_body().collect().await.unwrap();
                let (held, end) = mpsc::channel(1);
                began.send(end).await.unwrap();
                // The receiver sees the end when this future, and `held` with it, is dropped.
                held.closed().await;
                Response::new(full("never"))
            }
        };
        let origin = match protocol {
            "h2c" => Origin::serving_h2c(handler).await,
            _ => Origin::serving(handler).await,
        };
        let published = Published::over(origin, &["-q", "--target-protocol", protocol]).await;
        let visitor = published.visitor().http2().await;
        for body in ["", "with a body"] {
            let waiting = visitor.asking(Method::POST, "/wait").body(Full::from(body));
            let mut end = tokio::select! {
                _ = visitor.try_open(waiting.unwrap()) => unreachable!("the service never answers"),
                end = begun.recv() => end.unwrap(),
            };
            let cancelled = timeout(Duration::from_secs(1), end.recv()).await;
            assert_eq!(cancelled, Ok(None), "{protocol}, {body:?}");
            assert_eq!(visitor.get("/").await.text(), "other");
        }
    }
}

#[tokio::test]
async fn a_response_body_that_is_dropped_ends_the_work_at_the_service() {
    let (began, mut begun) = mpsc::channel::<mpsc::Receiver<()>>(1);
    let origin = Origin::serving_h2c(move |_| {
        let began = began.clone();
        async move {
            let (held, end) = mpsc::channel(1);
            began.send(end).await.unwrap();
            let parts = stream::unfold(held, async |held: mpsc::Sender<()>| {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let part = http_body::Frame::data(Bytes::from_static(b"tick\n"));
                Some((Ok::<_, std::io::Error>(part), held))
            });
            Response::new(http_body_util::StreamBody::new(parts).boxed_unsync())
        }
    })
    .await;
    let published = Published::over(origin, &["-q", "--target-protocol", "h2c"]).await;
    let visitor = published.visitor().http2().await;
    let endless = visitor.asking(Method::GET, "/").body(Empty::new()).unwrap();
    let mut response = visitor.open(endless).await;
    response.frame().await.unwrap().unwrap();
    let mut end = begun.recv().await.unwrap();
    drop(response);
    let cancelled = timeout(Duration::from_secs(1), end.recv()).await;
    assert_eq!(cancelled.expect("cancelled within a second"), None);
}

#[tokio::test]
async fn a_host_that_differs_from_the_authority_is_refused() {
    let echo = Published::echo().await;
    let visitor = echo.visitor().http2().await;
    let with_host = |host: &str| {
        let request = visitor.asking(Method::GET, "/").header("host", host);
        visitor.request(request.body(Empty::new()).unwrap())
    };
    assert_eq!(with_host("other.localhost").await.status, 400);
    assert_eq!(with_host(echo.agent.host()).await.status, 200);
}

#[tokio::test]
async fn a_tunnel_for_bytes_is_refused_and_an_unknown_host_named() {
    let echo = Published::echo().await;
    let visitor = echo.visitor().http2().await;
    let connect = Request::connect("example.com:443")
        .body(Empty::new())
        .unwrap();
    assert_eq!(visitor.request(connect).await.status, 400);
    let elsewhere = Request::get("http://nobody.localhost/")
        .body(Empty::new())
        .unwrap();
    let answer = visitor.request(elsewhere).await;
    assert_eq!(
        (answer.status.as_u16(), answer.error()),
        (404, Some("unknown-host"))
    );
}

#[tokio::test]
async fn a_websocket_runs_on_a_stream_of_http_2() {
    use testkit::socket::Message;
    use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

    let origin = Origin::echoing_sockets().await;
    let published = Published::over(origin, &["-q"]).await;
    let visitor = published.visitor().http2().await;
    // The server's settings, which allow it, have come with any answer; this service answers only upgrades.
    assert_eq!(visitor.get("/").await.status, 502);
    let asked = visitor
        .asking(Method::CONNECT, "/chat")
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"))
        .body(Empty::new())
        .unwrap();
    let response = visitor.open(asked).await;
    assert_eq!(response.status(), 200);
    let upgraded = hyper::upgrade::on(response).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    for text in ["one", "two"] {
        futures_util::SinkExt::send(&mut socket, Message::text(text))
            .await
            .unwrap();
        let heard = timeout(PATIENCE, socket.next()).await.unwrap();
        assert_eq!(heard.unwrap().unwrap(), Message::text(text));
    }
    assert_eq!(visitor.get("/").await.status, 502, "other streams go on");
}

#[tokio::test]
async fn curl_and_nghttp_are_served() {
    let echo = Published::echo().await;
    let (host, port) = echo.agent.host().split_once(':').unwrap();
    let resolve = format!("{host}:{port}:127.0.0.1");
    let url = format!("{}/page?x=1", echo.agent.url.trim_end_matches('/'));
    let curl = [
        "-sS",
        "--http2-prior-knowledge",
        "--resolve",
        &resolve,
        "-w",
        "v%{http_version} %{http_code}\n",
    ];
    let mut get = Program::start("curl", curl.iter().chain(&[&*url]));
    assert!(get.ended().await.success(), "{:?}", get.output());
    get.says("GET /page?x=1").await;
    get.says("v2 200").await;
    let mut post = Program::start("curl", curl.iter().chain(&["--data", "a=b", &*url]));
    assert!(post.ended().await.success(), "{:?}", post.output());
    post.says("POST /page?x=1").await;
    post.says("a=bv2 200").await;
    // nghttp takes no address beside the URL's, so the name goes into the header that names it.
    let direct = format!("http://127.0.0.1:{port}/page?x=2");
    let authority = format!(":authority: {host}:{port}");
    let nghttp = ["-v", "-m", "20", "-H", &authority, &direct];
    let mut many = Program::start("nghttp", nghttp);
    assert!(many.ended().await.success(), "{:?}", many.output());
    many.says("GET /page?x=2").await;
    assert_eq!(many.said(":status: 200"), 20, "{:?}", many.output());
}

#[tokio::test]
async fn a_head_request_and_empty_statuses_have_no_body_over_http_2() {
    let origin = Origin::serving(async |request| {
        let status: u16 = request
            .uri()
            .path()
            .trim_start_matches('/')
            .parse()
            .unwrap();
        let mut response = Response::new(full(if status == 200 { "hello" } else { "" }));
        *response.status_mut() = status.try_into().unwrap();
        response
    })
    .await;
    let published = Published::over(origin, &["-q"]).await;
    let visitor = published.visitor().http2().await;
    let head = visitor.send(Method::HEAD, "/200", "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.headers["content-length"], "5");
    for status in [204, 304] {
        let request = visitor.asking(Method::GET, &format!("/{status}"));
        let response = visitor
            .open(request.body(Full::new(Bytes::new())).unwrap())
            .await;
        assert_eq!(response.status(), status);
        assert!(
            response
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .is_empty()
        );
    }
}
