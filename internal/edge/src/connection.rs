//! One visitor connection: hyper with our clocks, and every request to the
//! relay or to our own pages.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::{
    body::Body,
    edge::Edge,
    io::{ConnectionState, VisitorIo},
    relay,
};

/// The connection a request came on.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) state: Arc<ConnectionState>,
}

/// Serves one connection to its end. After `shutdown` the request under way is
/// finished and no other is taken.
pub(crate) async fn serve(
    edge: Arc<Edge>,
    tcp: TcpStream,
    peer: SocketAddr,
    shutdown: CancellationToken,
) {
    let connection = Connection {
        peer,
        state: Arc::default(),
    };
    let io = VisitorIo::new(
        tcp,
        connection.state.clone(),
        edge.config.header_timeout,
        edge.config.write_stall,
    );
    let builder = http1(&edge);
    let service = service_fn(move |request| handle(edge.clone(), connection.clone(), request));
    let serving = builder
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a visitor's connection ended early");
    }
}

fn http1(edge: &Edge) -> http1::Builder {
    let config = &edge.config;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // hyper's one clock serves as the limit between requests; the limit
        // within a head is VisitorIo's.
        .header_read_timeout(config.idle_timeout)
        .max_headers(config.max_headers)
        .max_buf_size(config.max_head.max(8192));
    builder
}

async fn handle(
    edge: Arc<Edge>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let busy = connection.state.begin();
    let response = relay::serve(&edge, &connection, request).await;
    Ok(response.map(|body| body.keeping(busy)))
}
