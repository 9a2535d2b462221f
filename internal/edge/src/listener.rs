//! The accept loop.

use std::{io, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpListener, sync::OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::{connection, edge::Edge};

/// How long to wait when the process is out of file descriptors or memory: each
/// retry at once would only burn the core that could free some.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// How often exchanges are checked for visitors who do not read, at least.
const STALL_CHECK: Duration = Duration::from_secs(5);

/// Accepts until `shutdown`. A connection is taken only when there is room for
/// it; the others wait in the kernel's queue.
pub(crate) async fn run(edge: Arc<Edge>, listener: TcpListener, shutdown: CancellationToken) {
    let checking = async {
        // A short idle time asks for a closer look.
        let often = edge.config.exchange_idle.map_or(STALL_CHECK, |idle| {
            (idle / 4).clamp(Duration::from_millis(50), STALL_CHECK)
        });
        let mut check = tokio::time::interval(often);
        loop {
            check.tick().await;
            edge.cut_stalled();
        }
    };
    tokio::select! {
        () = accept(&edge, &listener, &shutdown) => {}
        () = checking => {}
    }
}

async fn accept(edge: &Arc<Edge>, listener: &TcpListener, shutdown: &CancellationToken) {
    while let Some(permit) = room(edge, shutdown).await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((tcp, peer)) => {
                if let Err(error) = tune(&tcp) {
                    tracing::debug!(%peer, %error, "a socket option was refused");
                }
                spawn(edge, tcp, peer, permit, shutdown.clone());
            }
            Err(error) => after_error(&error).await,
        }
    }
}

async fn room(edge: &Edge, shutdown: &CancellationToken) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        permit = edge.connections.clone().acquire_owned() => permit.ok(),
        () = shutdown.cancelled() => None,
    }
}

fn spawn(
    edge: &Arc<Edge>,
    tcp: tokio::net::TcpStream,
    peer: std::net::SocketAddr,
    permit: OwnedSemaphorePermit,
    shutdown: CancellationToken,
) {
    let connection = connection::serve(edge.clone(), tcp, peer, shutdown);
    edge.tasks.spawn(async move {
        connection.await;
        drop(permit);
    });
}

/// Without `TCP_NODELAY` the last segment of a response waits for the visitor's
/// delayed acknowledgement: 40 ms. With keepalive a visitor who vanished from a
/// quiet WebSocket or event stream is noticed within two minutes.
fn tune(tcp: &tokio::net::TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

async fn after_error(error: &io::Error) {
    use io::ErrorKind as Kind;
    match error.kind() {
        // The visitor gave up between the kernel's accept and ours.
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted => {}
        _ => {
            tracing::warn!(%error, "cannot accept connections; trying again");
            tokio::time::sleep(EXHAUSTED_PAUSE).await;
        }
    }
}
