//! Rules of the policies that links bring along.

use bytes::Bytes;
use messages::{PolicyId, TunnelId};

use super::stage::{Actor, Claim, Stage, a_hash, a_session, a_tunnel};
use crate::{AnnounceError, MAX_DOCUMENT};

/// A policy's name, and a text that a bus must carry without reading it.
fn a_policy() -> (PolicyId, Bytes) {
    let text = (0..=255).cycle().take(700).collect();
    (PolicyId(a_hash()), text)
}

/// Waits until the routes of this tunnel name these policies, in their order and each with its text.
async fn finds(
    stage: &Stage<'_>,
    actor: &Actor<'_>,
    tunnel: TunnelId,
    wanted: &[&(PolicyId, Bytes)],
) {
    let found = stage.eventually(async || {
        let routes = actor.lookup(tunnel).await;
        let named = routes.iter().map(|route| route.policy);
        named
            .eq(wanted.iter().map(|(policy, _)| *policy))
            .then_some(())
    });
    assert!(found.await.is_some(), "the routes name others");
    for (policy, text) in wanted {
        assert_eq!(
            actor.node.directory.policy(tunnel, *policy),
            Some(text.clone())
        );
    }
}

pub(super) async fn a_route_names_its_policy_and_its_text_is_found(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    let ruled = a_policy();
    a.holds(Claim::exclusive(tunnel, a_session(), 1).ruled_by(ruled.0, ruled.1.clone()))
        .await;
    let local = a.node.directory.local(tunnel).expect("it is served here");
    assert_eq!(local[0].policy, ruled.0);
    assert_eq!(
        a.node.directory.policy(tunnel, ruled.0),
        Some(ruled.1.clone()),
        "of an own link it is known without a look-up"
    );
    finds(stage, &b, tunnel, &[&ruled]).await;
    let unknown = b.node.directory.policy(tunnel, a_policy().0);
    assert_eq!(unknown, None);
    let elsewhere = b.node.directory.policy(a_tunnel(), ruled.0);
    assert_eq!(elsewhere, None);
}

pub(super) async fn a_tunnel_without_rules_needs_no_text(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    a.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    finds(stage, &b, tunnel, &[&(PolicyId::NONE, Bytes::new())]).await;
}

pub(super) async fn links_of_one_name_may_have_different_policies(stage: &Stage<'_>) {
    let (a, b, c) = (stage.node().await, stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    let (older, newer, none) = (a_policy(), a_policy(), (PolicyId::NONE, Bytes::new()));
    for (node, policy) in [(&a, &older), (&b, &newer), (&a, &none), (&b, &older)] {
        let session = a_session();
        let link = u64::from_be_bytes(session[..8].try_into().expect("it is longer"));
        let claim = Claim::shared(tunnel, session, link);
        node.holds(claim.ruled_by(policy.0, policy.1.clone())).await;
    }
    for node in [&a, &b, &c] {
        finds(stage, node, tunnel, &[&older, &none, &newer, &older]).await;
    }
}

pub(super) async fn a_newer_session_brings_its_policy(stage: &Stage<'_>) {
    let (a, b, c) = (stage.node().await, stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    let (old, new) = (a_policy(), a_policy());
    a.holds(Claim::exclusive(tunnel, a_session(), 1).ruled_by(old.0, old.1.clone()))
        .await;
    finds(stage, &c, tunnel, &[&old]).await;
    b.holds(Claim::exclusive(tunnel, a_session(), 1).ruled_by(new.0, new.1.clone()))
        .await;
    finds(stage, &c, tunnel, &[&new]).await;
    finds(stage, &a, tunnel, &[&new]).await;
    b.holds(Claim::exclusive(tunnel, a_session(), 2)).await;
    finds(stage, &c, tunnel, &[&(PolicyId::NONE, Bytes::new())]).await;
}

/// Seen by nodes that cannot have it from an earlier look-up.
pub(super) async fn a_policy_stays_while_any_link_names_it(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    let ruled = a_policy();
    for (node, link) in [(&a, 1), (&a, 2), (&b, 1)] {
        let claim = Claim::shared(tunnel, a_session(), link);
        node.holds(claim.ruled_by(ruled.0, ruled.1.clone())).await;
    }
    a.withdraw(tunnel, 1, 2).await;
    let c = stage.node().await;
    finds(stage, &c, tunnel, &[&ruled, &ruled]).await;
    a.withdraw(tunnel, 2, 2).await;
    let other = a_policy();
    let claim = Claim::shared(tunnel, a_session(), 3);
    a.holds(claim.ruled_by(other.0, other.1.clone())).await;
    let d = stage.node().await;
    finds(stage, &d, tunnel, &[&other, &ruled]).await;
    // The last one goes, and comes back.
    b.withdraw(tunnel, 1, 2).await;
    finds(stage, &d, tunnel, &[&other]).await;
    let claim = Claim::shared(tunnel, a_session(), 2);
    b.holds(claim.ruled_by(ruled.0, ruled.1.clone())).await;
    let e = stage.node().await;
    finds(stage, &e, tunnel, &[&ruled, &other]).await;
}

pub(super) async fn a_policy_that_does_not_fit_its_text_is_refused(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    let policy = PolicyId(a_hash());
    let claim = Claim::exclusive(tunnel, a_session(), 1);
    for (policy, text) in [
        (policy, vec![b' '; MAX_DOCUMENT + 1]),
        (policy, Vec::new()),
        (PolicyId::NONE, vec![b' ']),
    ] {
        let refused = a.announce(claim.clone().ruled_by(policy, text)).await;
        assert_eq!(refused, Err(AnnounceError::Document));
    }
    a.finds(tunnel, &[]).await;
    let largest = (policy, Bytes::from(vec![7; MAX_DOCUMENT]));
    a.holds(claim.ruled_by(largest.0, largest.1.clone())).await;
    finds(stage, &b, tunnel, &[&largest]).await;
}
