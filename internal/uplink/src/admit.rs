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

use bus::LinkId;
use identity::{PublicKey, VerifiedRegistration, random_bytes};
use messages::{Granted, LinkLimits, NodeId, Refused};
use tokio::time::{Instant, timeout, timeout_at};
use tunnel::{
    Keepalive, LinkEnd, Outbox, Transport, drive,
    handshake::{Claimant, GreetError, HandshakeError, ServerTerms, greet},
};

use crate::{
    admission::{caps::PendingPermit, key_links::KeyPlace},
    claim::{self, Claimed, WITHDRAW},
    link::{self, Bounds, Link},
    refusal,
    traffic::Traffic,
    uplink::Uplink,
};

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
    /// What the transport itself has shown of the agent.
    pub(crate) shown: Option<Shown>,
}

/// What an agent has proved before its handshake: the channel asks for it.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The key that must sign the registration.
    pub(crate) key: PublicKey,
    /// The TLS exporter value that it must carry.
    pub(crate) channel: String,
}

/// The clock that signatures are dated by.
pub(crate) fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
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
        shown,
    } = arrival;
    let name = if shown.is_some() { "tcp" } else { "ws" };
    // Boxed, both halves of the handshake: what they need would be held for as long as the link lives.
    let welcomed = Box::pin(welcome(
        uplink,
        &mut transport,
        (peer, deadline),
        shown.as_ref(),
    ))
    .await;
    let claimant = match welcomed {
        Ok(claimant) => claimant,
        Err(rejected) => return turn_away(uplink, peer, &rejected),
    };
    let link = new_link(uplink, claimant.registration());
    let entered = uplink.registry.insert(link.clone());
    let granted = timeout_at(deadline, Box::pin(grant(uplink, &link, claimant))).await;
    match granted.unwrap_or(Err(Rejected::TimedOut)) {
        Ok((_place_of_key, links)) => {
            let _place = permit.into_link();
            uplink.asked_for(link.id, links);
            if shown.is_some() {
                uplink.counters.granted_over_tcp.count();
            }
            tracing::info!(
                %peer, tunnel = %link.tunnel, generation = link.generation.get(), transport = name,
                "an agent registered"
            );
            // Not needed any more, and a link may live for weeks.
            drop(shown);
            // Beside it: a directory that is slow to forget keeps nobody waiting here.
            let retiring = Box::pin(retire_former_rules(uplink, &link));
            tokio::join!(retiring, serve(uplink, &link, transport, peer));
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
    (peer, deadline): (SocketAddr, Instant),
    shown: Option<&Shown>,
) -> Result<Claimant<'t, T>, Rejected> {
    let config = &uplink.config;
    let accepts = |audience: &str| config.accepts_audience(audience, peer.ip());
    let terms = ServerTerms {
        node: uplink.bus.node(),
        domain: &config.domain,
        time: seconds_since_1970(),
        limits: &config.limits,
        accepts_audience: &accepts,
        channel: shown.map(|shown| &*shown.channel),
        timeout: deadline.saturating_duration_since(Instant::now()),
    };
    let claimant = tokio::select! {
        greeted = greet(transport, &terms) => greeted?,
        () = uplink.stopping.cancelled() => return Err(Rejected::Stopping),
    };
    let key = claimant.registration().key();
    if shown.is_some_and(|shown| shown.key != key) {
        let refused = refusal::of_other_key();
        // Best effort: the reason stays the refusal.
        drop(claimant.refuse(refused.clone()).await);
        return Err(Rejected::Refused(refused));
    }
    Ok(claimant)
}

/// Claims the tunnel, and answers the agent. Gives also how many links it was
/// asked to hold.
async fn grant<T: Transport>(
    uplink: &Uplink,
    link: &Link,
    claimant: Claimant<'_, T>,
) -> Result<(KeyPlace, u32), Rejected> {
    match claim::claim(uplink, link, claimant.registration()).await {
        Ok(claimed) => {
            link.generation.get_or_init(|| claimed.generation);
            let links = uplink.links_to_hold().await;
            let granted = granted(uplink, claimant.registration(), &claimed, links);
            let _registration = claimant.grant(granted).await?;
            Ok((claimed.place, links))
        }
        Err(refused) => {
            // Best effort: the reason stays the refusal.
            drop(claimant.refuse(refused.clone()).await);
            Err(Rejected::Refused(refused))
        }
    }
}

/// A session that registers with other rules wants those from now on: its links here that have the former ones are routed
/// to no more. What is under way on them goes on, and their agent ends them when nothing comes any more.
async fn retire_former_rules(uplink: &Uplink, link: &Link) {
    let Some(standing) = link.standing.get() else {
        return;
    };
    let routes = uplink.directory.local(link.tunnel).unwrap_or_default();
    let former = routes.iter().filter(|route| {
        route.policy != standing.policy && Some(&route.generation) == link.generation.get()
    });
    for route in former {
        if let Some(former) = uplink.registry.get(route.link) {
            withdraw(uplink, &former).await;
        }
    }
}

fn new_link(uplink: &Uplink, registration: &VerifiedRegistration) -> Arc<Link> {
    // Random, so that no two links of a fleet share an id.
    let id = LinkId(u64::from_be_bytes(random_bytes()));
    let config = &uplink.config;
    let bounds = Bounds {
        max_streams: usize::try_from(config.max_streams).unwrap_or(usize::MAX),
        messages: config.messages_per_second,
        kib: config.kib_per_second,
    };
    Link::new(
        (id, registration.tunnel_id()),
        Outbox::default(),
        uplink.surroundings(),
        bounds,
    )
}

fn granted(
    uplink: &Uplink,
    registration: &VerifiedRegistration,
    claimed: &Claimed,
    links: u32,
) -> Granted {
    let config = &uplink.config;
    let node: NodeId = uplink.bus.node();
    Granted {
        key_id: registration.key().thumbprint().to_string(),
        url: config.public_url.of(&claimed.hostname),
        tunnel: registration.label(),
        hostname: claimed.hostname.clone(),
        node,
        generation: claimed.generation,
        links,
        limits: LinkLimits {
            max_links: claimed.max_links,
            ..config.limits.clone()
        },
    }
}

/// Runs the link until it ends.
async fn serve<T: Transport>(uplink: &Uplink, link: &Arc<Link>, transport: T, peer: SocketAddr) {
    let config = &uplink.config;
    uplink.counters.granted.count();
    let traffic = Traffic::new(link.clone());
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

pub(crate) async fn withdraw(uplink: &Uplink, link: &Link) {
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
