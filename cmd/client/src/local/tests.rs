//! One service, both ways to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use testkit::cluster::Cluster;
use testkit::socket::{Message, hear};
use testkit::visitor::{PATIENCE, Visitor as Client};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;

/// Says back what it hears, and tells when something of it ends.
struct Parrot {
    ended: mpsc::Sender<&'static str>,
}

impl Parrot {
    fn new() -> (Arc<Self>, mpsc::Receiver<&'static str>) {
        let (ended, endings) = mpsc::channel(8);
        (Arc::new(Self { ended }), endings)
    }
}

/// Tells when it is dropped.
struct Ending(mpsc::Sender<&'static str>, &'static str);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.try_send(self.1).ok();
    }
}

impl Local for Parrot {
    fn http(
        &self,
        request: Request<LocalBody>,
        visitor: Visitor,
    ) -> BoxFuture<'_, Response<LocalBody>> {
        let ending = Ending(self.ended.clone(), "response");
        async move {
            if request.uri() == "/endless" {
                let frames = futures_util::stream::unfold(ending, |ending| async {
                    tokio::task::yield_now().await;
                    let frame = http_body::Frame::data(Bytes::from_static(&[b'.'; 1024]));
                    Some((Ok(frame), ending))
                });
                return Response::new(StreamBody::new(frames).boxed_unsync());
            }
            let (parts, body) = request.into_parts();
            let mut text = format!("{} {} {}\n", parts.method, parts.uri, visitor.addr);
            text.push_str(parts.headers["host"].to_str().unwrap());
            text.push('\n');
            let body = body.collect().await.unwrap().to_bytes();
            text.push_str(std::str::from_utf8(&body).unwrap());
            Response::new(full(text))
        }
        .boxed()
    }

    fn socket(&self, request: Request<()>, _visitor: Visitor) -> BoxFuture<'_, Upgrade> {
        let ending = Ending(self.ended.clone(), "socket");
        async move {
            if request.uri() == "/no" {
                let mut response = Response::new(full("no sockets here"));
                *response.status_mut() = StatusCode::FORBIDDEN;
                return Upgrade::Refused(response);
            }
            let mut head = Response::new(());
            if let Some(offered) = request.headers().get(SEC_WEBSOCKET_PROTOCOL) {
                head.headers_mut()
                    .insert(SEC_WEBSOCKET_PROTOCOL, offered.clone());
            }
            let run: Run = Box::new(move |socket| {
                async move {
                    say_back(socket).await;
                    drop(ending);
                }
                .boxed()
            });
            Upgrade::Accepted { head, run }
        }
        .boxed()
    }
}

/// Turns short masked text frames round, to their end.
async fn say_back(mut socket: Socket) {
    let mut head = [0; 6];
    while socket.read_exact(&mut head).await.is_ok() {
        let mut text = vec![0; usize::from(head[1] & 0x7f)];
        socket.read_exact(&mut text).await.unwrap();
        for (byte, mask) in text.iter_mut().zip(head[2..].iter().cycle()) {
            *byte ^= mask;
        }
        let frame = [&[head[0], head[1] & 0x7f][..], &text].concat();
        if socket.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// The parrot on a listener of this machine.
struct Listening {
    client: Client,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Listening {
    async fn open(parrot: Arc<Parrot>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr: SocketAddr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(listen::serve(parrot, listener, shutdown.clone()));
        Self {
            client: Client::new(addr, addr.to_string()),
            shutdown,
            tasks,
        }
    }
}

async fn published(parrot: Arc<Parrot>) -> (Cluster, testkit::cluster::ClusterAgent, Client) {
    let cluster = Cluster::of(1).await;
    let target = Published::new(parrot, &TaskTracker::new());
    let agent = cluster.agent().serving(target).await;
    let client = cluster.node(0).visitor(&agent);
    (cluster, agent, client)
}

async fn ending(endings: &mut mpsc::Receiver<&'static str>, of: &str) {
    let waiting = async { while endings.recv().await.unwrap() != of {} };
    timeout(PATIENCE, waiting).await.unwrap();
}

/// What holds whichever way the service is reached.
async fn holds(client: &Client, endings: &mut mpsc::Receiver<&'static str>) {
    let answer = client.post("/path?q=1", "a body").await;
    let wanted = format!("POST /path?q=1 127.0.0.1\n{}\na body", client.host());
    assert_eq!(answer.text(), wanted);

    let offered = [("sec-websocket-protocol", "one")];
    let (mut socket, answered) = client.socket("/ws", &offered).await.unwrap();
    assert_eq!(answered.headers()["sec-websocket-protocol"], "one");
    futures_util::SinkExt::send(&mut socket, Message::text("hello"))
        .await
        .unwrap();
    assert_eq!(hear(&mut socket).await, Message::text("hello"));
    drop(socket);
    ending(endings, "socket").await;

    let refused = client.socket("/no", &[]).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);

    let request = Request::builder().uri("/endless").method(Method::GET);
    let (_, connection) = client.open(request.body(full("")).unwrap()).await;
    drop(connection);
    ending(endings, "response").await;
}

#[tokio::test]
async fn a_service_is_reached_through_a_tunnel_and_hears_when_visitors_leave() {
    let (parrot, mut endings) = Parrot::new();
    let (_cluster, _agent, client) = published(parrot).await;
    holds(&client, &mut endings).await;
}

#[tokio::test]
async fn the_same_service_is_reached_on_a_listener_and_hears_when_visitors_leave() {
    let (parrot, mut endings) = Parrot::new();
    let listening = Listening::open(parrot).await;
    holds(&listening.client, &mut endings).await;
}

#[tokio::test]
async fn a_listener_holds_upgrades_to_the_rules_of_the_handshake() {
    let (parrot, _endings) = Parrot::new();
    let listening = Listening::open(parrot).await;
    for (method, version, key, status) in [
        ("GET", "12", "dGhlIHNhbXBsZSBub25jZQ==", "426"),
        ("GET", "13", "c2hvcnQ=", "400"),
        ("POST", "13", "dGhlIHNhbXBsZSBub25jZQ==", "400"),
        ("GET", "13", "dGhlIHNhbXBsZSBub25jZQ==", "101"),
    ] {
        let mut raw = listening.client.raw().await;
        raw.say(&format!(
            "{method} /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: {version}\r\nsec-websocket-key: {key}\r\n\r\n"
        ))
        .await;
        let head = String::from_utf8(raw.until("\r\n\r\n").await).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        if status == "101" {
            let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
            assert!(head.contains(accept), "{head}");
        }
    }
}

#[tokio::test]
async fn a_listener_that_is_to_end_lets_what_runs_end_and_takes_nothing_new() {
    let (parrot, mut endings) = Parrot::new();
    let mut listening = Listening::open(parrot).await;
    // A connection with its head half said, and a WebSocket, are both under way.
    let mut raw = listening.client.raw().await;
    raw.say("POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n12")
        .await;
    let mut socket = listening.client.open_socket("/ws").await;
    listening.shutdown.cancel();
    futures_util::SinkExt::send(&mut socket, Message::text("still"))
        .await
        .unwrap();
    assert_eq!(hear(&mut socket).await, Message::text("still"));
    raw.say("34").await;
    raw.until("1234").await;
    drop(socket);
    ending(&mut endings, "socket").await;
    let ended = timeout(PATIENCE, listening.tasks.join_next()).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_listener_cuts_what_does_not_end_within_its_grace() {
    let (parrot, mut endings) = Parrot::new();
    let mut listening = Listening::open(parrot).await;
    let _socket = listening.client.open_socket("/ws").await;
    let begun = tokio::time::Instant::now();
    listening.shutdown.cancel();
    listening.tasks.join_next().await.unwrap().unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(5));
    ending(&mut endings, "socket").await;
}
