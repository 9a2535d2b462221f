//! Event streams and long polls: as they come, for as long as they last, and never ended cleanly when they were cut.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use testkit::{
    origin::{Origin, OriginBody, full, read_head},
    visitor::Visitor,
};
use tokio::{
    io::AsyncWriteExt,
    sync::{Mutex, Notify, mpsc},
    time::{Duration, Instant, sleep, timeout},
};

use crate::tunnel::Tunnel;

fn events(parts: impl futures_util::Stream<Item = Bytes> + Send + 'static) -> Response<OriginBody> {
    use futures_util::StreamExt;
    let frames = parts.map(|part| Ok::<_, std::io::Error>(Frame::data(part)));
    Response::builder()
        .header("content-type", "text/event-stream; charset=utf-8")
        .body(BodyExt::boxed_unsync(StreamBody::new(frames)))
        .unwrap()
}

/// A service that says what it is given, one event at a time, and never ends its stream by itself.
async fn speaking() -> (Origin, mpsc::Sender<&'static str>) {
    let (say, heard) = mpsc::channel::<&'static str>(1);
    let heard = Arc::new(Mutex::new(heard));
    let origin = Origin::serving(move |_| {
        let heard = heard.clone();
        async move {
            events(stream::unfold(heard, |heard| async move {
                let part = heard.lock().await.recv().await?;
                Some((Bytes::from_static(part.as_bytes()), heard))
            }))
        }
    })
    .await;
    (origin, say)
}

async fn subscribe(
    visitor: &Visitor,
    path: &str,
) -> (Response<hyper::body::Incoming>, tokio::task::JoinSet<()>) {
    let request = Request::get(path)
        .header("accept", "text/event-stream")
        .body(Full::new(Bytes::new()))
        .unwrap();
    visitor.open(request).await
}

#[tokio::test]
async fn every_event_arrives_before_the_next_is_sent() {
    let (origin, say) = speaking().await;
    let tunnel = Tunnel::to(origin).await;
    let (response, _connection) = subscribe(&tunnel.visitor(), "/events").await;
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let mut body = response.into_body();
    for part in ["data: 1\n\n", ":\n\n", "data: 2\n\n", "id: 3\ndata\n\n"] {
        say.send(part).await.unwrap();
        let frame = timeout(Duration::from_secs(5), body.frame()).await;
        let frame = frame.expect("the event arrives").unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
}

#[tokio::test]
async fn an_event_stream_has_no_limit_of_size_and_other_responses_have() {
    let origin = Origin::serving(|request| async move {
        let parts = stream::iter(vec![Bytes::from(vec![b'x'; 50_000]); 100]);
        let mut response = events(parts);
        if request.uri().path() == "/file" {
            let plain = "text/plain".parse().unwrap();
            response.headers_mut().insert("content-type", plain);
        }
        response
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let (stream, _connection) = subscribe(&tunnel.visitor(), "/events").await;
    let whole = stream.into_body().collect().await.expect("a whole stream");
    assert_eq!(whole.to_bytes().len(), 5_000_000);
    let (file, _connection) = subscribe(&tunnel.visitor(), "/file").await;
    let cut = file.into_body().collect().await;
    assert!(
        cut.is_err(),
        "an oversize file was ended as if it were whole"
    );
}

#[tokio::test]
async fn an_event_stream_outlives_every_timer_events_or_none() {
    let (origin, say) = speaking().await;
    let settings = "[exchanges]\nhead_timeout = \"1s\"\nbody_timeout = \"1s\"\nwrite_stall = \"1s\"\n\
        [visitors]\nheader_timeout = \"1s\"\nidle_timeout = \"1s\"";
    let tunnel = Tunnel::configured(settings, origin).await;
    let (response, _connection) = subscribe(&tunnel.visitor(), "/events").await;
    let mut body = response.into_body();
    for pause in [100, 100, 100, 100, 100, 2500] {
        sleep(Duration::from_millis(pause)).await;
        say.send("data: x\n\n").await.unwrap();
        let frame = timeout(Duration::from_secs(5), body.frame()).await;
        let frame = frame.expect("the event arrives").unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "data: x\n\n");
    }
    drop(say);
    assert!(body.frame().await.is_none(), "the service's end is an end");
}

#[tokio::test]
async fn an_idle_stream_is_cut_where_the_operator_says_so() {
    let (origin, say) = speaking().await;
    let tunnel = Tunnel::configured("[exchanges]\nidle_timeout = \"1500ms\"", origin).await;
    let (response, _connection) = subscribe(&tunnel.visitor(), "/events").await;
    let mut body = response.into_body();
    for _ in 0..8 {
        sleep(Duration::from_millis(300)).await;
        say.send("data: x\n\n").await.unwrap();
        body.frame().await.unwrap().expect("a stream in use stays");
    }
    let cut = timeout(Duration::from_secs(5), body.collect()).await;
    assert!(cut.expect("in time").is_err(), "an idle stream is cut");
}

#[tokio::test]
async fn a_long_poll_is_answered_when_the_service_answers() {
    let origin = Origin::serving(|_| async {
        sleep(Duration::from_secs(3)).await;
        Response::new(full("news"))
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let began = Instant::now();
    assert_eq!(tunnel.visitor().get("/poll").await.text(), "news");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn the_service_sees_within_a_second_that_the_visitor_left_a_silent_stream() {
    let (origin, say) = speaking().await;
    let tunnel = Tunnel::to(origin).await;
    let mut raw = tunnel.visitor().raw().await;
    raw.say("GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n")
        .await;
    say.send("data: hello\n\n").await.unwrap();
    raw.until("hello").await;
    assert_eq!(tunnel.origin.connections(), 1);
    drop(raw);
    let seen = async {
        while tunnel.origin.connections() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(1), seen)
        .await
        .expect("the service's connection ends within a second");
}

#[tokio::test]
async fn the_loss_of_the_agent_leaves_the_stream_without_its_end() {
    let (origin, say) = speaking().await;
    let tunnel = Tunnel::to(origin).await;
    let mut raw = tunnel.visitor().raw().await;
    raw.say("GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n")
        .await;
    say.send("data: hello\n\n").await.unwrap();
    let head = String::from_utf8(raw.until("hello").await).unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    tunnel.agent.program.kill().await;
    let ended = timeout(Duration::from_secs(5), raw.rest()).await;
    let (rest, _) = ended.expect("within seconds");
    let rest = String::from_utf8(rest).unwrap();
    assert!(!rest.contains("0\r\n"), "ended as if whole: {rest:?}");
}

#[tokio::test]
async fn the_loss_of_the_agent_resets_the_connection_of_an_http_1_0_visitor() {
    let (origin, say) = speaking().await;
    let tunnel = Tunnel::to(origin).await;
    let mut raw = tunnel.visitor().raw().await;
    raw.say("GET /events HTTP/1.0\r\nHost: {host}\r\n\r\n")
        .await;
    say.send("data: hello\n\n").await.unwrap();
    let head = String::from_utf8(raw.until("hello").await).unwrap();
    assert!(!head.to_ascii_lowercase().contains("chunked"), "{head}");
    tunnel.agent.program.kill().await;
    let ended = timeout(Duration::from_secs(5), raw.rest()).await;
    let (_, reset) = ended.expect("within seconds");
    assert!(
        reset,
        "the end of the connection would pass for the end of the stream"
    );
}

#[tokio::test]
async fn a_service_that_dies_within_a_stream_leaves_it_without_its_end() {
    let die = Arc::new(Notify::new());
    let dies = die.clone();
    let origin = Origin::accepting(move |mut tcp| {
        let die = dies.clone();
        async move {
            read_head(&mut tcp).await;
            let begin = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                7\r\ndata: \n\r\n";
            tcp.write_all(begin).await.unwrap();
            die.notified().await;
        }
    })
    .await;
    let tunnel = Tunnel::to(origin).await;
    let (response, _connection) = subscribe(&tunnel.visitor(), "/").await;
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().is_ok(), "the first event");
    die.notify_one();
    let cut = timeout(Duration::from_secs(5), body.collect()).await;
    assert!(cut.expect("within seconds").is_err());
}
