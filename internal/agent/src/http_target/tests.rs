//! A real connection to a small raw service; the visitor's side speaks frames.

mod kept;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use messages::{Frame, Message, RequestHead, ResetCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::testing::{AUTHORITY, Bench, get, request};

/// A service that answers each request head with the next of its answers, over as few connections as the agent makes.
struct Service {
    url: TargetUrl,
    heads: mpsc::Receiver<String>,
    /// Connections that were made, and those that are open.
    made: Arc<AtomicUsize>,
    open: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Service {
    /// Answers with `answer(number of the request)`; an empty answer closes the connection instead.
    async fn answering(answer: impl Fn(usize) -> &'static str + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string().parse().unwrap();
        let (heard, heads) = mpsc::channel(64);
        let (count, open) = watch::channel(0);
        let made = Arc::new(AtomicUsize::new(0));
        let (accepted, answer, asked) = (
            made.clone(),
            Arc::new(answer),
            Arc::new(AtomicUsize::new(0)),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                count.send_modify(|open| *open += 1);
                let (heard, answer, asked, count) =
                    (heard.clone(), answer.clone(), asked.clone(), count.clone());
                connections.spawn(async move {
                    while let Some(head) = read_head(&mut tcp).await {
                        heard.send(head).await.unwrap();
                        let answer = answer(asked.fetch_add(1, Ordering::SeqCst));
                        if answer.is_empty() || tcp.write_all(answer.as_bytes()).await.is_err() {
                            break;
                        }
                        if answer.contains("connection: close") || answer.starts_with("HTTP/1.0") {
                            break;
                        }
                    }
                    drop(tcp);
                    count.send_modify(|open| *open -= 1);
                });
            }
        });
        Self {
            url,
            heads,
            made,
            open,
            _tasks: tasks,
        }
    }

    async fn saying(answer: &'static str) -> Self {
        Self::answering(move |_| answer).await
    }

    async fn head(&mut self) -> String {
        timeout(Duration::from_secs(20), self.heads.recv())
            .await
            .expect("the service is asked")
            .unwrap()
    }

    fn connections(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// A link that serves this service.
    async fn published(&self) -> Bench {
        self.published_as(HttpTargetConfig::default()).await
    }

    async fn published_as(&self, config: HttpTargetConfig) -> Bench {
        Bench::serving(HttpTarget::new(&self.url, &config, &TaskTracker::new())).await
    }
}

/// Up to the empty line; `None` when the connection ends first.
async fn read_head(tcp: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn whatever_the_target_of_a_request_looks_like_the_configured_service_is_asked_for_it_byte_for_byte()
 {
    let mut service = Service::saying(OK).await;
    let mut bench = service.published().await;
    for target in [
        "/",
        "//169.254.169.254/latest/meta-data",
        "/\\169.254.169.254/x",
        "/@169.254.169.254/x",
        "/http://169.254.169.254/x",
        "/a/../../b/./%2e%2e//c;d=1?q=%00&&r=a+b%20c?#".trim_end_matches('#'),
    ] {
        let stream = bench.server.ask(&get(target), b"", true).await;
        assert_eq!(bench.server.response(stream).await.1, b"hi");
        let head = service.head().await;
        assert!(
            head.starts_with(&format!("GET {target} HTTP/1.1\r\n")),
            "{target}: {head}"
        );
        assert!(head.contains(&format!("host: {AUTHORITY}\r\n")), "{head}");
    }
    let stream = bench
        .server
        .ask(&request(Method::OPTIONS, "*", &[]), b"", true)
        .await;
    bench.server.response(stream).await;
    assert!(service.head().await.starts_with("OPTIONS * HTTP/1.1\r\n"));
    assert_eq!(service.connections(), 1, "all over one kept connection");
}

#[tokio::test]
async fn headers_of_other_hops_do_not_pass_in_either_direction() {
    let mut service = Service::saying(
        "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nupgrade: h2c\r\n\
         x-stays: \u{fc}\r\nx-stays: 2\r\ncontent-length: 2\r\n\r\nhi",
    )
    .await;
    let mut bench = service.published().await;
    let hops = [
        ("connection", "x-hop, host"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("x-stays", "1"),
    ];
    let stream = bench
        .server
        .ask(&request(Method::GET, "/", &hops), b"", true)
        .await;
    let (head, body) = bench.server.response(stream).await;
    assert_eq!(body, b"hi");
    let left: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    assert_eq!(
        left,
        [
            ("x-stays", "\u{fc}".as_bytes()),
            ("x-stays", b"2"),
            ("content-length", b"2")
        ]
    );
    assert_eq!(
        service.head().await,
        format!("GET / HTTP/1.1\r\nx-stays: 1\r\nhost: {AUTHORITY}\r\n\r\n")
    );
}

#[tokio::test]
async fn a_body_without_a_length_is_chunked_whatever_the_method() {
    for method in [Method::GET, Method::POST] {
        let mut service = Service::saying(OK).await;
        let mut bench = service.published().await;
        bench
            .server
            .ask(&request(method, "/", &[]), b"body", true)
            .await;
        assert!(
            service
                .head()
                .await
                .contains("transfer-encoding: chunked\r\n")
        );
    }
}

/// What the server is told of one exchange with a service that says this: the status if a head came, and the reset.
async fn outcome(answer: &'static str) -> (Option<u16>, Option<ResetCode>) {
    let service = Service::saying(answer).await;
    let mut bench = service.published().await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    let mut status = None;
    loop {
        match bench.server.on(stream).await {
            Message::HttpResponse { head, end, .. } => {
                status = Some(head.status.as_u16());
                if end {
                    return (status, None);
                }
            }
            Message::Body { end: true, .. } => return (status, None),
            Message::Body { .. } => {}
            Message::Reset(reset) => return (status, Some(reset.code)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn answers_that_are_no_answer_are_told_apart() {
    use ResetCode::{BadResponse, TargetUnreachable};
    for (answer, status, reset) in [
        ("", None, Some(TargetUnreachable)),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", None, Some(BadResponse)),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            None,
            Some(BadResponse),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi",
            None,
            Some(BadResponse),
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            None,
            Some(BadResponse),
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", Some(204), None),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end",
            Some(200),
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            Some(200),
            None,
        ),
        // Large enough that the head has left before the body breaks off.
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 90000\r\n\r\nhalf",
            Some(200),
            Some(BadResponse),
        ),
    ] {
        let (told_status, told_reset) = outcome(answer).await;
        // A reset overtakes a head that is still waiting to be written.
        assert!(
            told_status == status || reset.is_some() && told_status.is_none(),
            "{answer:?}: {told_status:?}"
        );
        assert_eq!(told_reset, reset, "{answer:?}");
    }
}

#[tokio::test]
async fn nobody_listening_is_said_at_once() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = unused.to_string().parse().unwrap();
    let mut bench = Bench::serving(HttpTarget::new(
        &url,
        &HttpTargetConfig::default(),
        &TaskTracker::new(),
    ))
    .await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    let reset = bench.server.reset(stream).await;
    assert_eq!(reset.code, ResetCode::TargetUnreachable);
    assert!(
        reset.reason.contains("refused") && !reset.reason.contains("127.0.0.1"),
        "{reset}"
    );
}

/// Answers the first request and closes the connection under the second.
fn closes_under_the_second(request: usize) -> &'static str {
    if request == 1 { "" } else { OK }
}

async fn prime(bench: &mut Bench) {
    let stream = bench.server.ask(&get("/"), b"", true).await;
    bench.server.response(stream).await;
}

#[tokio::test]
async fn a_request_lost_with_a_kept_connection_is_tried_once_more() {
    let service = Service::answering(closes_under_the_second).await;
    let mut bench = service.published().await;
    prime(&mut bench).await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    assert_eq!(bench.server.response(stream).await.1, b"hi");
    assert_eq!(service.connections(), 2);
}

#[tokio::test]
async fn what_may_have_been_acted_on_or_was_tried_before_is_not_tried_again() {
    let again = RequestHead {
        attempt: 1,
        ..get("/")
    };
    for (head, body) in [
        (request(Method::POST, "/", &[]), &b""[..]),
        (request(Method::PUT, "/", &[("content-length", "1")]), b"x"),
        (again, b""),
    ] {
        let service = Service::answering(closes_under_the_second).await;
        let mut bench = service.published().await;
        prime(&mut bench).await;
        let stream = bench.server.ask(&head, body, true).await;
        assert_eq!(
            bench.server.reset(stream).await.code,
            ResetCode::TargetUnreachable,
            "{}",
            head.method
        );
        assert_eq!(service.connections(), 1);
    }
}

#[tokio::test]
async fn a_fresh_connection_that_breaks_is_not_tried_again() {
    let service = Service::saying("").await;
    let mut bench = service.published().await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    assert_eq!(
        bench.server.reset(stream).await.code,
        ResetCode::TargetUnreachable
    );
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn a_visitor_who_leaves_closes_the_connection_to_the_service() {
    for answer in [
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhalf",
    ] {
        let mut service = Service::saying(answer).await;
        let mut bench = service.published().await;
        let stream = bench.server.ask(&get("/"), b"", true).await;
        service.head().await;
        bench.server.on(stream).await;
        assert_eq!(*service.open.borrow_and_update(), 1);
        bench
            .server
            .say(Frame::reset(stream, &ResetCode::Cancelled.into()))
            .await;
        timeout(
            Duration::from_secs(20),
            service.open.wait_for(|open| *open == 0),
        )
        .await
        .unwrap()
        .unwrap();
    }
}

#[tokio::test]
async fn early_hints_pass_and_a_continue_opens_the_window() {
    let service = Service::saying(
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
    )
    .await;
    let mut bench = service.published().await;
    let head = request(
        Method::POST,
        "/",
        &[("expect", "100-continue"), ("content-length", "4")],
    );
    bench.server.ask(&head, b"", false).await;
    let mut opened = false;
    let mut hinted = false;
    // Credit has a lane of its own, so either may come first.
    while !(opened && hinted) {
        match bench.server.hear().await.unwrap().1 {
            Message::Window(_) => opened = true,
            Message::HttpResponse { head, .. } => {
                assert_eq!(
                    (head.status.as_u16(), &head.headers["link"]),
                    (103, &"</a.css>".parse().unwrap())
                );
                hinted = true;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_to_an_expectation_arrives_whole_though_its_body_was_never_sent() {
    let mut service = Service::saying("HTTP/1.1 417 No\r\ncontent-length: 4\r\n\r\nlong").await;
    let mut bench = service.published().await;
    let head = request(
        Method::POST,
        "/",
        &[("expect", "100-continue"), ("content-length", "4")],
    );
    let stream = bench.server.ask(&head, b"", false).await;
    let (head, body) = bench.server.response(stream).await;
    assert_eq!((head.status.as_u16(), &body[..]), (417, &b"long"[..]));
    assert_eq!(bench.server.reset(stream).await.code, ResetCode::Done);
    timeout(
        Duration::from_secs(20),
        service.open.wait_for(|open| *open == 0),
    )
    .await
    .unwrap()
    .unwrap();
}
