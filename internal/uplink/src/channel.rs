//! The door for agents that come over TCP: what the operator says about it, and
//! the accept loop behind it.
//!
//! Whoever comes has shown a key when TLS is done, and says a ticket first. From
//! there on it is an agent like any other (`admit`), under the same caps, counted
//! as a handshake in progress from the first byte. How tickets are given is the
//! business of `tickets`.

use std::{fmt, net::SocketAddr, sync::Arc};

use futures_util::SinkExt;
use identity::{PublicKey, SecretKey, TicketNonces};
use messages::{Disconnect, DisconnectCode};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout_at,
};
use tokio_util::sync::CancellationToken;
use tunnel::{
    Transport,
    channel::{Accepted, Door},
    ws::TlsError,
};

use crate::{
    admit::{self, Arrival, Shown},
    tickets::{Rejected, redeem},
    uplink::Uplink,
};

/// An encrypted channel over TCP that agents are offered. Clones are one.
#[derive(Clone)]
pub struct Channel {
    pub(crate) door: Door,
    pub(crate) nonces: Arc<TicketNonces>,
    pub(crate) advertise: Arc<str>,
    pub(crate) bind_address: bool,
}

impl Channel {
    /// A channel that shows `key`, and that agents are told to find at `advertise`,
    /// host and port. Nodes that are reached at one address, or give tickets for
    /// each other, have one key. With `bind_address` a ticket is good only from the
    /// address (the /64 for IPv6) that asked for it.
    ///
    /// # Errors
    /// The library for TLS does not take the key.
    pub fn new(key: &SecretKey, advertise: &str, bind_address: bool) -> Result<Self, TlsError> {
        Ok(Self {
            door: Door::new(key)?,
            nonces: Arc::new(TicketNonces::of(key)),
            advertise: advertise.into(),
            bind_address,
        })
    }

    /// The key that agents pin.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.door.key()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("key", &self.key())
            .field("advertise", &self.advertise)
            .field("bind_address", &self.bind_address)
            .finish_non_exhaustive()
    }
}

impl Uplink {
    /// Lets agents in over TCP until `stop`, if there is a channel. Their links run
    /// on the calling runtime. Several may accept at once.
    pub async fn serve_channel(self: &Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let Some(channel) = &self.config.channel else {
            return;
        };
        // A drain waits for this loop too: what it still takes is not to be missed.
        let _accepting = self.tasks.token();
        loop {
            tokio::select! {
                (tcp, peer) = listen::accept(&listener) => self.take(channel, tcp, peer),
                () = stop.cancelled() => break,
            }
        }
    }

    /// Over a cap a connection is closed without a word: to say one would cost a
    /// handshake. Whoever asks for a ticket is told.
    fn take(self: &Arc<Self>, channel: &Channel, tcp: TcpStream, peer: SocketAddr) {
        let Ok(permit) = self.enter(peer) else {
            return;
        };
        let (uplink, door) = (self.clone(), channel.door.clone());
        self.tasks.spawn(async move {
            let arrival = uplink.arrival(peer, permit);
            // Boxed: what the handshake of TLS needs would be held for as long as the link lives.
            let opened = Box::pin(open(&uplink, &door, tcp, arrival));
            if let Some((transport, arrival)) = opened.await {
                admit::run(&uplink, transport, arrival).await;
            }
        });
    }
}

/// A transport whose owner has shown a key and a ticket for it.
async fn open(
    uplink: &Uplink,
    door: &Door,
    tcp: TcpStream,
    arrival: Arrival,
) -> Option<(impl Transport + 'static, Arrival)> {
    let peer = arrival.peer;
    let opened = async {
        let accepted = door.accept(tcp).await;
        let accepted = accepted.inspect_err(
            |error| tracing::debug!(%peer, %error, "a connection to the channel came to nothing"),
        );
        let Accepted {
            mut transport,
            key,
            ticket,
            channel,
        } = accepted.ok()?;
        let shown = Shown { key, channel };
        match redeem(uplink, &ticket, key, peer).await {
            Ok(()) => Some((transport, shown)),
            Err(rejected) => {
                uplink.counters.tickets_refused.count();
                tracing::info!(%peer, %rejected, "did not take a ticket");
                // Best effort.
                drop(transport.send(last_word(&rejected).encode()).await);
                drop(transport.close().await);
                None
            }
        }
    };
    let opened = tokio::select! {
        opened = timeout_at(arrival.deadline, opened) => opened,
        () = uplink.stopping.cancelled() => return None,
    };
    match opened {
        Ok(opened) => {
            let (transport, shown) = opened?;
            let arrival = Arrival {
                shown: Some(shown),
                ..arrival
            };
            Some((transport, arrival))
        }
        Err(_) => {
            tracing::debug!(%peer, "a connection to the channel said nothing in time");
            None
        }
    }
}

/// What whoever gave a wrong ticket is told: it may come back with another.
fn last_word(rejected: &Rejected) -> Disconnect {
    Disconnect::new(DisconnectCode::Protocol, rejected.to_string())
}
