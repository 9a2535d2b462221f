//! How visits and connections end, and that either side's end is the other's.

use futures_util::SinkExt as _;
use serde_json::json;
use testkit::origin::Origin;
use testkit::socket::{End, closing, end, hear};

use crate::stage::{Stage, handed_out, recipe, say};

#[tokio::test]
async fn the_upstreams_close_is_the_visitors_where_errors_close() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(json!({}), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    socket.send(closing(4000, "that is all")).await.unwrap();
    assert_eq!(
        end(&mut visitor).await,
        End::Closed(4000, "that is all".to_owned())
    );
}

#[tokio::test]
async fn the_visitors_close_is_the_upstreams() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    visitor.send(closing(4001, "bye")).await.unwrap();
    assert_eq!(end(&mut socket).await, End::Closed(4001, "bye".to_owned()));
    drop(socket);
    assert_eq!(end(&mut visitor).await.code(), Some(4001));
}

#[tokio::test]
async fn a_visitor_who_is_gone_takes_the_connection_along() {
    let upstream = Origin::echoing_sockets().await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    crate::stage::ask(&mut visitor, "hello\n", "hello\n").await;
    assert_eq!(upstream.connections(), 1);
    drop(visitor);
    while upstream.connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_lost_is_1011_where_errors_close() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(json!({}), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    say(&mut visitor, "question").await;
    hear(&mut socket).await;
    drop(socket);
    assert_eq!(
        end(&mut visitor).await,
        End::Closed(1011, "the upstream was lost".to_owned())
    );
}

#[tokio::test]
async fn a_relay_that_goes_down_says_so_to_both_sides() {
    let (upstream, mut sockets) = handed_out().await;
    let stage = Stage::to(recipe(), upstream.addr).await;
    let mut visitor = stage.visitor().await;
    let mut socket = sockets.recv().await.unwrap();
    stage.relay.close();
    assert_eq!(end(&mut socket).await.code(), Some(1001));
    drop(socket);
    assert_eq!(end(&mut visitor).await.code(), Some(1001));
}
