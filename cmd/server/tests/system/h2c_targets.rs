//! What a service that speaks HTTP/2 without TLS does not change.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use testkit::{
    origin::{Origin, full},
    process::{Agent, Key, Server},
    socket::Message,
    visitor::PATIENCE,
};
use tokio::time::timeout;
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
use tokio_util::task::TaskTracker;

const OPTIONS: [&str; 3] = ["-q", "--target-protocol", "h2c"];

#[tokio::test]
async fn a_websocket_is_asked_for_over_http_1_1_on_the_same_port() {
    // Most servers of this kind take both protocols there.
    let sockets = TaskTracker::new();
    let origin = Origin::accepting(move |tcp| {
        let sockets = sockets.clone();
        async move {
            let service = hyper::service::service_fn(|mut request: Request<_>| {
                let echoing = sockets.clone();
                async move {
                    let Some(key) = request.headers().get("sec-websocket-key").cloned() else {
                        return Ok::<_, Infallible>(Response::new(full("no websocket")));
                    };
                    let upgrade = hyper::upgrade::on(&mut request);
                    echoing.spawn(async move {
                        let io = TokioIo::new(upgrade.await.unwrap());
                        let mut socket =
                            WebSocketStream::from_raw_socket(io, Role::Server, None).await;
                        while let Some(Ok(message)) = socket.next().await {
                            socket.send(message).await.ok();
                        }
                    });
                    let response = Response::builder()
                        .status(101)
                        .header("connection", "upgrade")
                        .header("upgrade", "websocket")
                        .header(
                            "sec-websocket-accept",
                            testkit::socket::accept_key(key.to_str().unwrap()),
                        );
                    Ok(response.body(full("")).unwrap())
                }
            });
            auto::Builder::new(TokioExecutor::new())
                .serve_connection_with_upgrades(TokioIo::new(tcp), service)
                .await
                .ok();
        }
    })
    .await;
    let server = Server::start(&[]).await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &OPTIONS).await;
    assert_eq!(agent.visitor().get("/").await.text(), "no websocket");
    let mut socket = agent.visitor().open_socket("/").await;
    socket.send(Message::text("over both")).await.unwrap();
    let heard = timeout(PATIENCE, socket.next()).await.unwrap();
    assert_eq!(heard.unwrap().unwrap(), Message::text("over both"));
}

#[tokio::test]
async fn a_visitor_who_does_not_read_holds_up_no_other_on_the_same_connection() {
    const SIZE: usize = 20 * 1024 * 1024;
    let origin = Origin::serving_h2c(|_| async {
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let pieces = stream::repeat(piece)
            .take(SIZE / (64 * 1024))
            .map(|piece| Ok(Frame::data(piece)));
        Response::new(StreamBody::new(pieces).boxed_unsync())
    })
    .await;
    let server = Server::start(&["--max-body", "unlimited"]).await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &OPTIONS).await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        let request = Request::get("/").body(Full::new(Bytes::new())).unwrap();
        idle.push(agent.visitor().open(request).await);
    }
    let answer = agent.visitor().get("/").await;
    assert_eq!(answer.body.len(), SIZE);
    // One connection carries all nine.
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_service_that_speaks_no_http_2_is_a_502() {
    let origin = Origin::echo().await;
    let server = Server::start(&[]).await;
    let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &OPTIONS).await;
    let answer = agent.visitor().get("/").await;
    assert_eq!(answer.status, 502);
    assert!(["bad-response", "target-unreachable"].contains(&answer.error().unwrap()));
}
