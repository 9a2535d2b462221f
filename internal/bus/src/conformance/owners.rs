//! Rules of names that several keys may want: a granted name, not one that is a key.

use super::stage::{Claim, Stage, a_hash, a_session, a_tunnel};
use crate::AnnounceError;

pub(super) async fn a_name_is_its_owners_while_a_link_of_it_lives(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (one, other) = (a_hash(), a_hash());
    for claimed in [Claim::exclusive, Claim::shared] as [fn(_, _, _) -> Claim; 2] {
        let tunnel = a_tunnel();
        a.holds(claimed(tunnel, a_session(), 1).of(one)).await;
        for claim in [Claim::exclusive, Claim::shared] as [fn(_, _, _) -> Claim; 2] {
            for node in [&a, &b] {
                let newcomer = claim(tunnel, a_session(), 2).of(other);
                let refused = node.announce(newcomer.clone()).await;
                assert_eq!(refused, Err(AnnounceError::Taken));
                let refused = node.announce(newcomer.presenting(u64::MAX / 2)).await;
                assert_eq!(refused, Err(AnnounceError::Taken), "whatever it presents");
            }
        }
        b.finds(tunnel, &[(&a, 1)]).await;
    }
    let marked = a.node.directory.mark_draining().await;
    marked.expect("the directory is there");
    let tunnel = a_tunnel();
    a.holds(Claim::exclusive(tunnel, a_session(), 1).of(one))
        .await;
    let refused = b.announce(Claim::exclusive(tunnel, a_session(), 1).of(other));
    assert_eq!(
        refused.await,
        Err(AnnounceError::Taken),
        "a link that drains still lives"
    );
    assert_eq!(a.inbox.all(), [], "the owner hears nothing of it");
    assert_eq!(b.inbox.all(), []);
}

pub(super) async fn a_name_is_free_when_its_owner_has_left(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    let (one, other) = (a_hash(), a_hash());
    let first = a.holds(Claim::shared(tunnel, a_session(), 1).of(one)).await;
    a.holds(Claim::shared(tunnel, a_session(), 2).of(one)).await;
    a.withdraw(tunnel, 1, 2).await;
    let claim = Claim::exclusive(tunnel, a_session(), 1).of(other);
    let refused = b.announce(claim.clone()).await;
    assert_eq!(refused, Err(AnnounceError::Taken), "a link is left");
    a.withdraw(tunnel, 2, 2).await;
    let next = b.holds(claim).await;
    assert!(next > first, "{next} after {first}");
    a.finds(tunnel, &[(&b, 1)]).await;
    assert_eq!(
        a.announce(Claim::shared(tunnel, a_session(), 3).of(one))
            .await,
        Err(AnnounceError::Taken),
        "now it is the other's"
    );
}

pub(super) async fn a_name_is_free_when_its_owners_node_is_dead(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    a.holds(Claim::exclusive(tunnel, a_session(), 1).of(a_hash()))
        .await;
    stage.crash(&a).await;
    let (session, owner) = (a_session(), a_hash());
    let granted = stage.eventually(async || {
        let claim = Claim::exclusive(tunnel, session, 1).of(owner);
        match b.announce(claim).await {
            Ok(generation) => Some(generation),
            Err(error) => {
                assert_eq!(error, AnnounceError::Taken);
                None
            }
        }
    });
    assert!(granted.await.is_some(), "it is never freed");
    b.finds(tunnel, &[(&b, 1)]).await;
}

/// It was away while another had its name, which says nothing against its session: it is given a new generation.
pub(super) async fn an_owner_that_comes_back_is_not_replaced_by_another(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (one, other) = (a_hash(), a_hash());
    for claim in [Claim::exclusive, Claim::shared] as [fn(_, _, _) -> Claim; 2] {
        let (tunnel, session) = (a_tunnel(), a_session());
        let before = a.holds(claim(tunnel, session, 1).of(one)).await;
        a.withdraw(tunnel, 1, 2).await;
        let between = b
            .holds(Claim::exclusive(tunnel, a_session(), 1).of(other))
            .await;
        let back = claim(tunnel, session, 2).of(one).presenting(before);
        let refused = a.announce(back.clone()).await;
        assert_eq!(refused, Err(AnnounceError::Taken));
        b.withdraw(tunnel, 1, 2).await;
        let granted = a.holds(back).await;
        assert!(granted > between, "{granted} after {between}");
        let second = claim(tunnel, session, 3).of(one).presenting(before);
        assert_eq!(b.holds(second).await, granted, "its links pool");
        a.finds(tunnel, &[(&a, 2), (&b, 3)]).await;
        a.withdraw(tunnel, 2, 3).await;
        b.withdraw(tunnel, 3, 3).await;
        let again = claim(tunnel, session, 4).of(one).presenting(granted);
        assert_eq!(b.holds(again).await, granted, "it is its generation now");
        b.withdraw(tunnel, 4, 3).await;
    }
}

/// The first that comes back makes the name its owner's again; the others are no strangers then.
pub(super) async fn a_pool_that_comes_back_is_not_replaced_by_another(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (one, other) = (a_hash(), a_hash());
    let (tunnel, first, second) = (a_tunnel(), a_session(), a_session());
    let before = a.holds(Claim::shared(tunnel, second, 2).of(one)).await;
    a.holds(Claim::shared(tunnel, first, 1).of(one)).await;
    a.withdraw(tunnel, 1, 2).await;
    a.withdraw(tunnel, 2, 2).await;
    b.holds(Claim::exclusive(tunnel, a_session(), 1).of(other))
        .await;
    b.withdraw(tunnel, 1, 2).await;
    a.holds(Claim::shared(tunnel, first, 3).of(one)).await;
    a.holds(Claim::shared(tunnel, second, 4).of(one).presenting(before))
        .await;
    b.finds(tunnel, &[(&a, 3), (&a, 4)]).await;
}

pub(super) async fn takeovers_of_one_owner_are_not_held_against_another(stage: &Stage<'_>) {
    let a = stage.node().await;
    let tunnel = a_tunnel();
    let (one, other) = (a_hash(), a_hash());
    for link in 0..6 {
        a.holds(Claim::exclusive(tunnel, a_session(), link).of(one))
            .await;
    }
    let more = a.announce(Claim::exclusive(tunnel, a_session(), 6).of(one));
    assert_eq!(more.await, Err(AnnounceError::Contended));
    a.withdraw(tunnel, 5, 2).await;
    for link in 7..9 {
        a.holds(Claim::exclusive(tunnel, a_session(), link).of(other))
            .await;
    }
    a.finds(tunnel, &[(&a, 8)]).await;
}

/// Sessions are numbers that agents choose: knowing one is worth nothing with another key.
pub(super) async fn a_session_of_one_owner_is_nothing_to_another(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, session) = (a_tunnel(), a_session());
    let (one, other) = (a_hash(), a_hash());
    let generation = a.holds(Claim::exclusive(tunnel, session, 1).of(one)).await;
    let same = Claim::exclusive(tunnel, session, 2)
        .of(other)
        .presenting(generation);
    let refused = b.announce(same.clone()).await;
    assert_eq!(refused, Err(AnnounceError::Taken));
    a.withdraw(tunnel, 1, 2).await;
    let drawn = b.holds(same).await;
    assert!(drawn > generation, "{drawn} after {generation}");
}

/// An owner is told by the first key of its chain, so this is also what a rotated key may do.
pub(super) async fn an_owner_takes_over_from_itself(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, owner) = (a_tunnel(), a_hash());
    let old = a
        .holds(Claim::exclusive(tunnel, a_session(), 1).of(owner))
        .await;
    let new = b
        .holds(Claim::exclusive(tunnel, a_session(), 1).of(owner))
        .await;
    assert!(new > old);
    a.finds(tunnel, &[(&b, 1)]).await;
    let mode = b
        .announce(Claim::shared(tunnel, a_session(), 2).of(owner))
        .await;
    assert_eq!(mode, Err(AnnounceError::ModeConflict));
}
