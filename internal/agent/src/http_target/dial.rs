//! Connections to the one place of a target.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;
use tower::ServiceExt as _;

use super::url::Place;
use super::{ProxyProtocol, TargetUrl, deepest};
use crate::TargetError;

/// A connection to a target.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// Dials its own place; nobody can ask it for another one.
#[derive(Clone)]
pub(super) struct Dial {
    to: To,
    /// How the target is told whom a connection is for.
    announce: Option<ProxyProtocol>,
}

#[derive(Clone)]
enum To {
    /// Every address of the host is tried, both families side by side (RFC 8305), and bytes leave without waiting for
    /// more.
    Tcp(HttpConnector, Uri),
    Unix(Arc<Path>),
}

impl Dial {
    pub(super) fn new(
        url: &TargetUrl,
        connect_timeout: Duration,
        announce: Option<ProxyProtocol>,
    ) -> Self {
        let to = match url.place() {
            Place::Tcp(authority) => tcp(authority, connect_timeout),
            Place::Unix(path) => To::Unix(path.as_path().into()),
        };
        Self { to, announce }
    }

    /// Whose connection one is that was made for `visitor`, where it is not everybody's.
    pub(super) fn owner(&self, visitor: SocketAddr) -> Option<SocketAddr> {
        self.announce.map(|_| visitor)
    }

    /// A new connection for `visitor`. Dropping the future gives the attempt up.
    pub(super) async fn connect(
        &self,
        visitor: SocketAddr,
    ) -> Result<TokioIo<Socket>, TargetError> {
        let mut socket = self.open().await?;
        if let Some(protocol) = self.announce {
            let service = match &socket {
                Either::Left(tcp) => tcp.peer_addr().ok(),
                Either::Right(_) => None,
            };
            let header = protocol.header(visitor, service);
            let written = socket.write_all(&header).await;
            written.map_err(|error| unreachable(&error))?;
        }
        Ok(TokioIo::new(socket))
    }

    async fn open(&self) -> Result<Socket, TargetError> {
        match &self.to {
            To::Tcp(http, url) => {
                let dialled = http.clone().oneshot(url.clone()).await;
                let io = dialled.map_err(|error| unreachable(&error))?;
                Ok(Either::Left(io.into_inner()))
            }
            To::Unix(path) => {
                let dialled: io::Result<_> = UnixStream::connect(path).await;
                dialled
                    .map(Either::Right)
                    .map_err(|error| unreachable(&error))
            }
        }
    }
}

fn tcp(authority: &Authority, connect_timeout: Duration) -> To {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(connect_timeout));
    http.set_nodelay(true);
    let url = Uri::builder()
        .scheme("http")
        .authority(authority.clone())
        .path_and_query("/")
        .build()
        .expect("scheme, authority and path make a URI");
    To::Tcp(http, url)
}

fn unreachable(error: &(dyn std::error::Error + 'static)) -> TargetError {
    TargetError::Unreachable(format!("cannot connect to the target: {}", deepest(error)))
}
