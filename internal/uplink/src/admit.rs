//! One agent, from its first byte to its last: handshake, claim, link, end.
//!
//! The order is the point. The caps were asked before this began. The signature
//! is verified before anything is claimed; the link can be found before it is
//! announced, so that no visitor who was routed here meets nobody; and whatever
//! was announced is withdrawn, however the rest goes.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bus::{Announcement, LinkId, Mode, SessionId};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use identity::{Claims, VerifiedRegistration, random_bytes};
use messages::{Granted, NodeId, PolicyId, Refused};
use tokio::time::{Instant, timeout, timeout_at};
use tunnel::{
    Keepalive, LinkEnd, Outbox, Transport, drive,
    handshake::{Claimant, GreetError, HandshakeError, ServerTerms, greet},
};

use crate::{
    admission::PendingPermit,
    link::{self, Link},
    refusal,
    throttle::Throttle,
    traffic::Traffic,
    uplink::Uplink,
};

/// A link's operations on the directory, in order: a late announcement never
/// undoes a withdrawal.
const ANNOUNCE: u64 = 1;
const WITHDRAW: u64 = 2;

/// How long a withdrawal may take. A route that stays ends with the node's
/// lease, and an edge that follows it is told that nobody is here.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(5);

/// Where an agent came in.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) peer: SocketAddr,
    /// When it must hold a registration, or go.
    pub(crate) deadline: Instant,
    pub(crate) permit: PendingPermit,
}

/// Why an agent holds no link. It has been told what it could be told.
#[derive(Debug, thiserror::Error)]
enum Rejected {
    #[error(transparent)]
    Greeting(#[from] GreetError),
    #[error("registration refused: {} ({})", .0.message, .0.code.as_str())]
    Refused(Refused),
    #[error("it did not take its registration: {0}")]
    Unheard(#[from] HandshakeError),
    #[error("the handshake was not finished in time")]
    TimedOut,
    #[error("this server is going down")]
    Stopping,
}

/// Runs one connection. Never fails: whatever goes wrong is told to the agent and
/// to the log.
pub(crate) async fn run<T: Transport>(uplink: &Arc<Uplink>, mut transport: T, arrival: Arrival) {
    let Arrival {
        peer,
        deadline,
        permit,
    } = arrival;
    // Boxed, both halves of the handshake: what they need would be held for as long as the link lives.
    let welcomed = Box::pin(welcome(uplink, &mut transport, peer, deadline)).await;
    let claimant = match welcomed {
        Ok(claimant) => claimant,
        Err(rejected) => return turn_away(uplink, peer, &rejected),
    };
    let link = new_link(uplink, claimant.registration());
    let entered = uplink.registry.insert(link.clone());
    let granted = timeout_at(deadline, Box::pin(grant(uplink, &link, claimant))).await;
    match granted.unwrap_or(Err(Rejected::TimedOut)) {
        Ok(()) => {
            let _place = permit.into_link();
            serve(uplink, &link, transport, peer).await;
        }
        Err(rejected) => {
            turn_away(uplink, peer, &rejected);
            if let Rejected::Refused(_) = rejected {
                // Nothing was announced, so there is nothing to withdraw.
                return;
            }
        }
    }
    drop(entered);
    withdraw(uplink, &link).await;
}

/// Hears who it is. Nothing within the deadline ends the connection.
async fn welcome<'t, T: Transport>(
    uplink: &Uplink,
    transport: &'t mut T,
    peer: SocketAddr,
    deadline: Instant,
) -> Result<Claimant<'t, T>, Rejected> {
    let config = &uplink.config;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let accepts = |audience: &str| config.accepts_audience(audience, peer.ip());
    let terms = ServerTerms {
        node: uplink.bus.node(),
        domain: &config.domain,
        time: since_1970.unwrap_or_default().as_secs(),
        limits: &config.limits,
        accepts_audience: &accepts,
        channel: None,
        timeout: deadline.saturating_duration_since(Instant::now()),
    };
    tokio::select! {
        greeted = greet(transport, &terms) => Ok(greeted?),
        () = uplink.stopping.cancelled() => Err(Rejected::Stopping),
    }
}

/// Claims the tunnel in the directory, and answers the agent.
async fn grant<T: Transport>(
    uplink: &Uplink,
    link: &Link,
    claimant: Claimant<'_, T>,
) -> Result<(), Rejected> {
    let claims = claimant.registration().claims();
    // The link can be found already: a drain that begins now sees it.
    let claimed = if uplink.is_draining() {
        Err(refusal::draining())
    } else {
        let announced = uplink.directory.announce(announcement(link, claims)).await;
        announced.map_err(refusal::of_directory)
    };
    match claimed {
        Ok(announced) => {
            let generation = *link.generation.get_or_init(|| announced.generation);
            let granted = granted(uplink, claimant.registration(), generation);
            let _registration = claimant.grant(granted).await?;
            Ok(())
        }
        Err(refused) => {
            // Best effort: the reason stays the refusal.
            drop(claimant.refuse(refused.clone()).await);
            Err(Rejected::Refused(refused))
        }
    }
}

fn new_link(uplink: &Uplink, registration: &VerifiedRegistration) -> Arc<Link> {
    // Random, so that no two links of a fleet share an id.
    let id = LinkId(u64::from_be_bytes(random_bytes()));
    let max_streams = usize::try_from(uplink.config.max_streams).unwrap_or(usize::MAX);
    Link::new(
        (id, registration.tunnel_id()),
        Outbox::default(),
        uplink.bus.clone(),
        uplink.counters.clone(),
        max_streams,
    )
}

fn announcement(link: &Link, claims: &Claims) -> Announcement {
    Announcement {
        tunnel: link.tunnel,
        link: link.id,
        session: session_id(&claims.session),
        generation: claims.generation,
        mode: match claims.mode {
            identity::Mode::Exclusive => Mode::Exclusive,
            identity::Mode::Shared => Mode::Shared,
        },
        version: ANNOUNCE,
        owner: link.tunnel.0,
        policy: PolicyId::NONE,
        document: Bytes::new(),
    }
}

/// Verification has checked the spelling: 32 hexadecimal digits.
fn session_id(hex: &str) -> SessionId {
    let mut session = SessionId::default();
    let decoded = HEXLOWER.decode_mut(hex.as_bytes(), &mut session);
    debug_assert!(
        decoded.is_ok(),
        "a verified session is 16 bytes in hexadecimal"
    );
    session
}

fn granted(uplink: &Uplink, registration: &VerifiedRegistration, generation: u64) -> Granted {
    let config = &uplink.config;
    let label = registration.label();
    let hostname = format!("{label}.{}", config.domain);
    let node: NodeId = uplink.bus.node();
    Granted {
        key_id: registration.key().thumbprint().to_string(),
        url: config.public_url.of(&hostname),
        tunnel: label,
        hostname,
        node,
        generation,
        links: config.links_per_agent,
        limits: config.limits.clone(),
    }
}

/// Runs the link until it ends.
async fn serve<T: Transport>(uplink: &Uplink, link: &Arc<Link>, transport: T, peer: SocketAddr) {
    let config = &uplink.config;
    uplink.counters.granted.count();
    tracing::info!(%peer, tunnel = %link.tunnel, generation = link.generation.get(), "an agent registered");
    let throttle = Throttle::new(config.messages_per_second, config.kib_per_second);
    let traffic = Traffic::new(link.clone(), throttle, uplink.counters.clone());
    let keepalive = Keepalive {
        ping_after: config.ping_after,
        dead_after: config.dead_after,
    };
    let mut driving = pin!(drive(transport, link.outbox.clone(), traffic, keepalive));
    let end = tokio::select! {
        end = &mut driving => end,
        () = link.overstayed() => {
            link.close(link::used_up());
            driving.await
        }
    };
    if let LinkEnd::Fault(_) = end {
        uplink.counters.faults.count();
    }
    log_end(link, peer, &end);
}

async fn withdraw(uplink: &Uplink, link: &Link) {
    let withdrawal = uplink.directory.withdraw(link.tunnel, link.id, WITHDRAW);
    if !matches!(timeout(WITHDRAW_TIMEOUT, withdrawal).await, Ok(Ok(()))) {
        tracing::warn!(tunnel = %link.tunnel, "a route could not be withdrawn; it ends with this node's lease");
    }
}

fn turn_away(uplink: &Uplink, peer: SocketAddr, rejected: &Rejected) {
    uplink.counters.refused.count();
    tracing::info!(%peer, %rejected, "did not admit an agent");
}

fn log_end(link: &Link, peer: SocketAddr, end: &LinkEnd) {
    let tunnel = link.tunnel;
    match end {
        LinkEnd::Closed => tracing::info!(%tunnel, %peer, "an agent closed its link"),
        LinkEnd::Dead => tracing::info!(%tunnel, %peer, "an agent fell silent"),
        LinkEnd::Transport(error) => {
            tracing::info!(%tunnel, %peer, %error, "an agent's connection was lost");
        }
        LinkEnd::Disconnected(why) => {
            tracing::info!(%tunnel, %peer, code = why.code.as_str(), reason = why.reason, "an agent left");
        }
        LinkEnd::Fault(fault) => {
            tracing::warn!(%tunnel, %peer, %fault, "ended a link: its agent broke the protocol");
        }
        LinkEnd::Local(why) => {
            let code = why.as_ref().map(|why| why.code.as_str());
            tracing::info!(%tunnel, %peer, code, "ended a link");
        }
    }
}
