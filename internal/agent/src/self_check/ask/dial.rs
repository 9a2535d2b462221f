//! A visitor's connection: the name looked up, TCP, and TLS where the URL says so.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::uri::Scheme;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;
use tunnel::ws::client_config;

use super::Place;

/// Which authorities are believed; `None` for those of this machine.
pub(super) type Tls = Option<Arc<ClientConfig>>;

pub(super) type Socket = Either<TcpStream, TlsStream<TcpStream>>;

/// Connects.
///
/// # Errors
/// The hop that failed, as a sentence.
pub(super) async fn dial(place: &Place, tls: &Tls) -> Result<Socket, String> {
    let authority = &place.authority;
    let (host, secure) = (authority.host(), place.scheme == Scheme::HTTPS);
    let port = authority
        .port_u16()
        .unwrap_or(if secure { 443 } else { 80 });
    let addresses = look_up(host, port).await;
    let addresses = addresses.map_err(|error| format!("{host} has no address: {error}"))?;
    let tcp = TcpStream::connect(&*addresses).await;
    let tcp = tcp.map_err(|error| format!("cannot connect to {host}, port {port}: {error}"))?;
    if !secure {
        return Ok(Either::Left(tcp));
    }
    let failed = |error: &dyn std::error::Error| format!("no TLS with {host}: {error}");
    let config = match tls {
        Some(config) => config.clone(),
        None => client_config(None).map_err(|error| failed(&error))?,
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
    let secured = TlsConnector::from(config).connect(name, tcp).await;
    secured.map(Either::Right).map_err(|error| failed(&error))
}

/// Names under `localhost` are this machine, whatever a resolver says (RFC 6761 section 6.3); many know only the bare one.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host == "localhost" || host.ends_with(".localhost") {
        let here: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(here.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let found: Vec<_> = lookup_host((host, port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name is not known",
        ));
    }
    Ok(found)
}
