//! Reaching a remote: its name to addresses, each of them checked, and the connection's own address once more.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Host;

use super::reset;
use crate::config::{Config, Family};
use crate::error::{BareError, Code};
use crate::filter::Rules;
use crate::target::Target;

/// Names that are looked up at a time: the system's resolver takes a thread for each.
const MAX_LOOKUPS: usize = 64;

/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A byte stream both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// A connection to a remote, with or without TLS.
pub(super) type Io = Pin<Box<dyn Stream>>;

/// Dials remotes.
pub(super) struct Dialler {
    rules: Rules,
    family: Family,
    local_address: Option<IpAddr>,
    tls: TlsConnector,
    lookups: Semaphore,
}

impl Dialler {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            rules: config.rules.clone(),
            family: config.family,
            local_address: config.local_address,
            tls: TlsConnector::from(Arc::clone(&config.tls)),
            lookups: Semaphore::new(MAX_LOOKUPS),
        }
    }

    /// Whether this host and port may be asked for at all.
    pub(super) fn check(&self, target: &Target) -> Result<(), BareError> {
        if self.rules.allow_host(&target.host) && self.rules.allow_port(target.port) {
            return Ok(());
        }
        let why = "This server does not fetch from that host or port.";
        Err(BareError::forbidden(target.named_by, why))
    }

    /// Connects. Dropping the future gives up.
    pub(super) async fn dial(&self, target: &Target) -> Result<Io, BareError> {
        let addresses = self.addresses(target).await?;
        let tcp = self.connect(&addresses).await?;
        // What is connected is what counts.
        let peer = tcp.peer_addr().map_err(|_| reset())?;
        if !self.rules.allow_address(peer.ip()) {
            return Err(BareError::forbidden_address());
        }
        if let Err(error) = listen::tune(&tcp) {
            tracing::debug!(%error, "a socket option was refused");
        }
        if !target.tls {
            return Ok(Box::pin(tcp));
        }
        let name = server_name(&target.host).ok_or_else(unresolved)?;
        let tls = self.tls.connect(name, tcp).await;
        let tls = tls.map_err(|error| tls_failed(&error))?;
        Ok(Box::pin(tls))
    }

    /// The addresses of the target, all of which may be dialled: a name with one that may not is not trusted with the others.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, BareError> {
        let port = target.port;
        let found: Vec<SocketAddr> = match &target.host {
            Host::Ipv4(address) => vec![(*address, port).into()],
            Host::Ipv6(address) => vec![(*address, port).into()],
            Host::Domain(name) => {
                // The semaphore is never closed.
                let _permit = self.lookups.acquire().await;
                let found = lookup_host((&**name, port)).await;
                found.map_err(|_| unresolved())?.collect()
            }
        };
        if !found
            .iter()
            .all(|found| self.rules.allow_address(found.ip()))
        {
            return Err(BareError::forbidden_address());
        }
        let wanted = |found: &SocketAddr| self.family.takes(found.ip());
        let addresses: Vec<_> = found
            .into_iter()
            .filter(wanted)
            .take(MAX_ADDRESSES)
            .collect();
        if addresses.is_empty() {
            return Err(unresolved());
        }
        Ok(addresses)
    }

    /// The first address that answers.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, BareError> {
        let mut last = None;
        for address in addresses {
            match self.connect_to(*address).await {
                Ok(tcp) => return Ok(tcp),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(unresolved, |error| unreachable(&error)))
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        if let Some(local) = self.local_address {
            socket.bind((local, 0).into())?;
        }
        socket.connect(address).await
    }
}

fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).ok(),
        Host::Ipv4(address) => Some(IpAddr::V4(*address).into()),
        Host::Ipv6(address) => Some(IpAddr::V6(*address).into()),
    }
}

fn unresolved() -> BareError {
    let why = "The specified host could not be resolved.";
    BareError::internal(Code::HostNotFound, "request", why)
}

/// Why there is no connection.
pub(super) fn unreachable(error: &io::Error) -> BareError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => {
            let why = "The remote rejected the request.";
            BareError::internal(Code::ConnectionRefused, "response", why)
        }
        Kind::TimedOut => super::timed_out("The remote could not be reached in time."),
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::NotConnected
        | Kind::UnexpectedEof
        | Kind::WriteZero => reset(),
        _ => {
            let why = "There is no way to the remote.";
            BareError::internal(Code::Unknown, "response", why)
        }
    }
}

fn tls_failed(error: &io::Error) -> BareError {
    if error.kind() != io::ErrorKind::InvalidData {
        return unreachable(error);
    }
    let why = format!("No TLS with the remote: {error}");
    BareError::internal(Code::ImplTlsFailed, "response", why)
}
