//! A load against services that fail in known ways.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::sleep;

use super::*;
use crate::{
    fault::FaultProxy,
    origin::{Origin, full},
};

#[tokio::test]
async fn a_healthy_service_loses_nothing_at_the_rate_asked_for() {
    let origin = Origin::echo().await;
    let began = Instant::now();
    let mut load = Load::at(200).through(origin.addr, "host.localhost");
    load.succeeds(100).await;
    let took = began.elapsed();
    let report = load.stop().await;
    report.assert_nothing_lost();
    assert!(took >= Duration::from_millis(490), "{took:?}");
    assert!(report.longest_gap < Duration::from_millis(400), "{report}");
    assert!(report.p50 <= report.p99 && report.p50 > Duration::ZERO);
}

#[tokio::test]
async fn both_methods_come_on_both_kinds_of_connections() {
    let posts = Arc::new(AtomicU64::new(0));
    let counted = posts.clone();
    let origin = Origin::serving(move |request| {
        let posts = counted.clone();
        async move {
            if request.method() == Method::POST {
                posts.fetch_add(1, Ordering::SeqCst);
                let body = request.into_body().collect().await.unwrap();
                assert_eq!(body.to_bytes().len(), 1000);
            }
            Response::new(full("fine"))
        }
    });
    let origin = origin.await;
    let proxy = FaultProxy::to(origin.addr).await;
    let mut load = Load::at(200).through(proxy.addr(), "host.localhost");
    load.succeeds(80).await;
    let report = load.stop().await;
    report.assert_nothing_lost();
    let (posts, connections) = (posts.load(Ordering::SeqCst), proxy.opened());
    assert!(
        (posts * 4).abs_diff(report.ok) <= 8,
        "{posts} posts; {report}"
    );
    assert!(
        (connections.saturating_sub(report.ok / 2)) < 20 && connections >= report.ok / 2,
        "{connections} connections; {report}"
    );
}

#[tokio::test]
async fn an_outage_is_as_long_in_the_report_as_it_was() {
    let origin = Origin::echo().await;
    let proxy = FaultProxy::to(origin.addr).await;
    let mut load = Load::at(200).through(proxy.addr(), "host.localhost");
    load.succeeds(20).await;
    proxy.refuse().await;
    proxy.cut();
    sleep(Duration::from_millis(300)).await;
    proxy.accept().await;
    load.succeeds(20).await;
    let report = load.stop().await;
    assert!(report.longest_gap >= Duration::from_millis(290), "{report}");
    assert!((40..80).contains(&report.failed), "{report}");
    assert_eq!(report.failures.len(), 20);
    let texts = report.failures.iter().map(ToString::to_string);
    assert!(
        texts.clone().any(|text| text.contains("refused")),
        "{report}"
    );
}

#[tokio::test]
async fn wrong_statuses_and_short_bodies_fail_by_name() {
    let busy = Origin::serving(|_| async {
        let mut answer = Response::new(full(""));
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let code = "overloaded".parse().unwrap();
        answer.headers_mut().insert("adit-error", code);
        answer
    });
    let short = Origin::saying("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
    let silent = Origin::accepting(|tcp| async move {
        let _tcp = tcp;
        std::future::pending::<()>().await;
    });
    for (origin, why) in [
        (busy.await, "503 Service Unavailable (overloaded)"),
        (short.await, "200 OK and a broken body"),
        (silent.await, "no whole answer within 50ms"),
    ] {
        let load = Load::at(100).patience(Duration::from_millis(50));
        let load = load.through(origin.addr, "host.localhost");
        while load.so_far().failed < 4 {
            sleep(Duration::from_millis(5)).await;
        }
        let report = load.stop().await;
        assert_eq!((report.ok, report.failed), (0, report.sent));
        for failure in &report.failures {
            assert!(failure.why.starts_with(why), "{failure}");
        }
    }
}

#[tokio::test]
async fn a_connection_closed_between_requests_costs_none() {
    // Closes each connection after its first answer without having said so.
    let origin = Origin::saying("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").await;
    let mut load = Load::at(100)
        .of("/path")
        .through(origin.addr, "host.localhost");
    load.succeeds(20).await;
    let report = load.stop().await;
    report.assert_nothing_lost();
}
