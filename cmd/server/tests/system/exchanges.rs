//! What passes through a tunnel, and how.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use testkit::{
    origin::{Origin, OriginBody, full},
    process::{Agent, Key, Server},
    visitor::Visitor,
};
use tokio::sync::mpsc;

/// A server, an agent and an echo service.
struct Echo {
    _server: Server,
    agent: Agent,
    _origin: Origin,
}

impl Echo {
    async fn start() -> Self {
        let server = Server::start(&[]).await;
        let origin = Origin::echo().await;
        let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
        Self {
            _server: server,
            agent,
            _origin: origin,
        }
    }

    fn visitor(&self) -> Visitor {
        self.agent.visitor()
    }
}

#[tokio::test]
async fn every_method_arrives_as_it_was_sent() {
    let echo = Echo::start().await;
    for method in [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE",
    ] {
        let answer = echo
            .visitor()
            .send(method.parse().unwrap(), "/m", Bytes::new())
            .await;
        assert_eq!(answer.status, 200, "{method}");
        assert!(
            answer.text().starts_with(&format!("{method} /m\n")),
            "{}",
            answer.text()
        );
    }
    let head = echo.visitor().send(Method::HEAD, "/m", Bytes::new()).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert!(
        head.headers["content-length"]
            .to_str()
            .unwrap()
            .parse::<usize>()
            .unwrap()
            > 0
    );
}

#[tokio::test]
async fn bodies_up_to_the_limit_come_back_whole_and_one_byte_more_is_refused() {
    let echo = Echo::start().await;
    for len in [0, 1, 64 * 1024, 512_000 - 1_000] {
        let body = vec![b'x'; len];
        let answer = echo.visitor().post("/", body.clone()).await;
        assert_eq!(answer.status, 200, "{len}");
        assert!(answer.body.ends_with(&body), "{len}");
    }
    for len in [512_000, 512_001] {
        let sized = echo.visitor().post("/sink", vec![b'x'; len]).await;
        let chunked = echo.visitor().request(chunked(len)).await;
        for answer in [sized, chunked] {
            if len > 512_000 {
                assert_eq!(
                    (answer.status.as_u16(), answer.error()),
                    (413, Some("request-too-large"))
                );
                assert!(answer.text().contains("512000"), "{}", answer.text());
            } else {
                // The request passed; its echo with the head is what is too large.
                assert_eq!(
                    (answer.status.as_u16(), answer.error()),
                    (502, Some("response-too-large"))
                );
            }
        }
    }
}

fn chunked(
    len: usize,
) -> Request<
    StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static>,
> {
    let pieces: Vec<_> = vec![b'x'; len]
        .chunks(10_000)
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    Request::post("/sink")
        .body(StreamBody::new(stream::iter(pieces)))
        .unwrap()
}

#[tokio::test]
async fn repeated_headers_keep_their_order_and_bytes_outside_utf_8_survive() {
    let echo = Echo::start().await;
    let request = Request::get("/")
        .header("x-a", "1")
        .header("x-b", http::HeaderValue::from_bytes(b"caf\xe9").unwrap())
        .header("x-a", "2")
        .header("x-a", "3")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let answer = echo.visitor().request(request).await;
    let seen: Vec<&str> = answer
        .text()
        .lines()
        .filter(|line| line.starts_with("x-a") || line.starts_with("x-b"))
        .collect();
    assert_eq!(
        seen.iter()
            .filter(|line| line.starts_with("x-a"))
            .copied()
            .collect::<Vec<_>>(),
        ["x-a: 1", "x-a: 2", "x-a: 3"]
    );
    assert!(seen.contains(&"x-b: caf\\xe9"), "{seen:?}");
}

#[tokio::test]
async fn targets_arrive_byte_for_byte_and_never_choose_a_host() {
    let echo = Echo::start().await;
    for target in [
        "/a?b=%2F&c=d%20e&&",
        "/x?",
        "//169.254.169.254/x",
        "//a//b///c",
        "/a/../b/./c",
        "/%2e%2e/",
        "/@host",
    ] {
        let mut raw = echo.visitor().raw().await;
        raw.say(&format!(
            "GET {target} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n"
        ))
        .await;
        let (answer, _) = raw.rest().await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.contains(&format!("GET {target}\n")),
            "{target}: {answer}"
        );
    }
    for target in ["@host", "host/x", "\\\\host"] {
        let mut raw = echo.visitor().raw().await;
        raw.say(&format!(
            "GET {target} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n"
        ))
        .await;
        let (answer, _) = raw.rest().await;
        assert!(
            answer.starts_with(b"HTTP/1.1 400"),
            "{target}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
}

#[tokio::test]
async fn an_absolute_form_reaches_the_configured_target_only() {
    let echo = Echo::start().await;
    let mut raw = echo.visitor().raw().await;
    raw.say("GET http://{host}/x?y HTTP/1.1\r\nHost: evil.invalid\r\nConnection: close\r\n\r\n")
        .await;
    let (answer, _) = raw.rest().await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.contains("GET /x?y\n") && !answer.contains("evil"),
        "{answer}"
    );
    let mut raw = echo.visitor().raw().await;
    raw.say("GET http://evil.invalid/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .await;
    assert!(raw.rest().await.0.starts_with(b"HTTP/1.1 404"));
}

#[tokio::test]
async fn the_service_learns_who_asked_and_a_visitor_cannot_lie_about_it() {
    let echo = Echo::start().await;
    let request = Request::get("/")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-forwarded-proto", "https")
        .header("forwarded", "for=6.6.6.6")
        .header("adit-node", "forged")
        .header("connection", "Host, X-Forwarded-For, Authorization, x-hop")
        .header("x-hop", "1")
        .header("authorization", "Basic dTpw")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let answer = echo.visitor().request(request).await;
    let text = answer.text();
    for line in [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "authorization: Basic dTpw",
        "via: 1.1 adit",
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line} in {text}");
    }
    assert!(
        text.contains(&format!("host: {}", echo.agent.host())),
        "{text}"
    );
    for gone in ["6.6.6.6", "forged", "x-hop"] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
}

#[tokio::test]
async fn a_hundred_requests_on_one_link_are_answered_in_the_order_the_service_ends_them() {
    let server = Server::start(&[]).await;
    // The service holds every request until all are there, then lets them go last first.
    let (arrived, mut arrivals) = mpsc::channel::<(usize, tokio::sync::oneshot::Sender<()>)>(100);
    let origin = Origin::serving(move |request| {
        let arrived = arrived.clone();
        async move {
            let number: usize = request
                .uri()
                .path()
                .trim_start_matches('/')
                .parse()
                .unwrap();
            let (go, gone) = tokio::sync::oneshot::channel();
            arrived.send((number, go)).await.unwrap();
            gone.await.unwrap();
            Response::new(full(number.to_string()))
        }
    })
    .await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let requests = stream::iter(0..100)
        .map(|number| {
            let visitor = agent.visitor();
            async move {
                assert_eq!(
                    visitor.get(&format!("/{number}")).await.text(),
                    number.to_string()
                );
            }
        })
        .buffer_unordered(100)
        .collect::<Vec<()>>();
    let releases = async {
        let mut held = Vec::new();
        while held.len() < 100 {
            held.push(arrivals.recv().await.unwrap());
        }
        held.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        for (_, go) in held {
            go.send(()).unwrap();
        }
    };
    tokio::join!(requests, releases);
}

fn streaming(
    parts: impl futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + 'static,
) -> OriginBody {
    BodyExt::boxed_unsync(StreamBody::new(parts))
}

#[tokio::test]
async fn a_trickling_response_arrives_as_it_is_sent() {
    let server = Server::start(&[]).await;
    let (say, heard) = mpsc::channel::<&'static str>(1);
    let heard = std::sync::Arc::new(tokio::sync::Mutex::new(heard));
    let origin = Origin::serving(move |_| {
        let heard = heard.clone();
        async move {
            let parts = stream::unfold(heard, |heard| async move {
                let part = heard.lock().await.recv().await?;
                Some((
                    Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(part.as_bytes()))),
                    heard,
                ))
            });
            Response::new(streaming(parts))
        }
    })
    .await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let (response, _connection) = agent
        .visitor()
        .open(Request::get("/").body(Full::new(Bytes::new())).unwrap())
        .await;
    let mut body = response.into_body();
    for part in ["a", "b", "c"] {
        // Each part is sent only after the one before has been seen: a buffer anywhere would stall here.
        say.send(part).await.unwrap();
        let frame = tokio::time::timeout(Duration::from_secs(5), body.frame())
            .await
            .expect("the part arrives")
            .unwrap()
            .unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    drop(say);
    assert!(body.frame().await.is_none(), "the body ends cleanly");
}

#[tokio::test]
async fn a_visitor_who_leaves_cancels_the_request_at_the_service() {
    let server = Server::start(&[]).await;
    let (began, mut begun) = mpsc::channel::<()>(1);
    let (ended, mut end) = mpsc::channel::<()>(1);
    let origin = Origin::serving(move |_| {
        let (began, ended) = (began.clone(), ended.clone());
        async move {
            began.send(()).await.unwrap();
            // Dropped, and thereby closed, when the request is cancelled.
            let _held = ended;
            std::future::pending().await
        }
    })
    .await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let mut raw = agent.visitor().raw().await;
    raw.say("GET /wait HTTP/1.1\r\nHost: {host}\r\n\r\n").await;
    begun.recv().await.unwrap();
    let before = origin.connections();
    drop(raw);
    tokio::time::timeout(Duration::from_secs(5), async {
        while origin.connections() >= before && before > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the service's connection closes");
    assert!(end.try_recv().is_err());
}

#[tokio::test]
async fn two_agents_never_see_each_others_requests() {
    let server = Server::start(&[]).await;
    let mut agents = Vec::new();
    for name in ["left", "right"] {
        let origin = Origin::serving(move |_| async move { Response::new(full(name)) }).await;
        let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
        agents.push((name, origin, agent));
    }
    for _ in 0..20 {
        for (name, _, agent) in &agents {
            assert_eq!(agent.visitor().get("/").await.text(), *name);
        }
    }
}
