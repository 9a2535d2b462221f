//! A local service on a listener of this machine, without a tunnel.
//!
//! The same service over hyper: HTTP/1.1, the WebSocket handshake checked and answered here, as the edge does for tunnels.

mod handshake;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Local, LocalBody, Run, Upgrade, Visitor};

/// Connections at once; others wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;

/// From a connection's last response, or its start, to the whole head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a request's head, and of a body that is read ahead.
const MAX_HEAD: usize = 128 * 1024;

/// How long what runs may go on once the end was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// What is shared by the connections of a listener.
struct Shared<L> {
    service: Arc<L>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    /// Ends what is left when the grace is over.
    cut: CancellationToken,
}

/// Binds, so that the caller can say where before anybody is served.
///
/// # Errors
/// The address is in use, or not one of this machine.
pub(crate) async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

/// Serves until `shutdown`, and then until what runs has ended, for 5 s at most. Cancel safe: dropped, it lets go of the
/// listener, and `service` goes with its last connection.
pub(crate) async fn serve<L: Local>(
    service: Arc<L>,
    listener: TcpListener,
    shutdown: CancellationToken,
) {
    let shared = Arc::new(Shared {
        service,
        tasks: TaskTracker::new(),
        shutdown,
        cut: CancellationToken::new(),
    });
    let _cut = shared.cut.clone().drop_guard();
    accept(&shared, &listener).await;
    drop(listener);
    shared.service.close();
    shared.tasks.close();
    if timeout(GRACE, shared.tasks.wait()).await.is_err() {
        tracing::warn!(left = shared.tasks.len(), "cut what still ran after 5 s");
    }
}

async fn accept<L: Local>(shared: &Arc<Shared<L>>, listener: &TcpListener) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accepting = async {
        while let Ok(permit) = room.clone().acquire_owned().await {
            let (tcp, peer) = ::listen::accept(listener).await;
            take(shared, tcp, peer.ip(), permit);
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shared.shutdown.cancelled() => {}
    }
}

fn take<L: Local>(
    shared: &Arc<Shared<L>>,
    tcp: TcpStream,
    peer: IpAddr,
    permit: OwnedSemaphorePermit,
) {
    if let Err(error) = ::listen::tune(&tcp) {
        tracing::debug!(%error, "a socket option was refused");
    }
    let permit = Arc::new(permit);
    let (serving, cut) = (
        connection(shared.clone(), tcp, peer, permit),
        shared.cut.clone(),
    );
    shared.tasks.spawn(async move {
        tokio::select! {
            () = serving => {}
            () = cut.cancelled() => {}
        }
    });
}

async fn connection<L: Local>(
    shared: Arc<Shared<L>>,
    tcp: TcpStream,
    peer: IpAddr,
    permit: Arc<OwnedSemaphorePermit>,
) {
    let visitor = Visitor {
        addr: peer.to_canonical(),
    };
    let service = service_fn(|request| {
        let (shared, permit) = (shared.clone(), permit.clone());
        async move { Ok::<_, Infallible>(answer(&shared, request, visitor, permit).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(tcp), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = shared.shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a visitor's connection ended early");
    }
}

async fn answer<L: Local>(
    shared: &Shared<L>,
    mut request: Request<Incoming>,
    visitor: Visitor,
    permit: Arc<OwnedSemaphorePermit>,
) -> Response<LocalBody> {
    if !handshake::is_upgrade(request.headers()) {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        return shared.service.http(request, visitor).await;
    }
    let accept = match handshake::check(&request) {
        Ok(accept) => accept,
        Err(refusal) => return *refusal,
    };
    let upgraded = hyper::upgrade::on(&mut request);
    match shared.service.socket(request.map(drop), visitor).await {
        Upgrade::Accepted { head, run } => {
            shared.start(upgraded, run, permit);
            handshake::accepted(head, accept)
        }
        Upgrade::Refused(response) => response,
    }
}

impl<L> Shared<L> {
    /// Serves the WebSocket once hyper lets go of its connection.
    fn start(
        &self,
        upgraded: hyper::upgrade::OnUpgrade,
        run: Run,
        permit: Arc<OwnedSemaphorePermit>,
    ) {
        let cut = self.cut.clone();
        let running = async move {
            match upgraded.await {
                Ok(upgraded) => run(Box::pin(TokioIo::new(upgraded))).await,
                Err(error) => tracing::debug!(%error, "a visitor left during the upgrade"),
            }
            drop(permit);
        };
        self.tasks.spawn(async move {
            tokio::select! {
                () = running => {}
                () = cut.cancelled() => {}
            }
        });
    }
}
