//! Rules of announcing, withdrawing and finding.

use messages::PolicyId;

use super::stage::{Claim, Stage, a_session, a_tunnel};
use crate::{AnnounceError, LinkId, Mode, Route};

pub(super) async fn an_announced_link_is_found_everywhere_until_withdrawn(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    let generation = a.holds(Claim::exclusive(tunnel, a_session(), 5)).await;
    let route = Route {
        node: a.id,
        link: LinkId(5),
        generation,
        draining: false,
        mode: Mode::Exclusive,
        policy: PolicyId::NONE,
    };
    assert_eq!(*a.finds(tunnel, &[(&a, 5)]).await, [route]);
    assert_eq!(*b.finds(tunnel, &[(&a, 5)]).await, [route]);
    a.withdraw(tunnel, 5, 2).await;
    a.finds(tunnel, &[]).await;
    b.finds(tunnel, &[]).await;
}

pub(super) async fn a_lookup_of_nothing_is_an_empty_answer(stage: &Stage<'_>) {
    let a = stage.node().await;
    let tunnel = a_tunnel();
    assert_eq!(*a.lookup(tunnel).await, []);
    assert_eq!(a.local_links(tunnel), None);
    a.withdraw(tunnel, 1, 1).await;
    assert_eq!(*a.lookup(tunnel).await, []);
}

pub(super) async fn tunnels_do_not_mix(stage: &Stage<'_>) {
    let a = stage.node().await;
    let (one, other) = (a_tunnel(), a_tunnel());
    a.holds(Claim::exclusive(one, a_session(), 1)).await;
    a.holds(Claim::exclusive(other, a_session(), 2)).await;
    a.finds(one, &[(&a, 1)]).await;
    a.withdraw(one, 2, 9).await;
    a.withdraw(one, 1, 9).await;
    a.finds(one, &[]).await;
    a.finds(other, &[(&a, 2)]).await;
}

pub(super) async fn announcing_again_adds_nothing(stage: &Stage<'_>) {
    let a = stage.node().await;
    let tunnel = a_tunnel();
    let claim = Claim::exclusive(tunnel, a_session(), 1);
    let generation = a.holds(claim.clone()).await;
    assert_eq!(
        a.holds(claim.clone()).await,
        generation,
        "the same once more"
    );
    assert_eq!(a.holds(claim.version(2)).await, generation, "a later one");
    a.finds(tunnel, &[(&a, 1)]).await;
    assert_eq!(a.inbox.all(), [], "nobody was superseded");
}

pub(super) async fn a_late_announce_never_undoes_a_withdraw(stage: &Stage<'_>) {
    let a = stage.node().await;
    let tunnel = a_tunnel();
    let claim = Claim::exclusive(tunnel, a_session(), 1);
    a.holds(claim.clone()).await;
    a.withdraw(tunnel, 1, 3).await;
    for late in [1, 2, 3] {
        let announced = a.announce(claim.clone().version(late)).await;
        assert_eq!(announced, Err(AnnounceError::Withdrawn), "version {late}");
    }
    a.finds(tunnel, &[]).await;
    assert_eq!(a.local_links(tunnel), None);
    a.holds(claim.version(4)).await;
    a.finds(tunnel, &[(&a, 1)]).await;
}

pub(super) async fn a_withdraw_that_overtakes_its_announce_wins(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    a.withdraw(tunnel, 1, 2).await;
    let late = a.announce(Claim::exclusive(tunnel, a_session(), 1)).await;
    assert_eq!(late, Err(AnnounceError::Withdrawn));
    a.finds(tunnel, &[]).await;
    b.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    a.finds(tunnel, &[(&b, 1)]).await;
}

pub(super) async fn a_late_withdraw_never_undoes_an_announce(stage: &Stage<'_>) {
    let a = stage.node().await;
    let tunnel = a_tunnel();
    a.holds(Claim::exclusive(tunnel, a_session(), 1).version(3))
        .await;
    a.withdraw(tunnel, 1, 2).await;
    a.finds(tunnel, &[(&a, 1)]).await;
    a.withdraw(tunnel, 1, 3).await;
    a.finds(tunnel, &[]).await;
}

pub(super) async fn local_shows_only_own_links(stage: &Stage<'_>) {
    let (a, b, c) = (stage.node().await, stage.node().await, stage.node().await);
    let (tunnel, session) = (a_tunnel(), a_session());
    let generation = a.holds(Claim::exclusive(tunnel, session, 1)).await;
    for link in [1, 2] {
        b.holds(Claim::exclusive(tunnel, session, link).presenting(generation))
            .await;
    }
    assert_eq!(a.local_links(tunnel), Some(vec![(a.id, LinkId(1))]));
    assert_eq!(
        b.local_links(tunnel),
        Some(vec![(b.id, LinkId(1)), (b.id, LinkId(2))])
    );
    assert_eq!(c.local_links(tunnel), None);
    b.withdraw(tunnel, 1, 2).await;
    assert_eq!(
        b.local_links(tunnel),
        Some(vec![(b.id, LinkId(2))]),
        "it is seen at once"
    );
    assert_eq!(
        a.local_links(tunnel),
        Some(vec![(a.id, LinkId(1))]),
        "numbers are a node's own"
    );
    c.finds(tunnel, &[(&a, 1), (&b, 2)]).await;
}

pub(super) async fn draining_routes_come_last_and_are_used_only_alone(stage: &Stage<'_>) {
    let (a, b, c) = (stage.node().await, stage.node().await, stage.node().await);
    let (tunnel, alone) = (a_tunnel(), a_tunnel());
    // The draining node holds the newer generation, which would otherwise come first.
    b.holds(Claim::shared(tunnel, a_session(), 1)).await;
    a.holds(Claim::shared(tunnel, a_session(), 1)).await;
    a.holds(Claim::exclusive(alone, a_session(), 2)).await;
    a.node
        .directory
        .mark_draining()
        .await
        .expect("the directory is there");
    for route in a.node.directory.local(tunnel).unwrap_or_default().iter() {
        assert!(route.draining, "the own view knows at once");
    }
    let drained = stage.eventually(async || {
        let routes = c.lookup(tunnel).await;
        let draining: Vec<_> = routes
            .iter()
            .map(|route| (route.node, route.draining))
            .collect();
        (draining == [(b.id, false), (a.id, true)]).then_some(routes)
    });
    let routes = drained.await.expect("draining routes come last");
    assert_eq!(Route::preferred(&routes), [routes[0]]);
    let routes = c.finds(alone, &[(&a, 2)]).await;
    assert_eq!(
        Route::preferred(&routes).len(),
        1,
        "where no other exists it serves"
    );
    b.withdraw(tunnel, 1, 2).await;
    let routes = c.finds(tunnel, &[(&a, 1)]).await;
    assert_eq!(Route::preferred(&routes), &*routes);
}

pub(super) async fn a_link_announced_while_draining_is_draining(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    a.node
        .directory
        .mark_draining()
        .await
        .expect("the directory is there");
    a.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    let routes = b.finds(tunnel, &[(&a, 1)]).await;
    assert!(routes[0].draining);
}

pub(super) async fn a_node_that_leaves_takes_its_routes_along(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, session) = (a_tunnel(), a_session());
    let generation = a.holds(Claim::exclusive(tunnel, session, 1)).await;
    b.holds(Claim::exclusive(tunnel, session, 1).presenting(generation))
        .await;
    b.finds(tunnel, &[(&a, 1), (&b, 1)]).await;
    a.node.leave().await;
    b.finds(tunnel, &[(&b, 1)]).await;
}

pub(super) async fn a_node_that_crashes_loses_its_routes(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, other) = (a_tunnel(), a_tunnel());
    a.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    b.holds(Claim::exclusive(other, a_session(), 1)).await;
    b.finds(tunnel, &[(&a, 1)]).await;
    stage.crash(&a).await;
    b.finds(tunnel, &[]).await;
    b.finds(other, &[(&b, 1)]).await;
}

/// Far longer than any lease: what keeps the routes is renewing.
pub(super) async fn renewed_routes_stay(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    a.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    let step = stage.backend().lease() / 5;
    for _ in 0..15 {
        stage.advance(step).await;
        assert_eq!(b.lookup(tunnel).await.len(), 1);
    }
    assert_eq!(a.local_links(tunnel), Some(vec![(a.id, LinkId(1))]));
}

/// Other checks may have nodes in the same fleet.
pub(super) async fn a_node_that_joins_is_counted(stage: &Stage<'_>) {
    let mut nodes = Vec::new();
    for count in 1..=3 {
        nodes.push(stage.node().await);
        for node in &nodes {
            let counted = node.node.directory.nodes(count).await;
            assert!(
                counted.is_ok_and(|nodes| nodes >= count),
                "{counted:?} of {count}"
            );
        }
    }
    nodes[0].node.leave().await;
    assert!(nodes[0].node.directory.nodes(1).await.is_err());
}
