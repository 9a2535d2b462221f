//! The conversation that makes a link of a transport, both ends of it.
//!
//! ```text
//! server                              agent
//!   Hello {nonce, domain, time} ──────►        is this the domain I want?
//!         ◄────── RegistrationRequest          signed: nonce, and the host *I* dialled
//!   whose is it? may it come in?
//!   RegistrationResponse ─────────────►        is this what I asked for?
//! ```
//!
//! The server speaks first, so that what the agent signs is fresh. The agent signs the host it was told to dial and
//! never a name that the server claims, so a rogue server that relays a real one's Hello gets a signature that the
//! real one refuses. Between proof and answer the server decides about admission: [`Claimant`] is that moment, as a
//! type that must be answered.

mod error;
mod registration;
mod wanted;
mod words;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use identity::{
    Expectation, SecretKey, VerifiedRegistration, random_bytes, sign_registration,
    verify_registration,
};
use messages::{
    Frame, Granted, Hello, LinkLimits, Message, NodeId, PROTOCOL_VERSION, Refused,
    RegistrationResponse,
};
use tokio::time::Instant;

use crate::Transport;
use crate::text::printable;

pub use error::{GreetError, RegisterError};
pub use registration::Registration;
pub use wanted::Wanted;
pub use words::HandshakeError;
use words::{hear, say};

/// How long each side waits for the other's next word, by default.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

// The server's end.

/// What a server says of itself, and whom it lets claim it.
#[derive(Clone, Copy)]
pub struct ServerTerms<'a> {
    /// This process.
    pub node: NodeId,
    /// Under which tunnels are published.
    pub domain: &'a str,
    /// The server's clock, seconds since 1970: signatures are dated by it.
    pub time: u64,
    /// What links are held to.
    pub limits: &'a LinkLimits,
    /// Whether this host is a name of this server, for this peer: its domain, a connect name, or loopback from loopback.
    pub accepts_audience: &'a (dyn Fn(&str) -> bool + Sync),
    /// The TLS exporter value, where TLS ends in this process: then the signature must carry it.
    pub channel: Option<&'a str>,
    /// How long the agent may take for its answer, and for taking ours: [`HANDSHAKE_TIMEOUT`] unless configured.
    pub timeout: Duration,
}

impl fmt::Debug for ServerTerms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTerms")
            .field("node", &self.node)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

/// Somebody who has proved a key and waits for an answer.
#[derive(Debug)]
#[must_use = "an agent that has proved its key waits for `grant` or `refuse`"]
pub struct Claimant<'t, T> {
    transport: &'t mut T,
    registration: VerifiedRegistration,
    timeout: Duration,
}

/// Greets whoever connected and hears their proof. The nonce is drawn here, for this link alone.
///
/// # Errors
/// No valid registration came in [`ServerTerms::timeout`]. The agent has got a refusal where there was anything to refuse.
///
/// # Cancel safety
/// Not cancel safe: drop the transport with the future.
pub async fn greet<'t, T: Transport>(
    transport: &'t mut T,
    terms: &ServerTerms<'_>,
) -> Result<Claimant<'t, T>, GreetError> {
    let started = Instant::now();
    let deadline = started + terms.timeout;
    let nonce = random_bytes();
    say(transport, terms.hello(nonce).encode(), deadline).await?;
    let heard = hear(transport, deadline)
        .await
        .and_then(|message| match message {
            Message::RegistrationRequest(jws) => Ok(jws),
            _ => Err(HandshakeError::OutOfTurn),
        });
    let judged = match heard {
        Ok(jws) => terms.judge(&jws, &nonce, started.elapsed()),
        Err(error) => Err(error.into()),
    };
    match judged {
        Ok(registration) => Ok(Claimant {
            transport,
            registration,
            timeout: terms.timeout,
        }),
        Err(error) => {
            if let Some(refused) = error.refusal() {
                // Best effort: the reason for closing stays the error above.
                let answer = RegistrationResponse::Refused(refused).encode();
                drop(say(transport, answer, deadline).await);
            }
            Err(error)
        }
    }
}

impl ServerTerms<'_> {
    fn hello(&self, nonce: [u8; 32]) -> Hello {
        Hello {
            nonce,
            node: self.node,
            domain: self.domain.to_owned(),
            time: self.time,
            versions: vec![PROTOCOL_VERSION],
            limits: self.limits.clone(),
        }
    }

    fn judge(
        &self,
        jws: &Bytes,
        nonce: &[u8; 32],
        since: Duration,
    ) -> Result<VerifiedRegistration, GreetError> {
        let expectation = Expectation {
            audiences: &self.accepts_audience,
            domain: self.domain,
            nonce,
            now: self.time.saturating_add(since.as_secs()),
            channel: self.channel,
        };
        let registration = verify_registration(jws, &expectation)?;
        let versions = &registration.claims().versions;
        if !versions.contains(&PROTOCOL_VERSION) {
            return Err(GreetError::Version(versions.clone()));
        }
        Ok(registration)
    }
}

impl<T: Transport> Claimant<'_, T> {
    /// What was proved.
    pub fn registration(&self) -> &VerifiedRegistration {
        &self.registration
    }

    /// Admits the agent. The transport is a link now: [`drive`](crate::drive) it.
    ///
    /// # Errors
    /// The agent is gone, or does not take the answer in time.
    pub async fn grant(self, granted: Granted) -> Result<VerifiedRegistration, HandshakeError> {
        self.answer(RegistrationResponse::Granted(granted)).await
    }

    /// Turns the agent away, with a code for it and a sentence for its owner.
    ///
    /// # Errors
    /// The agent is gone, or does not take the answer in time.
    pub async fn refuse(self, refused: Refused) -> Result<(), HandshakeError> {
        self.answer(RegistrationResponse::Refused(refused))
            .await
            .map(drop)
    }

    async fn answer(
        self,
        response: RegistrationResponse,
    ) -> Result<VerifiedRegistration, HandshakeError> {
        // Admission may have asked a directory, so the time for the answer begins now.
        say(
            self.transport,
            response.encode(),
            Instant::now() + self.timeout,
        )
        .await?;
        Ok(self.registration)
    }
}

// The agent's end.

/// Registers on a fresh transport. On success the transport is a link: [`drive`](crate::drive) it.
///
/// # Errors
/// See [`RegisterError`]. The transport is of no use then; drop it.
///
/// # Cancel safety
/// Not cancel safe: drop the transport with the future.
pub async fn register<T: Transport>(
    transport: &mut T,
    key: &SecretKey,
    wish: &Registration,
) -> Result<Granted, RegisterError> {
    be_greeted(transport, wish).await?.register(key).await
}

/// A server that has said Hello. It knows nothing of this agent yet, and never will if the transport is dropped now: for
/// an agent that wants to be somewhere else.
#[derive(Debug)]
#[must_use = "the server waits for `register`, or for the transport to be dropped"]
pub struct Greeted<'a, T> {
    transport: &'a mut T,
    wish: &'a Registration,
    hello: Hello,
}

/// Hears the Hello of a server on a fresh transport; nothing is said yet.
///
/// # Errors
/// There was no Hello, or not of a server that this wish is for. Drop the transport.
///
/// # Cancel safety
/// Not cancel safe: drop the transport with the future.
pub async fn be_greeted<'a, T: Transport>(
    transport: &'a mut T,
    wish: &'a Registration,
) -> Result<Greeted<'a, T>, RegisterError> {
    let Message::Hello(hello) = hear(transport, Instant::now() + wish.timeout).await? else {
        return Err(HandshakeError::OutOfTurn.into());
    };
    wish.check(&hello)?;
    Ok(Greeted {
        transport,
        wish,
        hello,
    })
}

impl<T: Transport> Greeted<'_, T> {
    /// The server process at the other end.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.hello.node
    }

    /// Signs and asks; the rest of [`register`].
    ///
    /// # Errors
    /// See [`RegisterError`]. Drop the transport.
    ///
    /// # Cancel safety
    /// Not cancel safe: drop the transport with the future.
    pub async fn register(self, key: &SecretKey) -> Result<Granted, RegisterError> {
        let Self {
            transport,
            wish,
            hello,
        } = self;
        registration::check_chain(key, &hello)?;
        let jws = sign_registration(key, &wish.claims(key, &hello));
        let deadline = Instant::now() + wish.timeout;
        say(transport, Frame::registration_request(jws.into()), deadline).await?;
        match hear(transport, deadline).await? {
            Message::RegistrationResponse(RegistrationResponse::Granted(granted)) => {
                wish.check_grant(key, &hello, &granted)?;
                Ok(granted)
            }
            Message::RegistrationResponse(RegistrationResponse::Refused(mut refused)) => {
                refused.message = printable(&refused.message);
                Err(RegisterError::Refused(refused))
            }
            _ => Err(HandshakeError::OutOfTurn.into()),
        }
    }
}

#[cfg(test)]
mod tests;
