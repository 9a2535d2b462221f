//! The agent's end of a channel: TCP to where the ticket says, TLS with the key that it names, and the ticket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use identity::{PublicKey, SecretKey};
use messages::Ticket;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::keys::{client_config, nobody};
use super::socket::Lent;
use super::{ChannelError, PREFIX, Records, TICKET};
use crate::text::printable;
use crate::ws::{CHANNEL_LABEL, ConnectError, Endpoint, open_tcp};

/// A transport that is ready for the handshake.
#[derive(Debug)]
pub struct Connected {
    /// Carries the link. The server reads the ticket before it says Hello; one that it does not take ends here.
    pub transport: Records<TlsStream<Lent>>,
    /// The address that answered.
    pub peer: SocketAddr,
    /// What binds a registration to this connection: 32 exported bytes as base64url.
    pub channel: String,
}

/// Opens the channel that `ticket` is for, as the holder of `key`. `limit` is the longest time for each hop: look-up and TCP,
/// then TLS.
///
/// # Errors
/// The hop that failed. The ticket may have been used: ask for another.
///
/// # Cancel safety
/// Dropping the future closes whatever was open.
pub async fn connect(
    ticket: &Ticket,
    key: &SecretKey,
    limit: Duration,
) -> Result<Connected, ChannelError> {
    let address = printable(&ticket.address);
    let pin = PublicKey::from_bytes(&ticket.public_key)
        .map_err(|error| ChannelError::Ticket(format!("its public_key is {error}")))?;
    // Spelled like a URL with TLS, but for the scheme.
    let endpoint: Endpoint = format!("https://{}", ticket.address)
        .parse()
        .map_err(|error| ChannelError::Ticket(format!("its address is wrong: {error}")))?;
    let (tcp, peer) = open_tcp(&endpoint, limit)
        .await
        .map_err(|error| unreachable_at(&address, error))?;
    let failed = |source| ChannelError::Tls {
        address: address.clone(),
        source,
    };
    let config = client_config(key, pin).map_err(|error| failed(std::io::Error::other(error)))?;
    let securing = async {
        let connector = TlsConnector::from(Arc::new(config));
        let mut tls = connector.connect(nobody(), Lent::new(tcp)).await?;
        let mut record = [0; PREFIX + TICKET];
        record[PREFIX - 1] = 32;
        record[PREFIX..].copy_from_slice(&ticket.ticket);
        tls.write_all(&record).await?;
        tls.flush().await?;
        Ok(tls)
    };
    let tls = timeout(limit, securing).await;
    let tls = tls.map_err(|_| ChannelError::TimedOut {
        address: address.clone(),
        after: limit,
    })?;
    let tls = tls.map_err(failed)?;
    let (_, connection) = tls.get_ref();
    let exported = connection
        .export_keying_material([0; 32], CHANNEL_LABEL, None)
        .map_err(|error| failed(std::io::Error::other(error)))?;
    Ok(Connected {
        channel: BASE64URL_NOPAD.encode(&exported),
        transport: Records::new(tls),
        peer,
    })
}

fn unreachable_at(address: &str, error: ConnectError) -> ChannelError {
    let address = address.to_owned();
    match error {
        ConnectError::Lookup { source, .. } | ConnectError::Connect { source, .. } => {
            ChannelError::Open { address, source }
        }
        ConnectError::TimedOut { after, .. } => ChannelError::TimedOut { address, after },
        other => ChannelError::Open {
            address,
            source: std::io::Error::other(other),
        },
    }
}
