//! Bodies of any size, when the operator lifts the limit: in constant memory, and each at its own pace.

use std::fs;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use testkit::{
    origin::{Origin, OriginBody, full},
    process::{Agent, Key, Program, Server},
    visitor::{PATIENCE, Visitor},
};
use tokio::{task::JoinSet, time::timeout};

const LIFTED: [&str; 2] = ["--max-body", "unlimited"];

/// Larger than all windows and queues of both processes together.
const LARGE: usize = 300 << 20;

/// What one process may grow by for one body: its windows on both sides, twice over.
const WORKING_SET_KIB: usize = 32 << 10;

const CHUNK: usize = 64 << 10;

/// So many bytes, made as they are taken.
fn zeros(length: usize) -> impl http_body::Body<Data = Bytes, Error = std::io::Error> + Send {
    let chunk = Bytes::from(vec![0; CHUNK]);
    let chunks = stream::repeat(chunk).take(length / CHUNK);
    StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk))))
}

/// Answers a GET of `/LENGTH` with so many bytes, and a POST with how many it was sent.
async fn large() -> Origin {
    Origin::serving(|request: Request<Incoming>| async move {
        match request.uri().path().trim_start_matches('/').parse() {
            Ok(length) => Response::new(OriginBody::new(zeros(length))),
            Err(_) => Response::new(full(length(request.into_body()).await.to_string())),
        }
    })
    .await
}

/// Takes a body to its end.
async fn length(mut body: Incoming) -> usize {
    let mut length = 0;
    while let Some(frame) = timeout(PATIENCE, body.frame()).await.expect("it goes on") {
        let frame = frame.expect("the body is whole");
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    length
}

async fn download(visitor: &Visitor, bytes: usize) -> usize {
    let (response, _connection) = visitor.open(get(bytes)).await;
    assert_eq!(response.status(), 200);
    length(response.into_body()).await
}

fn get(bytes: usize) -> Request<Empty<Bytes>> {
    let request = Request::get(format!("/{bytes}"));
    request.body(Empty::new()).expect("a request")
}

/// KiB of `field` in /proc/PID/status.
fn memory(program: &Program, field: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", program.id()));
    let status = status.expect("it runs");
    let line = status.lines().find(|line| line.starts_with(field));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    value
        .expect("the kernel says it")
        .parse()
        .expect("a number")
}

#[tokio::test]
async fn a_body_of_any_size_passes_either_way_in_constant_memory() {
    let server = Server::start(&LIFTED).await;
    let origin = large().await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let programs = [&server.program, &agent.program];
    let before = programs.map(|program| memory(program, "VmRSS:"));

    assert_eq!(download(&agent.visitor(), LARGE).await, LARGE);
    let upload = Request::post("/upload").body(zeros(LARGE)).unwrap();
    let answer = agent.visitor().request(upload).await;
    assert_eq!(answer.text(), LARGE.to_string());

    for (program, before) in programs.into_iter().zip(before) {
        let grown = memory(program, "VmHWM:") - before;
        assert!(grown < WORKING_SET_KIB, "{grown} KiB for bodies of 300 MiB");
    }
}

#[tokio::test]
async fn one_visitor_who_does_not_read_leaves_the_other_seven_running() {
    let server = Server::start(&LIFTED).await;
    let origin = large().await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &["-q"]).await;
    let each = 40 << 20;
    let (stalled, _connection) = agent.visitor().open(get(each)).await;
    let mut others = JoinSet::new();
    for _ in 0..7 {
        let visitor = agent.visitor();
        others.spawn(async move { download(&visitor, each).await });
    }
    assert_eq!(others.join_all().await, vec![each; 7]);
    // It has lost nothing by waiting.
    assert_eq!(length(stalled.into_body()).await, each);
}
