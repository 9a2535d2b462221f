//! Why there is no channel, in sentences that name the hop and what to look at.

use std::io;
use std::time::Duration;

use crate::handshake::RegisterError;
use crate::ws::{ConnectError, Endpoint};

/// Where getting a channel failed, and what to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The server could not be asked for a ticket.
    #[error(transparent)]
    Asking(#[from] ConnectError),
    /// The server has no channel.
    #[error(
        "{0} offers no channel over TCP; its operator would have to start it with --channel-listen (--transport ws or auto goes without)"
    )]
    NotOffered(Endpoint),
    /// The server is not the one that is wanted, or gives this key no ticket.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// What the server says is no Hello and no ticket.
    #[error("{endpoint} gives no ticket: {reason}; check that it is an adit-server")]
    Answer {
        /// The server.
        endpoint: Endpoint,
        /// What is wrong.
        reason: String,
    },
    /// The ticket cannot be used.
    #[error(
        "the server gave a ticket that cannot be used: {0}; its operator should look at --channel-advertise"
    )]
    Ticket(String),
    /// TCP.
    #[error(
        "cannot connect to the server's channel at {address}: {source}; check that no firewall is between, or use --transport ws"
    )]
    Open {
        /// Host and port, as the ticket says.
        address: String,
        /// Of the last address that was tried.
        source: io::Error,
    },
    /// TLS.
    #[error("no encrypted channel with {address}: {source}; {}", tls_hint(source))]
    Tls {
        /// Host and port, as the ticket says.
        address: String,
        /// What TLS objects to.
        source: io::Error,
    },
    /// A hop took too long.
    #[error(
        "the server's channel at {address} did not answer in {} s; check firewalls that swallow packets, or use --transport ws",
        after.as_secs_f32()
    )]
    TimedOut {
        /// Host and port, as the ticket says.
        address: String,
        /// The limit.
        after: Duration,
    },
}

fn tls_hint(error: &io::Error) -> &'static str {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => {
            "another server than the one that gave the ticket answers there: nodes behind one --channel-advertise need one channel_key_file"
        }
        _ => "something else may listen there, or the server has turned this agent away",
    }
}
