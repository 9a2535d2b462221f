//! The server's end of a channel: from a TCP connection to a transport, whose it is, and the ticket it was opened with.

use std::fmt;
use std::io;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use identity::{PublicKey, SecretKey};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::keys::{server_config, shown};
use super::socket::Lent;
use super::{PREFIX, Records, TICKET};
use crate::ws::{CHANNEL_LABEL, TlsError};

/// Lets connections in that show a key and a ticket. Whether the ticket is one, and the key's, is for its caller to say.
#[derive(Clone)]
pub struct Door {
    acceptor: TlsAcceptor,
    key: PublicKey,
}

/// A connection that has shown what it must.
#[derive(Debug)]
pub struct Accepted {
    /// Carries the link.
    pub transport: Records<TlsStream<Lent>>,
    /// The key that the agent has proved to hold. A registration on this transport must be signed by it.
    pub key: PublicKey,
    /// What the agent gave for a ticket.
    pub ticket: [u8; TICKET],
    /// The TLS exporter value as base64url, which the registration must carry.
    pub channel: String,
}

/// Why a connection was not let in.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// No handshake came about, or the connection ended before the ticket.
    #[error("no encrypted channel: {0}")]
    Tls(#[from] io::Error),
    /// The first record is not a ticket's id.
    #[error("the first record has {0} bytes, a ticket has {TICKET}")]
    NoTicket(u32),
    /// The library does not say what it promises.
    #[error("no encrypted channel: {0}")]
    Binding(&'static str),
}

impl Door {
    /// A door whose key agents pin.
    ///
    /// # Errors
    /// The library refuses the key or its own defaults.
    pub fn new(key: &SecretKey) -> Result<Self, TlsError> {
        let config = server_config(key)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            key: key.public(),
        })
    }

    /// The key to pin.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Hears who is there. It waits for as long as the peer does: the caller has the time.
    ///
    /// # Errors
    /// See [`AcceptError`]; the connection is closed.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn accept(&self, tcp: TcpStream) -> Result<Accepted, AcceptError> {
        // Records are small and are batched already.
        tcp.set_nodelay(true)?;
        let mut tls = self.acceptor.accept(Lent::new(tcp)).await?;
        let (_, connection) = tls.get_ref();
        let key = shown(connection.peer_certificates())
            .ok_or(AcceptError::Binding("the peer has shown no key"))?;
        let exported = connection
            .export_keying_material([0; 32], CHANNEL_LABEL, None)
            .map_err(|_| AcceptError::Binding("nothing was exported"))?;
        let mut prefix = [0; PREFIX];
        tls.read_exact(&mut prefix).await?;
        let len = u32::from_be_bytes(prefix);
        if usize::try_from(len) != Ok(TICKET) {
            return Err(AcceptError::NoTicket(len));
        }
        let mut ticket = [0; TICKET];
        tls.read_exact(&mut ticket).await?;
        Ok(Accepted {
            transport: Records::new(tls),
            key,
            ticket,
            channel: BASE64URL_NOPAD.encode(&exported),
        })
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
