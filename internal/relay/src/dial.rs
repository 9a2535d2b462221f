//! Connecting to the upstream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use url::Host;

use crate::config::Config;
use crate::socket::{self, Io, Socket};
use crate::upstream::Upstream;

/// What belongs to the hop behind (RFC 9110, 7.6.1), or to its handshake (RFC 6455, 4.1).
const OF_THE_HOP: [HeaderName; 13] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("it does not listen: {0}")]
    Tcp(io::Error),
    #[error("no TLS connection: {0}")]
    Tls(io::Error),
    #[error("there are no certificates to trust it by")]
    NoRoots,
    #[error("its name is none for TLS: {0}")]
    Name(#[from] InvalidDnsNameError),
    #[error("it does not speak WebSocket: {0}")]
    Handshake(Box<Error>),
    #[error("it did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Dials one upstream.
#[derive(Debug)]
pub(crate) struct Dialer {
    upstream: Upstream,
    tls: Option<Arc<ClientConfig>>,
    within: Duration,
    config: WebSocketConfig,
}

/// A connection, and the subprotocol that the upstream chose.
pub(crate) type Dialled = (Socket, Option<HeaderValue>);

impl Dialer {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            upstream: config.upstream.clone(),
            tls: config.tls.clone(),
            within: config.connect,
            config: socket::config(&config.limits),
        }
    }

    /// Connects with these fields of a visitor's in the request. Dropping the future gives up.
    pub(crate) async fn dial(&self, fields: &HeaderMap) -> Result<Dialled, DialError> {
        timeout(self.within, self.connect(fields))
            .await
            .unwrap_or(Err(DialError::TimedOut(self.within)))
    }

    async fn connect(&self, fields: &HeaderMap) -> Result<Dialled, DialError> {
        let tcp = self.tcp().await.map_err(DialError::Tcp)?;
        let io: Box<dyn Io> = if self.upstream.is_tls() {
            Box::new(self.secure(tcp).await?)
        } else {
            Box::new(tcp)
        };
        let handshake = |error| DialError::Handshake(Box::new(error));
        let mut request = self
            .upstream
            .uri()
            .clone()
            .into_client_request()
            .map_err(handshake)?;
        for (name, value) in fields {
            request.headers_mut().append(name, value.clone());
        }
        let (socket, response) = client_async_with_config(request, io, Some(self.config))
            .await
            .map_err(handshake)?;
        let chosen = response.headers().get(SEC_WEBSOCKET_PROTOCOL).cloned();
        Ok((socket, chosen))
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        let port = self.upstream.port();
        let tcp = match self.upstream.host() {
            Host::Domain(name) => TcpStream::connect((name.as_str(), port)).await?,
            Host::Ipv4(address) => TcpStream::connect((*address, port)).await?,
            Host::Ipv6(address) => TcpStream::connect((*address, port)).await?,
        };
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    async fn secure(&self, tcp: TcpStream) -> Result<impl Io + use<>, DialError> {
        let config = self.tls.clone().ok_or(DialError::NoRoots)?;
        let name = match self.upstream.host() {
            Host::Domain(name) => ServerName::try_from(name.clone())?,
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(*address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(*address)),
        };
        let connecting = TlsConnector::from(config).connect(name, tcp);
        connecting.await.map_err(DialError::Tls)
    }
}

/// A visitor's fields without those of their own hop. The upstream is told who asks, as if it were asked directly.
pub(crate) fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let mut fields = headers.clone();
    for name in OF_THE_HOP.iter().chain(&named) {
        fields.remove(name);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_learns_who_asks_and_nothing_of_the_hop_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "public.example"),
            ("connection", "Upgrade, X-Hop"),
            ("upgrade", "websocket"),
            ("x-hop", "1"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("sec-websocket-protocol", "chat"),
            ("cookie", "a=b"),
            ("authorization", "Bearer t"),
            ("x-forwarded-for", "192.0.2.1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let mut left: Vec<_> = passed_on(&headers)
            .keys()
            .map(ToString::to_string)
            .collect();
        left.sort();
        let expected = [
            "authorization",
            "cookie",
            "sec-websocket-protocol",
            "x-forwarded-for",
        ];
        assert_eq!(left, expected);
    }
}
