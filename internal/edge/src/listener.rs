//! The accept loop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
};
use tokio_util::sync::CancellationToken;

use crate::{connection, edge::Edge, io::Room};

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
        () = edge.limits.upkeep(&*edge.directory) => {}
    }
}

async fn accept(edge: &Arc<Edge>, listener: &TcpListener, shutdown: &CancellationToken) {
    // A drain waits for this loop too: what it still takes is not to be missed.
    let _accepting = edge.tasks.token();
    while let Some(permit) = room(edge, shutdown).await {
        tokio::select! {
            (tcp, peer) = listen::accept(listener) => take(edge, tcp, peer, permit, shutdown),
            () = shutdown.cancelled() => break,
        }
    }
    take_waiting(edge, listener, shutdown).await;
}

/// Takes the connections that wait in the kernel's queue: closing the listener
/// would reset them, and to their visitors they are open already.
async fn take_waiting(edge: &Arc<Edge>, listener: &TcpListener, shutdown: &CancellationToken) {
    // Lets the runtime look at the listener once more.
    tokio::task::yield_now().await;
    while let Ok(permit) = edge.connections.clone().try_acquire_owned()
        && let Some(Ok((tcp, peer))) = listener.accept().now_or_never()
    {
        take(edge, tcp, peer, permit, shutdown);
    }
}

async fn room(edge: &Edge, shutdown: &CancellationToken) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        permit = edge.connections.clone().acquire_owned() => permit.ok(),
        () = shutdown.cancelled() => None,
    }
}

fn take(
    edge: &Arc<Edge>,
    tcp: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    shutdown: &CancellationToken,
) {
    let place = match edge.limits.connect(peer.ip()) {
        Ok(place) => place,
        Err(full) => return connection::turn_away(&tcp, full),
    };
    if let Err(error) = listen::tune(&tcp) {
        tracing::debug!(%peer, %error, "a socket option was refused");
    }
    let room = Room::new(permit, place);
    let connection = connection::serve(edge.clone(), (tcp, peer), room, shutdown.clone());
    edge.tasks.spawn(connection);
}
