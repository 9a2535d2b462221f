//! From a proved key to a claim in the directory: the rules, the count of the
//! key's links, the pin of its rotations, the announcement.
//!
//! Rules may be exchanged at any moment. Whoever exchanges them judges the links
//! that have a standing; so a link gets its standing first and looks then whether
//! the rules are still those it was judged by. One of the two sees the other.

use std::sync::Arc;

use bus::{Announcement, Mode, SessionId};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use identity::{Claims, VerifiedRegistration};
use messages::Refused;

use crate::{
    admission::{
        denial::Denial,
        key_links::{Held, KeyPlace},
        rules::{Rules, Verdict},
        standing::Standing,
    },
    link::Link,
    pinning::pin,
    refusal,
    uplink::Uplink,
};

/// A link's operations on the directory, in order: a late announcement never
/// undoes a withdrawal.
const ANNOUNCE: u64 = 1;
pub(crate) const WITHDRAW: u64 = 2;

/// What an agent holds when its claim was accepted.
#[derive(Debug)]
#[must_use]
pub(crate) struct Claimed {
    pub(crate) generation: u64,
    /// The public host name.
    pub(crate) hostname: String,
    /// Links its key may hold on this node.
    pub(crate) max_links: Option<u32>,
    /// To be kept for as long as the link lives.
    pub(crate) place: KeyPlace,
}

/// Claims the tunnel for a link that can be found already.
///
/// # Errors
/// What the agent is to be told. Nothing was announced then.
pub(crate) async fn claim(
    uplink: &Uplink,
    link: &Link,
    registration: &VerifiedRegistration,
) -> Result<Claimed, Refused> {
    // The link can be found already: a drain that begins now sees it.
    if uplink.is_draining() {
        return Err(refusal::draining());
    }
    let read = Standing::of(registration).map_err(|denial| refusal::of_denial(&denial));
    let (mut standing, document) = read?;
    let rules = judge(uplink, &mut standing).await;
    let rules = rules.map_err(|denial| refusal::of_denial(&denial))?;
    let max_links = rules.max_links(&standing);
    let held = held(link, registration.claims());
    let place = uplink.key_links.enter(standing.root, held, max_links);
    let place =
        place.map_err(|full| refusal::of_denial(&Denial::TooManyLinks { most: full.most }))?;

    let pinned = pin(&*uplink.directory, standing.root.0, &registration.tips()).await;
    pinned.map_err(refusal::of_pin)?;

    let hostname = hostname(uplink, registration);
    let announcement = announcement(link, registration.claims(), &standing, document);
    link.standing.set(Box::new(standing)).ok();
    still_holds(uplink, link, &rules).map_err(|denial| refusal::of_denial(&denial))?;
    let announced = uplink.directory.announce(announcement).await;
    let announced = announced.map_err(|error| refusal::of_directory(error, &hostname))?;
    Ok(Claimed {
        generation: announced.generation,
        hostname,
        max_links: max_links.map(Into::into),
        place,
    })
}

/// Asks the rules in force, and the DNS where they leave it to that.
pub(crate) async fn judge(uplink: &Uplink, standing: &mut Standing) -> Result<Arc<Rules>, Denial> {
    let rules = uplink.rules.load_full();
    let own = uplink.config.own_names();
    if rules.judge(standing, own)? == Verdict::Holds {
        return Ok(rules);
    }
    let host = standing.host.as_deref().unwrap_or_default();
    match &uplink.config.txt_resolver {
        Some(resolver) => {
            let label = standing.root.label();
            uplink.prover.prove(&**resolver, host, &label).await?;
            standing.proved_by_dns = true;
        }
        None => rules.holds(standing, own)?,
    }
    Ok(rules)
}

fn still_holds(uplink: &Uplink, link: &Link, judged_by: &Arc<Rules>) -> Result<(), Denial> {
    let now = uplink.rules.load();
    match link.standing.get() {
        Some(standing) if !Arc::ptr_eq(&now, judged_by) => {
            now.holds(standing, uplink.config.own_names())
        }
        _ => Ok(()),
    }
}

/// The host that was granted, or the key's own.
fn hostname(uplink: &Uplink, registration: &VerifiedRegistration) -> String {
    match registration.wanted_host() {
        Some(host) => host.to_owned(),
        None => format!("{}.{}", registration.label(), uplink.config.domain),
    }
}

fn held(link: &Link, claims: &Claims) -> Held {
    Held {
        link: link.id,
        tunnel: link.tunnel,
        session: session_id(&claims.session),
        exclusive: claims.mode == identity::Mode::Exclusive,
    }
}

fn announcement(
    link: &Link,
    claims: &Claims,
    standing: &Standing,
    document: Bytes,
) -> Announcement {
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
        owner: standing.root.0,
        policy: standing.policy,
        document,
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
