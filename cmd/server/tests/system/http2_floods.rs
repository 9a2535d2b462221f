//! Floods that HTTP/2 invites: each ends its own connection, and the next visitor is served.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Method, Response};
use http_body_util::Empty;
use testkit::{
    origin::{Origin, full},
    process::{Agent, Key, Server},
    visitor::PATIENCE,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types and flags of frames, and one error code (RFC 9113, 6 and 7).
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const ENHANCE_YOUR_CALM: u32 = 0xb;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A server with short patience, an agent, and a service that counts its requests.
struct Published {
    agent: Agent,
    asked: Arc<AtomicUsize>,
    _server: Server,
    _origin: Origin,
}

impl Published {
    async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let origin = Origin::serving(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Response::new(full("served")) }
        })
        .await;
        let server = Server::configured(
            "[visitors]\nheader_timeout = \"1s\"\nidle_timeout = \"2s\"\n[exchanges]\nwrite_stall = \"1s\"",
        )
        .await;
        let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
        Self {
            agent,
            asked,
            _server: server,
            _origin: origin,
        }
    }

    /// A connection on which the preface and first settings have been sent.
    async fn connection(&self) -> TcpStream {
        let mut tcp = self.agent.visitor().connect().await;
        tcp.write_all(PREFACE).await.unwrap();
        tcp.write_all(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
        tcp
    }

    /// GET / of the tunnel in HPACK: three indexed fields, and the authority as it is (RFC 7541, 6.1 and 6.2.2).
    fn fields(&self) -> Vec<u8> {
        let host = self.agent.host();
        let mut fields = vec![0x82, 0x86, 0x84, 0x01, u8::try_from(host.len()).unwrap()];
        fields.extend(host.as_bytes());
        fields
    }

    async fn serves_the_next(&self) {
        assert_eq!(self.agent.visitor().get("/").await.text(), "served");
        assert_eq!(
            self.agent.visitor().http2().await.get("/").await.text(),
            "served"
        );
    }
}

/// Sends the flood over and over until the server has had enough; the code with which it says so, where it could.
async fn ended_by(tcp: TcpStream, mut flood: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
    let (mut from, mut to) = tcp.into_split();
    let flooding = async {
        for turn in 0.. {
            if to.write_all(&flood(turn)).await.is_err() {
                break;
            }
        }
    };
    let mut heard = Vec::new();
    let hearing = async {
        // A reset is an end too.
        from.read_to_end(&mut heard).await.ok();
    };
    timeout(PATIENCE, async { tokio::join!(flooding, hearing) })
        .await
        .expect("the server ends the connection");
    goaway(&heard)
}

/// The error code of the last GOAWAY among these frames.
fn goaway(mut frames: &[u8]) -> Option<u32> {
    let mut code = None;
    while let Some((head, rest)) = frames.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let Some((payload, next)) = rest.split_at_checked(length.try_into().unwrap()) else {
            break;
        };
        if head[3] == GOAWAY {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        frames = next;
    }
    code
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection_before_it_costs_the_service_much() {
    let published = Published::start().await;
    let fields = published.fields();
    let opened_and_reset = |turn: u32| {
        let mut burst = Vec::new();
        for stream in (0..100).map(|n| (turn * 100 + n) * 2 + 1) {
            burst.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields));
            burst.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        burst
    };
    let code = ended_by(published.connection().await, opened_and_reset).await;
    assert!([None, Some(ENHANCE_YOUR_CALM)].contains(&code), "{code:?}");
    let asked = published.asked.load(Ordering::SeqCst);
    assert!(asked < 1_000, "{asked} requests reached the service");
    published.serves_the_next().await;
}

#[tokio::test]
async fn floods_of_pings_and_settings_whose_answers_nobody_reads_end_their_connections() {
    let published = Published::start().await;
    let ping = frame(PING, 0, 0, &[0; 8]).repeat(1_000);
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]).repeat(1_000);
    for flood in [ping, settings] {
        let mut tcp = published.connection().await;
        let flooding = async { while tcp.write_all(&flood).await.is_ok() {} };
        timeout(PATIENCE, flooding)
            .await
            .expect("the server gives up on one who does not read");
        published.serves_the_next().await;
    }
}

#[tokio::test]
async fn while_one_floods_with_pings_the_others_are_served() {
    let published = Published::start().await;
    let tcp = published.connection().await;
    let ping = frame(PING, 0, 0, &[0; 8]).repeat(100);
    tokio::select! {
        // Reading every answer it may go on until its idle time is over; nobody else waits for it.
        _ = ended_by(tcp, |_| ping.clone()) => {}
        () = async { for _ in 0..10 { published.serves_the_next().await; } } => {}
    }
    published.serves_the_next().await;
}

#[tokio::test]
async fn headers_without_an_end_are_cut_off() {
    let published = Published::start().await;
    let mut tcp = published.connection().await;
    let fields = published.fields();
    tcp.write_all(&frame(HEADERS, END_STREAM, 1, &fields))
        .await
        .unwrap();
    // A field of 1 000 bytes that is not indexed, again and again.
    let mut field = b"\x00\x01x\x7f\xe9\x06".to_vec();
    field.extend([b'y'; 1_000]);
    ended_by(tcp, |_| frame(CONTINUATION, 0, 1, &field)).await;
    published.serves_the_next().await;
    assert_eq!(
        published.asked.load(Ordering::SeqCst),
        2,
        "it never was a request"
    );
}

#[tokio::test]
async fn a_header_list_over_the_limit_is_refused() {
    let published = Published::start().await;
    for (name, value, count) in [("x", "y".repeat(60_000), 1), ("x", "y".to_owned(), 2_000)] {
        let visitor = published.agent.visitor().http2().await;
        let mut request = visitor.asking(Method::GET, "/").body(Empty::new()).unwrap();
        for number in 0..count {
            let name: http::HeaderName = format!("{name}-{number}").parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        if let Ok(response) = visitor.try_open(request).await {
            assert_eq!(response.status(), 431);
        }
        published.serves_the_next().await;
    }
    assert_eq!(
        published.asked.load(Ordering::SeqCst),
        4,
        "they never were requests"
    );
}

#[tokio::test]
async fn those_who_say_nothing_are_let_go() {
    let published = Published::start().await;
    for said in [&PREFACE[..0], &PREFACE[..4], PREFACE] {
        let mut tcp = published.agent.visitor().connect().await;
        tcp.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        timeout(Duration::from_secs(8), tcp.read_to_end(&mut heard))
            .await
            .unwrap_or_else(|_| panic!("still open after {said:?}"))
            .ok();
    }
    let tcp = published.connection().await;
    let mut tcp = tcp;
    let mut heard = Vec::new();
    let idle = timeout(Duration::from_secs(8), tcp.read_to_end(&mut heard)).await;
    idle.expect("an idle connection is closed").ok();
}
