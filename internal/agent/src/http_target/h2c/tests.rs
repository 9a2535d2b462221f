//! A real connection to a small HTTP/2 service; the visitor's side speaks frames.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use messages::{Frame, Message, ResetCode, StreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::testing::{AUTHORITY, Bench, get, request};
use crate::{HttpTarget, HttpTargetConfig, TargetProtocol, TargetUrl};

use super::*;

/// An HTTP/2 service that answers with what it was asked, each request held while the path says so.
struct Service {
    url: TargetUrl,
    /// Connections made so far.
    made: Arc<AtomicUsize>,
    /// Lets the held requests go.
    release: watch::Sender<bool>,
    /// Ends all connections made so far.
    hang_up: watch::Sender<usize>,
    _tasks: JoinSet<()>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string().parse().unwrap();
        let made = Arc::new(AtomicUsize::new(0));
        let (release, released) = watch::channel(false);
        let (hang_up, hung_up) = watch::channel(0);
        let count = made.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (released, mut hung_up) = (released.clone(), hung_up.clone());
                hung_up.mark_unchanged();
                connections.spawn(async move {
                    let answer = service_fn(move |request| tell(request, released.clone()));
                    let serving = http2::Builder::new(hyper_util::rt::TokioExecutor::new())
                        .serve_connection(TokioIo::new(tcp), answer);
                    tokio::select! {
                        _ = serving => {}
                        _ = hung_up.changed() => {}
                    }
                });
            }
        });
        Self {
            url,
            made,
            release,
            hang_up,
            _tasks: tasks,
        }
    }

    fn connections(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }
}

async fn tell(
    request: Request<Incoming>,
    mut released: watch::Receiver<bool>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/held" {
        released.wait_for(|go| *go).await.unwrap();
    }
    let text = format!(
        "{:?} {} {} te={:?} host={:?}",
        request.version(),
        request.method(),
        request.uri(),
        request.headers().get("te"),
        request.headers().get("host"),
    );
    Ok(Response::new(Full::from(text)))
}

async fn published(url: &TargetUrl) -> Bench {
    let config = HttpTargetConfig {
        protocol: TargetProtocol::H2c,
        ..HttpTargetConfig::default()
    };
    Bench::serving(HttpTarget::new(url, &config, &TaskTracker::new())).await
}

#[tokio::test]
async fn the_public_authority_is_asked_for_on_one_connection_whatever_it_says() {
    let service = Service::start().await;
    let mut bench = published(&service.url).await;
    for authority in [AUTHORITY, "label.tunnels.example:1", "169.254.169.254"] {
        let mut head = request(http::Method::GET, "//other/x?y", &[("te", "trailers")]);
        head.authority = authority.to_owned();
        let stream = bench.server.ask(&head, b"", true).await;
        let (_, body) = bench.server.response(stream).await;
        let expected =
            format!("HTTP/2.0 GET http://{authority}//other/x?y te=Some(\"trailers\") host=None");
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn more_requests_than_one_connection_carries_get_another() {
    let service = Service::start().await;
    let mut bench = published(&service.url).await;
    for _ in 0..=MAX_STREAMS {
        bench.server.ask(&get("/held"), b"", true).await;
    }
    let last = bench.server.ask(&get("/"), b"", true).await;
    bench.server.response(last).await;
    assert_eq!(service.connections(), 2);
    service.release.send_replace(true);
    let mut answered = 0;
    while answered <= MAX_STREAMS {
        let (_, message) = bench.server.hear().await.unwrap();
        answered += usize::from(matches!(message, Message::HttpResponse { .. }));
    }
}

#[tokio::test]
async fn a_connection_that_the_service_let_go_of_is_replaced() {
    let service = Service::start().await;
    let mut bench = published(&service.url).await;
    for made in 1..=3 {
        let stream = bench.server.ask(&get("/"), b"", true).await;
        assert_eq!(bench.server.response(stream).await.0.status, 200);
        assert_eq!(service.connections(), made);
        service.hang_up.send_modify(|times| *times += 1);
    }
}

#[tokio::test]
async fn a_service_that_speaks_only_http_1_is_named_in_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.local_addr().unwrap().to_string().parse().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut preface = [0; 24];
            tcp.read_exact(&mut preface).await.unwrap();
            let refusal = b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-length: 0\r\n\r\n";
            tcp.write_all(refusal).await.unwrap();
        }
    });
    let mut bench = published(&url).await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    let reset = bench.server.reset(stream).await;
    assert_eq!(reset.code, ResetCode::BadResponse);
    assert!(
        reset.reason.contains("does not speak HTTP/2"),
        "{}",
        reset.reason
    );
}

#[tokio::test]
async fn a_visitor_who_leaves_frees_his_place_on_the_connection() {
    let service = Service::start().await;
    let mut bench = published(&service.url).await;
    for _ in 0..3 {
        let mut asked: Vec<StreamId> = Vec::new();
        for _ in 0..MAX_STREAMS {
            asked.push(bench.server.ask(&get("/held"), b"", true).await);
        }
        for stream in asked {
            let gone = messages::Reset::new(ResetCode::Cancelled, "the visitor left");
            bench.server.say(Frame::reset(stream, &gone)).await;
            bench.server.reset(stream).await;
        }
    }
    let last = bench.server.ask(&get("/"), b"", true).await;
    bench.server.response(last).await;
    assert_eq!(service.connections(), 1);
}
