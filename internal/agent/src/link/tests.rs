//! How a link ends, seen from the server's end.

use std::sync::Arc;

use http::Response;
use messages::{DisconnectCode, Message, ResetCode};
use tokio::sync::Notify;
use tokio::time::Instant;
use tunnel::LinkEnd;

use super::*;
use crate::testing::{Bench, Doing, get};
use crate::{Event, TargetBody};

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_running_exchanges_end_refuses_new_ones_and_says_goodbye() {
    let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, opened) = (begun.clone(), gate.clone());
    let mut bench = Bench::serving(Doing(move |_, _| {
        let (begun, gate) = (begun.clone(), gate.clone());
        async move {
            begun.notify_one();
            gate.notified().await;
            Ok(Response::new(TargetBody::full("done")))
        }
    }))
    .await;
    let running = bench.server.ask(&get("/"), b"", true).await;
    seen.notified().await;
    bench.shutdown.cancel();
    // Paused time goes on when the agent has done all it can.
    sleep(Duration::from_millis(1)).await;
    let late = bench.server.ask(&get("/"), b"", true).await;
    assert_eq!(bench.server.reset(late).await.code, ResetCode::LinkLost);
    opened.notify_one();
    assert_eq!(bench.server.response(running).await.1, b"done");
    let (_, goodbye) = bench.server.hear().await.unwrap();
    assert!(matches!(goodbye, Message::Disconnect(last) if last.code == DisconnectCode::Leaving));
    drop(bench.server.pipe);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_ever() {
    let begun = Arc::new(Notify::new());
    let seen = begun.clone();
    let mut bench = Bench::serving(Doing(move |_, _| {
        begun.notify_one();
        std::future::pending()
    }))
    .await;
    bench.server.ask(&get("/"), b"", true).await;
    seen.notified().await;
    let asked = Instant::now();
    bench.shutdown.cancel();
    let (_, goodbye) = bench.server.hear().await.unwrap();
    assert!(matches!(goodbye, Message::Disconnect(_)));
    assert_eq!(asked.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn a_lost_link_ends_its_exchanges_and_leaves_no_task() {
    let mut bench = Bench::serving(Doing(async |_, _| std::future::pending().await)).await;
    bench.server.ask(&get("/"), b"", true).await;
    let (other, _) = tunnel::pipe::pair();
    drop(std::mem::replace(&mut bench.server.pipe, other));
    assert!(matches!(bench.end().await, LinkEnd::Closed));
    assert!(
        matches!(&bench.diary.read()[..], [Event::Exchange(report)] if report.status.is_none()),
        "{:?}",
        bench.diary.read()
    );
}
