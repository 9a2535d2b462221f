//! The ways to a server: by WebSocket, over TCP with a ticket, or whichever of the two gets through.
//!
//! Of two ways one is tried first, and the other beside it as soon as that has failed or has had its time. A network that
//! swallows one of them costs a moment when a link is made, and nothing for a while after that: what did not get through
//! is tried last then.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use futures_util::{FutureExt as _, StreamExt as _};
use messages::{Frame, Message};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;
use tunnel::Transport;
use tunnel::channel::{self, Lent, Records, hear_offer};
use tunnel::handshake::{HANDSHAKE_TIMEOUT, HandshakeError};
use tunnel::ws::{self, WebSocket};

use super::wish::Wishes;
use crate::error::{LinkError, printable};
use crate::transport::{Transports, Via};

/// What carries a link.
pub(super) type Carrier = Either<WebSocket<ws::Socket>, Records<TlsStream<Lent>>>;

/// A way to get a transport.
pub(super) type Connect<T> =
    Box<dyn Fn() -> BoxFuture<'static, Result<Reached<T>, LinkError>> + Send + Sync>;

/// A transport to a server that has let it in.
pub(super) struct Reached<T> {
    pub(super) transport: T,
    /// What binds a registration to it.
    pub(super) channel: Option<String>,
    pub(super) via: Via,
    /// What has been heard on it already.
    pub(super) heard: Option<Bytes>,
}

/// How long the first way has before the other is tried beside it: less than a second is lost by a way that leads nowhere.
/// Over TCP it takes some seven round trips.
const HEAD_START: Duration = Duration::from_millis(900);

/// How long a way that did not get through is tried last.
const MISTRUST: Duration = Duration::from_secs(10 * 60);

/// Reaches one server.
pub(super) struct Reacher {
    wishes: Wishes,
    /// The way that did not get through, until then.
    mistrusted: Mutex<Option<(Via, Instant)>>,
}

impl Reacher {
    pub(super) fn new(wishes: Wishes) -> Self {
        Self {
            wishes,
            mistrusted: Mutex::default(),
        }
    }

    /// Makes one attempt.
    ///
    /// # Errors
    /// Why it failed; of two ways the WebSocket's reason.
    ///
    /// # Cancel safety
    /// Dropping it closes the connections in the making.
    pub(super) async fn reach(&self) -> Result<Reached<Carrier>, LinkError> {
        match self.wishes.config.transports {
            Transports::WebSocket => self.by(Via::WebSocket).await,
            Transports::Tcp => self.by(Via::Tcp).await,
            Transports::Auto => {
                let first = self.first();
                let (outcome, failed) = race(first, |via| self.greeted(via)).await;
                if let Some(via) = failed.filter(|_| outcome.is_ok()) {
                    self.mistrust(via);
                }
                outcome
            }
        }
    }

    /// A server's own offer of TCP is preferred, unless it has just led nowhere.
    fn first(&self) -> Via {
        let mistrusted = *self.lock();
        match mistrusted {
            Some((Via::Tcp, until)) if Instant::now() < until => Via::WebSocket,
            _ => Via::Tcp,
        }
    }

    fn mistrust(&self, via: Via) {
        *self.lock() = Some((via, Instant::now() + MISTRUST));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Via, Instant)>> {
        self.mistrusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn by(&self, via: Via) -> Result<Reached<Carrier>, LinkError> {
        match via {
            Via::WebSocket => self.by_websocket().await,
            Via::Tcp => self.over_tcp().await,
        }
    }

    async fn by_websocket(&self) -> Result<Reached<Carrier>, LinkError> {
        let config = &self.wishes.config;
        let connected = ws::connect(&config.server, &config.connect).await?;
        Ok(Reached {
            transport: Either::Left(connected.transport),
            channel: connected.channel,
            via: Via::WebSocket,
            heard: None,
        })
    }

    async fn over_tcp(&self) -> Result<Reached<Carrier>, LinkError> {
        let config = &self.wishes.config;
        let offer = hear_offer(&config.server, &config.connect).await?;
        let terms = self.wishes.terms.stated();
        let wish = self.wishes.under(&offer.hello().domain, &terms)?;
        let ticket = offer.ask(&config.key, &wish).await?;
        let connected = channel::connect(&ticket, &config.key, config.connect.timeout).await?;
        Ok(Reached {
            transport: Either::Right(connected.transport),
            channel: Some(connected.channel),
            via: Via::Tcp,
            heard: None,
        })
    }

    /// The same, when a first word has come through: some networks let a connection be made and nothing over it.
    async fn greeted(&self, via: Via) -> Result<Reached<Carrier>, LinkError> {
        let mut reached = self.by(via).await?;
        reached.heard = Some(first_word(&mut reached.transport).await?);
        Ok(reached)
    }
}

/// The first message, if it is no goodbye.
async fn first_word<T: Transport>(transport: &mut T) -> Result<Bytes, HandshakeError> {
    let next = timeout(HANDSHAKE_TIMEOUT, transport.next()).await;
    let word = next
        .map_err(|_| HandshakeError::TimedOut)?
        .ok_or(HandshakeError::Closed)??;
    let frame = Frame::decode(word.clone())?;
    if let Ok(Message::Disconnect(mut last)) = Message::decode(&frame) {
        last.reason = printable(&last.reason);
        return Err(HandshakeError::Disconnected(last));
    }
    Ok(word)
}

/// Tries `first`, and the other way beside it when that has failed or has had its time. Gives what came first, and the way
/// that did not get through by then.
async fn race<'a, T, F>(first: Via, by: impl Fn(Via) -> F) -> (Result<T, LinkError>, Option<Via>)
where
    T: Send + 'a,
    F: Future<Output = Result<T, LinkError>> + Send + 'a,
{
    let mut lead = by(first).boxed();
    let second = first.other();
    let failed = tokio::select! {
        biased;
        outcome = &mut lead => match outcome {
            Ok(reached) => return (Ok(reached), None),
            Err(error) if error.is_final() => return (Err(error), None),
            Err(error) => Some(error),
        },
        () = sleep(HEAD_START) => None,
    };
    if let Some(error) = failed {
        tracing::debug!(via = first.as_str(), %error, "this way did not get through; trying the other");
        let outcome = by(second).await;
        return (worse(second, outcome, first, error), Some(first));
    }
    tracing::debug!(
        via = first.as_str(),
        "this way takes its time; trying the other beside it"
    );
    let mut rival = by(second).boxed();
    let (winner, outcome) = tokio::select! {
        biased;
        outcome = &mut lead => (first, outcome),
        outcome = &mut rival => (second, outcome),
    };
    let loser = winner.other();
    match outcome {
        // What came second because it was begun second is nothing to hold against it.
        Ok(reached) if winner == first => (Ok(reached), None),
        Ok(reached) => (Ok(reached), Some(loser)),
        Err(error) if error.is_final() => (Err(error), None),
        Err(error) => {
            let left = if loser == first { lead } else { rival };
            let outcome = left.await;
            (worse(loser, outcome, winner, error), Some(winner))
        }
    }
}

/// The last outcome; or, when both ways have failed, why the WebSocket did: that is what a person can look into with a
/// browser.
fn worse<T>(
    last: Via,
    outcome: Result<T, LinkError>,
    earlier: Via,
    error: LinkError,
) -> Result<T, LinkError> {
    match (outcome, earlier) {
        (Err(latest), Via::WebSocket) if !latest.is_final() => {
            tracing::debug!(via = last.as_str(), error = %latest, "neither way got through");
            Err(error)
        }
        (outcome, _) => outcome,
    }
}

#[cfg(test)]
mod tests;
