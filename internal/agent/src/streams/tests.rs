//! The server's end speaks raw frames; the target is a closure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Frame as BodyFrame;
use http_body_util::{BodyExt, StreamBody};
use messages::{
    DisconnectCode, Frame, INITIAL_WINDOW, LinkLimits, Message, Reset, ResetCode, StreamId, cost,
};
use tokio::sync::Notify;
use tokio::time::timeout;
use tunnel::LinkEnd;

use crate::testing::{AUTHORITY, Bench, Doing, get, request};
use crate::{BoxError, Context, Event, Outcome, RequestBody, Target, TargetBody, TargetError};

fn ok(body: impl Into<Bytes>) -> Result<Response<TargetBody>, TargetError> {
    Ok(Response::new(TargetBody::full(body)))
}

/// Counts how often it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A window that arrives before anything else does, or `None` after `wait` of silence.
async fn window(bench: &mut Bench, wait: Duration) -> Option<u32> {
    match timeout(wait, bench.server.hear()).await {
        Err(_) => None,
        Ok(Some((_, Message::Window(bytes)))) => Some(bytes),
        Ok(other) => panic!("expected a window, not {other:?}"),
    }
}

#[tokio::test]
async fn a_small_exchange_is_one_frame_each_way_and_is_reported_without_its_query() {
    let mut bench = Bench::serving(Doing(async |request: http::Request<_>, _| {
        assert_eq!(request.headers()["host"], AUTHORITY);
        assert_eq!(request.uri(), "/hello?secret=1");
        ok("hi")
    }))
    .await;
    let stream = bench.server.ask(&get("/hello?secret=1"), b"", true).await;
    let (head, body, end) = bench.server.head(stream).await;
    assert_eq!(
        (head.status, &body[..], end),
        (StatusCode::OK, &b"hi"[..], true)
    );
    let Some(Event::Exchange(report)) = bench.diary.read().pop() else {
        panic!("the exchange is reported");
    };
    assert_eq!(
        (report.path.as_str(), report.status),
        ("/hello", Some(StatusCode::OK))
    );
    assert_eq!(report.outcome, Outcome::Answered);
    assert_eq!(report.request_id.to_string(), "ab".repeat(16));
}

#[tokio::test(start_paused = true)]
async fn a_large_response_goes_as_far_as_its_credit_and_no_further() {
    let mut bench = Bench::serving(Doing(async |_, _| ok(vec![b'x'; 200_000]))).await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    let (_, inline, end) = bench.server.head(stream).await;
    assert!(inline.is_empty() && !end);
    let mut spent = 0;
    while let Ok(message) = timeout(Duration::from_secs(1), bench.server.on(stream)).await {
        let Message::Body { data, end: false } = message else {
            panic!("expected more body, not {message:?}");
        };
        spent += cost(data.len());
    }
    assert!(
        spent <= INITIAL_WINDOW && spent > INITIAL_WINDOW / 2,
        "{spent}"
    );
    bench.server.say(Frame::window(stream, 1 << 20)).await;
    let mut end = false;
    while !end {
        let Message::Body { end: last, .. } = bench.server.on(stream).await else {
            panic!("expected the rest of the body");
        };
        end = last;
    }
}

#[tokio::test]
async fn a_request_body_reaches_the_target_whole() {
    let mut bench = Bench::serving(Doing(async |request: http::Request<RequestBody>, _| {
        ok(request.into_body().collect().await.unwrap().to_bytes())
    }))
    .await;
    let head = request(Method::POST, "/", &[("content-length", "10")]);
    let stream = bench.server.ask(&head, b"01234", false).await;
    bench
        .server
        .say(Frame::body(stream, Bytes::from("56789"), true))
        .await;
    assert_eq!(bench.server.response(stream).await.1, b"0123456789");
}

#[tokio::test]
async fn a_reset_cancels_the_work_at_the_target_and_is_acknowledged() {
    let (begun, dropped) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (seen, count) = (begun.clone(), dropped.clone());
    let mut bench = Bench::serving(Doing(move |_, _| {
        let (begun, working) = (begun.clone(), Dropped(dropped.clone()));
        async move {
            begun.notify_one();
            let _working = working;
            std::future::pending().await
        }
    }))
    .await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    seen.notified().await;
    bench
        .server
        .say(Frame::reset(stream, &ResetCode::Cancelled.into()))
        .await;
    assert!(matches!(bench.server.on(stream).await, Message::Reset(_)));
    while bench.diary.read().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let Some(Event::Exchange(report)) = bench.diary.read().pop() else {
        panic!("the exchange is reported");
    };
    assert_eq!(
        (report.status, report.outcome),
        (None, Outcome::Cut(ResetCode::Cancelled.into()))
    );
}

#[tokio::test]
async fn a_stream_counts_until_its_reset_is_acknowledged() {
    let limits = LinkLimits {
        max_streams: 1,
        ..LinkLimits::default()
    };
    let failing = Doing(async |_, _| Err(TargetError::Unreachable("nobody is home".to_owned())));
    let mut bench = Bench::limited(failing, limits).await;
    let first = bench.server.ask(&get("/"), b"", true).await;
    // The request has ended, so the reset closes both directions at once.
    assert!(matches!(bench.server.on(first).await, Message::Reset(reset)
        if reset == Reset::new(ResetCode::TargetUnreachable, "nobody is home")));
    let second = bench
        .server
        .ask(&request(Method::POST, "/", &[]), b"", false)
        .await;
    assert!(matches!(bench.server.on(second).await, Message::Reset(_)));
    // This one has not: until the server ends its side, the place is taken.
    let third = bench.server.ask(&get("/"), b"", true).await;
    assert_eq!(bench.server.reset(third).await.code, ResetCode::Busy);
    bench
        .server
        .say(Frame::reset(second, &ResetCode::Done.into()))
        .await;
    let fourth = bench.server.ask(&get("/"), b"", true).await;
    assert_eq!(
        bench.server.reset(fourth).await.code,
        ResetCode::TargetUnreachable
    );
}

#[tokio::test]
async fn a_frame_for_a_stream_that_was_never_opened_ends_the_link() {
    let mut bench = Bench::serving(Doing(async |_, _| ok(""))).await;
    bench
        .server
        .say(Frame::body(StreamId(5), Bytes::new(), true))
        .await;
    let (_, message) = bench.server.hear().await.unwrap();
    assert!(
        matches!(message, Message::Disconnect(disconnect) if disconnect.code == DisconnectCode::Protocol)
    );
    assert!(matches!(bench.end().await, LinkEnd::Fault(_)));
}

#[tokio::test]
async fn what_comes_late_for_a_stream_is_ignored_and_the_link_lives() {
    let mut bench = Bench::serving(Doing(async |_, _| ok("hi"))).await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    bench.server.response(stream).await;
    bench
        .server
        .say(Frame::body(stream, Bytes::from("late"), true))
        .await;
    bench.server.say(Frame::window(stream, 1)).await;
    let next = bench.server.ask(&get("/"), b"", true).await;
    assert_eq!(bench.server.response(next).await.1, b"hi");
}

#[tokio::test]
async fn a_broken_rule_costs_its_stream_and_not_the_link() {
    let mut bench = Bench::serving(Doing(async |request: http::Request<_>, _| {
        match request.uri().path() {
            "/" => ok("hi"),
            _ => std::future::pending().await,
        }
    }))
    .await;
    let stream = bench.server.ask(&get("/waits"), b"", true).await;
    bench
        .server
        .say(Frame::body(stream, Bytes::from("after the end"), true))
        .await;
    assert_eq!(bench.server.reset(stream).await.code, ResetCode::Protocol);
    let overrun = bench
        .server
        .ask(&request(Method::POST, "/waits", &[]), b"", false)
        .await;
    for _ in 0..3 {
        bench
            .server
            .say(Frame::body(overrun, Bytes::from(vec![0; 60_000]), false))
            .await;
    }
    assert_eq!(bench.server.reset(overrun).await.code, ResetCode::Overrun);
    let next = bench.server.ask(&get("/"), b"", true).await;
    assert_eq!(bench.server.response(next).await.1, b"hi");
}

#[tokio::test]
async fn a_request_that_lies_about_its_length_never_reaches_the_target() {
    let mut bench = Bench::serving(Doing(async |_, _| panic!("called"))).await;
    for lie in [
        &[("content-length", "5")][..],
        &[("content-length", "0"), ("content-length", "0")][..],
        &[("content-length", "+0")][..],
    ] {
        let stream = bench
            .server
            .ask(&request(Method::POST, "/", lie), b"", true)
            .await;
        assert_eq!(
            bench.server.reset(stream).await.code,
            ResetCode::Protocol,
            "{lie:?}"
        );
    }
}

#[tokio::test]
async fn a_target_that_panics_costs_its_own_exchange_alone() {
    let mut bench = Bench::serving(Doing(async |request: http::Request<_>, _| {
        assert_eq!(request.uri().path(), "/good", "as arranged");
        ok("hi")
    }))
    .await;
    let bad = bench.server.ask(&get("/bad"), b"", true).await;
    bench.server.reset(bad).await;
    let good = bench.server.ask(&get("/good"), b"", true).await;
    assert_eq!(bench.server.response(good).await.1, b"hi");
}

#[tokio::test]
async fn a_response_that_breaks_off_is_reset_and_never_ended() {
    let arrived = Arc::new(Notify::new());
    let half_is_here = arrived.clone();
    let mut bench = Bench::serving(Doing(move |_, _| {
        let arrived = arrived.clone();
        let half = stream::iter([Ok(BodyFrame::data(Bytes::from("half")))]);
        let broken = stream::once(async move {
            arrived.notified().await;
            Err(BoxError::from("the disk is gone"))
        });
        let body = TargetBody::boxed(StreamBody::new(half.chain(broken)));
        async { Ok(Response::new(body)) }
    }))
    .await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    let (_, body, end) = bench.server.head(stream).await;
    assert_eq!((&body[..], end), (&b"half"[..], false));
    half_is_here.notify_one();
    let reset = bench.server.reset(stream).await;
    assert_eq!(reset.code, ResetCode::BadResponse);
    assert!(reset.reason.contains("the disk is gone"), "{reset}");
}

#[tokio::test]
async fn interim_heads_go_ahead_of_the_final_one_but_not_without_end() {
    let mut bench = Bench::serving(Doing(async |_, context: Context| {
        for _ in 0..20 {
            context.interim(StatusCode::EARLY_HINTS, HeaderMap::new());
        }
        context.interim(StatusCode::SWITCHING_PROTOCOLS, HeaderMap::new());
        ok("hi")
    }))
    .await;
    let stream = bench.server.ask(&get("/"), b"", true).await;
    for _ in 0..8 {
        assert_eq!(
            bench.server.head(stream).await.0.status,
            StatusCode::EARLY_HINTS
        );
    }
    assert_eq!(bench.server.head(stream).await.0.status, StatusCode::OK);
}

/// A target that reads its whole body, after a word or none.
struct Reading(Option<StatusCode>);

impl Target for Reading {
    fn http(
        &self,
        request: http::Request<RequestBody>,
        context: Context,
    ) -> BoxFuture<'_, Result<Response<TargetBody>, TargetError>> {
        if let Some(word) = self.0 {
            context.interim(word, HeaderMap::new());
        }
        Box::pin(async move { ok(request.into_body().collect().await.unwrap().to_bytes()) })
    }
}

#[tokio::test(start_paused = true)]
async fn an_expected_body_gets_credit_when_the_target_asks_or_after_a_second() {
    let head = request(Method::POST, "/", &[("expect", "100-continue")]);
    for (word, silence) in [(Some(StatusCode::CONTINUE), 0), (None, 1)] {
        let mut bench = Bench::serving(Reading(word)).await;
        let asked = tokio::time::Instant::now();
        let stream = bench.server.ask(&head, b"", false).await;
        assert_eq!(
            window(&mut bench, Duration::from_secs(5)).await,
            Some(INITIAL_WINDOW)
        );
        assert_eq!(asked.elapsed().as_secs(), silence);
        bench
            .server
            .say(Frame::body(stream, Bytes::from("body"), true))
            .await;
        assert_eq!(bench.server.response(stream).await.1, b"body");
    }
}

#[tokio::test(start_paused = true)]
async fn a_final_answer_to_an_expectation_leaves_the_body_where_it_is() {
    let mut bench = Bench::serving(Doing(async |_, _| {
        let mut response = Response::new(TargetBody::full("too much"));
        *response.status_mut() = StatusCode::EXPECTATION_FAILED;
        Ok(response)
    }))
    .await;
    let head = request(Method::POST, "/", &[("expect", "100-continue")]);
    let stream = bench.server.ask(&head, b"", false).await;
    let (head, body) = bench.server.response(stream).await;
    assert_eq!(
        (head.status, &body[..]),
        (StatusCode::EXPECTATION_FAILED, &b"too much"[..])
    );
    assert_eq!(
        bench.server.reset(stream).await.code,
        ResetCode::Done,
        "the body is not wanted"
    );
    assert_eq!(window(&mut bench, Duration::from_secs(5)).await, None);
}
