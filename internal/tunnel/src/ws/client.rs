//! The agent's side of getting a transport: look up, connect, TLS, upgrade.
//!
//! Four hops can fail, in four ways that a person mends in different places, so each has its own error that names the
//! hop, says what happened and where to look.

mod error;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::{SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use http::{HeaderValue, Request};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion};
use tokio::io::BufReader;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::either::Either;

use super::{
    CONNECT_PATH, Endpoint, SUBPROTOCOL, WebSocket, client_config, mask::Masking, opening::Opening,
};

pub use error::ConnectError;

/// What an agent's link runs over: TCP, or TLS over TCP. The library for TLS reads 4 KiB at a time; from a buffer, 100 KiB
/// cost 5 system calls instead of 27.
pub type Socket = Either<TcpStream, TlsStream<BufReader<TcpStream>>>;

/// Bytes of TLS records read at once: two of full size (RFC 8446 section 5.1).
const RECORDS: usize = 32 * 1024;

/// How to connect.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Longest time for each hop: look-up, TCP, TLS, upgrade. Default 10 s.
    pub timeout: Duration,
    /// TLS for `https` endpoints, from [`client_config`]; `None` loads the machine's authorities at each connection.
    pub tls: Option<Arc<ClientConfig>>,
    /// The `User-Agent` of the upgrade request. Default `adit-agent/` and the version.
    pub user_agent: HeaderValue,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            tls: None,
            user_agent: HeaderValue::from_static(concat!("adit-agent/", env!("CARGO_PKG_VERSION"))),
        }
    }
}

/// A transport that is ready for the handshake.
#[derive(Debug)]
pub struct Connected {
    /// The open WebSocket.
    pub transport: WebSocket<Socket>,
    /// The address that answered.
    pub peer: SocketAddr,
    /// What binds a registration to this TLS connection (RFC 9266 in spirit: 32 exported bytes as base64url); `None`
    /// without TLS 1.3.
    pub channel: Option<String>,
}

/// Opens a WebSocket to the server's connect path.
///
/// # Errors
/// The hop that failed. All of them may pass with time; none is retried here.
///
/// # Cancel safety
/// Dropping the future closes whatever was open.
pub async fn connect(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<Connected, ConnectError> {
    let within = Hops {
        endpoint,
        limit: options.timeout,
    };
    let (socket, peer) = open(endpoint, options).await?;
    let channel = match &socket {
        Either::Left(_) => None,
        Either::Right(tls) => exported(tls),
    };
    let transport = within
        .time("opening the WebSocket", upgrade(endpoint, options, socket))
        .await?;
    Ok(Connected {
        transport,
        peer,
        channel,
    })
}

/// Opens TCP to the server, and TLS where it is to be had: ready for HTTP.
pub(crate) async fn open(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<(Socket, SocketAddr), ConnectError> {
    let (tcp, peer) = open_tcp(endpoint, options.timeout).await?;
    if !endpoint.is_tls() {
        return Ok((Either::Left(tcp), peer));
    }
    let within = Hops {
        endpoint,
        limit: options.timeout,
    };
    let tls = within
        .time("agreeing on TLS", secure(endpoint, options, tcp))
        .await?;
    Ok((Either::Right(tls), peer))
}

/// Opens TCP to host and port of an endpoint, and nothing on it. `limit` is for each of its two hops.
pub(crate) async fn open_tcp(
    endpoint: &Endpoint,
    limit: Duration,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let within = Hops { endpoint, limit };
    let addresses = within
        .time("looking up its name", look_up(endpoint))
        .await?;
    within.time("connecting", dial(endpoint, addresses)).await
}

/// Holds each hop to the time it may take.
struct Hops<'a> {
    endpoint: &'a Endpoint,
    limit: Duration,
}

impl Hops<'_> {
    async fn time<T>(
        &self,
        hop: &'static str,
        work: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        timeout(self.limit, work).await.unwrap_or_else(|_| {
            Err(ConnectError::TimedOut {
                endpoint: self.endpoint.clone(),
                hop,
                after: self.limit,
            })
        })
    }
}

async fn look_up(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Some(ip) = endpoint.ip() {
        return Ok(vec![SocketAddr::new(ip, endpoint.port())]);
    }
    let host = endpoint.audience();
    if host == "localhost" || host.ends_with(".localhost") {
        // This machine, whatever a resolver says (RFC 6761 section 6.3); many know only the bare name.
        let here: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(here.map(|ip| SocketAddr::new(ip, endpoint.port())).to_vec());
    }
    let found = lookup_host((host.as_str(), endpoint.port()))
        .await
        .map(Iterator::collect::<Vec<_>>);
    let addresses = match found {
        Ok(addresses) => addresses,
        Err(source) => return Err(ConnectError::Lookup { host, source }),
    };
    if addresses.is_empty() {
        let source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(ConnectError::Lookup { host, source });
    }
    Ok(addresses)
}

/// After how long the next address is tried beside those that have not answered (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first address that answers. All are tried, in the resolver's order, each a moment after the one before.
async fn dial(
    endpoint: &Endpoint,
    addresses: Vec<SocketAddr>,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        attempts.extend(waiting.next().map(dial_one));
        tokio::select! {
            biased;
            attempt = attempts.next() => match attempt {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(error)) => last = error,
                None => return Err(ConnectError::Connect { endpoint: endpoint.clone(), source: last }),
            },
            () = sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
        }
    }
}

async fn dial_one(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let tcp = TcpStream::connect(address).await?;
    // Frames are small and are batched here already: Nagle would add 40 ms to each round trip.
    tcp.set_nodelay(true)?;
    Ok((tcp, address))
}

async fn secure(
    endpoint: &Endpoint,
    options: &ConnectOptions,
    tcp: TcpStream,
) -> Result<TlsStream<BufReader<TcpStream>>, ConnectError> {
    let config = match &options.tls {
        Some(config) => Arc::clone(config),
        None => client_config(None)?,
    };
    let failed = |source| ConnectError::Tls {
        endpoint: endpoint.clone(),
        source,
    };
    let name = ServerName::try_from(endpoint.audience())
        .map_err(|error| failed(io::Error::other(error)))?;
    TlsConnector::from(config)
        .connect(name, BufReader::with_capacity(RECORDS, tcp))
        .await
        .map_err(failed)
}

/// The TLS exporter value (RFC 8446 section 7.5) that a registration claims as its channel. Only TLS 1.3 binds it to
/// the whole handshake.
fn exported<IO>(tls: &TlsStream<IO>) -> Option<String> {
    let (_, connection) = tls.get_ref();
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let value = connection
        .export_keying_material([0; 32], super::CHANNEL_LABEL, None)
        .ok()?;
    Some(BASE64URL_NOPAD.encode(&value))
}

async fn upgrade(
    endpoint: &Endpoint,
    options: &ConnectOptions,
    socket: Socket,
) -> Result<WebSocket<Socket>, ConnectError> {
    let broken = |error: WsError| not_upgraded(endpoint, error);
    let mut request = request(endpoint).map_err(broken)?;
    request
        .headers_mut()
        .insert(USER_AGENT, options.user_agent.clone());
    // Boxed: the library's handshake is large, and this future is part of many others.
    let (opened, _) = Box::pin(client_async(request, Opening::new(socket)))
        .await
        .map_err(broken)?;
    let (socket, behind) = opened.into_inner().into_parts();
    let masking = Masking::client(endpoint.is_tls());
    Ok(WebSocket::new(socket, masking, &behind))
}

fn request(endpoint: &Endpoint) -> Result<Request<()>, WsError> {
    // The scheme is only looked at, not acted on: TLS is in place already.
    let mut request =
        format!("ws://{}{CONNECT_PATH}", endpoint.authority()).into_client_request()?;
    request.headers_mut().insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    Ok(request)
}

fn not_upgraded(endpoint: &Endpoint, error: WsError) -> ConnectError {
    let endpoint = endpoint.clone();
    match error {
        WsError::Http(response) => ConnectError::refused(endpoint, &response),
        WsError::Io(source) => ConnectError::Upgrade {
            endpoint,
            reason: format!("the connection failed: {source}"),
        },
        other => ConnectError::Upgrade {
            endpoint,
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
