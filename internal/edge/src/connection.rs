//! One visitor connection: hyper with our clocks, and every request to the
//! relay or to our own pages.

use std::{
    convert::Infallible,
    io,
    net::{Shutdown, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use http::{Request, Response, StatusCode};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{net::TcpStream, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    body::Body,
    config::ProxyProtocol,
    edge::Edge,
    forwarded::is_trusted,
    host::LastHost,
    io::{Clocks, ConnectionState, Protocol, Room, VisitorIo},
    limits::Full,
    visit,
};

/// The connection a request came on.
#[derive(Clone)]
pub(crate) struct Connection {
    /// The other end, or whom a trusted proxy there has named for all of it.
    pub(crate) peer: SocketAddr,
    pub(crate) state: Arc<ConnectionState>,
    pub(crate) last_host: Arc<LastHost>,
}

/// The most bytes of a request that one read takes, and that a connection holds
/// of it. The library knows no other limit of a head than this, so heads are
/// measured when they are whole. With 48 KiB a body of 100 KiB took three reads
/// and twice the frames.
const READ_AHEAD: usize = 128 * 1024;

/// How long a connection that has said nothing yet is still listened to once
/// nobody new is let in.
const SPEAKS_SOON: Duration = Duration::from_millis(200);

/// Serves one connection to its end. After `shutdown` the requests under way
/// are finished and no other is taken.
pub(crate) async fn serve(
    edge: Arc<Edge>,
    (tcp, peer): (TcpStream, SocketAddr),
    room: Room,
    shutdown: CancellationToken,
) {
    let mut connection = Connection {
        peer,
        state: ConnectionState::in_room(room),
        last_host: Arc::default(),
    };
    let mut io = VisitorIo::new(tcp, connection.state.clone(), clocks(&edge));
    // A connection that is still silent has nothing under way that a shutdown
    // should wait for, but its first bytes may be.
    let dismissed = async {
        shutdown.cancelled().await;
        sleep(SPEAKS_SOON).await;
    };
    let begun = tokio::select! {
        biased;
        begun = begin(&edge, &mut connection, &mut io) => begun,
        () = dismissed => return,
    };
    let ended = match begun {
        Ok(Protocol::Http1) => serve_http1(&edge, connection, io, &shutdown).await,
        Ok(Protocol::Http2) => serve_http2(&edge, connection, io, &shutdown).await,
        Err(error) => {
            tracing::debug!(%peer, %error, "a visitor's connection ended before it began");
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a visitor's connection ended early");
    }
}

/// Finds out who is there and what he speaks. Whoever is not served is told so.
async fn begin(
    edge: &Edge,
    connection: &mut Connection,
    io: &mut VisitorIo,
) -> io::Result<Protocol> {
    let config = &edge.config;
    let introduced = config.proxy_protocol != ProxyProtocol::Off
        && is_trusted(connection.peer.ip(), &config.trusted_proxies);
    if introduced {
        let required = config.proxy_protocol == ProxyProtocol::Require;
        match io.introduction(required).await {
            Ok(Some(visitor)) => be(visitor, edge, connection, io).await?,
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::debug!(peer = %connection.peer, %error, "refused a proxy's connection");
                io.refuse(MALFORMED).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
    }
    io.sniff().await
}

/// Takes the connection for that visitor's. The proxy that brought him has no
/// place of an address, so he needs one.
async fn be(
    visitor: SocketAddr,
    edge: &Edge,
    connection: &mut Connection,
    io: &mut VisitorIo,
) -> io::Result<()> {
    connection.peer = visitor;
    match edge.limits.connect(visitor.ip()) {
        Ok(Some(place)) => connection.state.take_place(place),
        Ok(None) => {}
        Err(full) => {
            io.refuse(TOO_MANY).await?;
            return Err(io::Error::other(full));
        }
    }
    Ok(())
}

/// Ends a connection of an address that has as many as it may. It is told why as
/// far as that needs no waiting: the words fit the socket's empty buffer, but who
/// has sent his request already may get a reset before he reads them.
pub(crate) fn turn_away(tcp: &TcpStream, full: Full) {
    tracing::debug!(%full, "closed a connection");
    let socket = SockRef::from(tcp);
    let told = socket
        .send(TOO_MANY)
        .and_then(|_| socket.shutdown(Shutdown::Both));
    if let Err(error) = told {
        tracing::trace!(%error, "it was closed already");
    }
}

/// The answers to connections whose requests are not read.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    adit-error: rate-limited\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 54\r\n\r\nYour address has as many connections open as it may.\r\n";
const MALFORMED: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    adit-error: bad-request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves with one of hyper's connection types, which share no trait: until the
/// end, or gracefully to the end once `shutdown` is called.
macro_rules! until_shutdown {
    ($serving:expr, $shutdown:expr) => {{
        let mut serving = pin!($serving);
        tokio::select! {
            // First: a request that has come already is read before the end.
            biased;
            ended = serving.as_mut() => ended,
            () = $shutdown.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    }};
}

async fn serve_http1(
    edge: &Arc<Edge>,
    connection: Connection,
    io: VisitorIo,
    shutdown: &CancellationToken,
) -> hyper::Result<()> {
    let config = &edge.config;
    let mut builder = http1::Builder::new();
    builder
        // VisitorIo has the clocks: hyper's would be set anew for each request.
        .header_read_timeout(None)
        .max_headers(config.max_headers)
        .max_buf_size(config.max_head.max(READ_AHEAD));
    let service = service_fn(|request| handle(edge.clone(), connection.clone(), request));
    until_shutdown!(
        builder
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades(),
        shutdown
    )
}

async fn serve_http2(
    edge: &Arc<Edge>,
    connection: Connection,
    io: VisitorIo,
    shutdown: &CancellationToken,
) -> hyper::Result<()> {
    let config = &edge.config;
    let mut builder = http2::Builder::new(Tracked(edge.tasks.clone()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_h2_streams)
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(config.max_head).unwrap_or(u32::MAX))
        // Reset floods (CVE-2023-44487 and its kin) end the connection.
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .keep_alive_interval(Some(config.idle_timeout / 2))
        .keep_alive_timeout(config.header_timeout);
    let service = service_fn(|request| handle(edge.clone(), connection.clone(), request));
    until_shutdown!(
        builder.serve_connection(TokioIo::new(io), service),
        shutdown
    )
}

/// Streams a visitor may reset before we have looked at them.
const MAX_PENDING_RESETS: usize = 20;
/// Streams we reset because the visitor broke the protocol, before we give up on
/// the connection.
const MAX_LOCAL_RESETS: usize = 128;
/// What a visitor may send on one stream before the tunnel has taken it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams of a connection: uploads that stall may hold up others
/// of the same visitor, but never more memory than this.
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// Response bytes one stream buffers inside the HTTP/2 library.
const MAX_SEND_BUFFER: usize = 128 * 1024;

fn clocks(edge: &Edge) -> Clocks {
    let config = &edge.config;
    Clocks {
        header: config.header_timeout,
        idle: config.idle_timeout,
        write_stall: config.write_stall,
    }
}

/// Runs what HTTP/2 spawns on the edge's own tracker, so that a drain waits for
/// it.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

async fn handle(
    edge: Arc<Edge>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let busy = connection.state.begin();
    let response = visit::serve(&edge, &connection, request).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        connection.state.upgrade();
    }
    Ok(response.map(|body| body.keeping(busy)))
}
