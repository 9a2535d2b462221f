//! Rules of who may serve a tunnel: generations, sessions, modes.

use std::time::Duration;

use super::stage::{Claim, Stage, a_session, a_tunnel};
use crate::{AnnounceError, Delivery, LinkId};

pub(super) async fn generations_strictly_rise(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    let mut last = 0;
    for link in 0..5 {
        for node in [&a, &b] {
            let generation = node.holds(Claim::shared(tunnel, a_session(), link)).await;
            assert!(generation > last, "{generation} after {last}");
            last = generation;
        }
    }
    let exclusive = a.holds(Claim::exclusive(tunnel, a_session(), 9)).await;
    assert!(exclusive > last);
}

pub(super) async fn a_generation_outlives_its_links(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, session) = (a_tunnel(), a_session());
    // Somewhat ahead of the clock, so that the clock alone would not be enough to exceed it.
    let drawn = a.holds(Claim::exclusive(tunnel, session, 1)).await;
    a.withdraw(tunnel, 1, 2).await;
    let ahead = drawn + 60_000_000;
    a.holds(Claim::exclusive(tunnel, a_session(), 2).presenting(ahead))
        .await;
    a.withdraw(tunnel, 2, 2).await;
    a.finds(tunnel, &[]).await;
    let next = b.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    assert!(next > ahead, "{next} after {ahead}");
    let old = a
        .announce(Claim::exclusive(tunnel, session, 3).presenting(drawn))
        .await;
    assert_eq!(old, Err(AnnounceError::Replaced { by: next }));
}

pub(super) async fn a_session_keeps_its_generation(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, session) = (a_tunnel(), a_session());
    let generation = a.holds(Claim::exclusive(tunnel, session, 1)).await;
    let second = Claim::exclusive(tunnel, session, 2).presenting(generation);
    assert_eq!(b.holds(second.clone()).await, generation, "on another node");
    a.withdraw(tunnel, 1, 2).await;
    b.withdraw(tunnel, 2, 2).await;
    a.finds(tunnel, &[]).await;
    let back = Claim::exclusive(tunnel, session, 3).presenting(generation);
    assert_eq!(
        a.holds(back).await,
        generation,
        "after all its links were gone"
    );
    let routes = b.finds(tunnel, &[(&a, 3)]).await;
    assert_eq!(routes[0].generation, generation);
    let higher = Claim::exclusive(tunnel, session, 4).presenting(generation + 1000);
    assert_eq!(
        a.holds(higher).await,
        generation,
        "it cannot raise itself either"
    );
}

/// The answer to its first link may have been lost, so that it presents nothing with its second.
pub(super) async fn a_session_never_draws_anew(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, session) = (a_tunnel(), a_session());
    let generation = a.holds(Claim::exclusive(tunnel, session, 1)).await;
    assert_eq!(
        b.holds(Claim::exclusive(tunnel, session, 1)).await,
        generation,
        "while it has links"
    );
    a.withdraw(tunnel, 1, 2).await;
    b.withdraw(tunnel, 1, 2).await;
    assert_eq!(
        b.holds(Claim::exclusive(tunnel, session, 2)).await,
        generation,
        "and when it has none"
    );
}

/// A store that was lost, or has forgotten, learns the session's generation from the session.
pub(super) async fn a_session_brings_its_generation_to_an_empty_store(stage: &Stage<'_>) {
    let a = stage.node().await;
    let drawn = a.holds(Claim::exclusive(a_tunnel(), a_session(), 1)).await;
    let (tunnel, session) = (a_tunnel(), a_session());
    let earlier = drawn - 1_000_000;
    let brought = Claim::exclusive(tunnel, session, 2).presenting(earlier);
    assert_eq!(a.holds(brought).await, earlier);
    let older = Claim::exclusive(tunnel, a_session(), 3).presenting(earlier - 1);
    assert_eq!(
        a.announce(older).await,
        Err(AnnounceError::Replaced { by: earlier })
    );
    let same = Claim::exclusive(tunnel, a_session(), 3).presenting(earlier);
    assert_eq!(
        a.announce(same).await,
        Err(AnnounceError::Replaced { by: earlier }),
        "another session's number is no claim"
    );
}

pub(super) async fn links_of_one_session_pool(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, session) = (a_tunnel(), a_session());
    let generation = a.holds(Claim::exclusive(tunnel, session, 1)).await;
    a.holds(Claim::exclusive(tunnel, session, 2).presenting(generation))
        .await;
    b.holds(Claim::exclusive(tunnel, session, 3).presenting(generation))
        .await;
    b.finds(tunnel, &[(&a, 1), (&a, 2), (&b, 3)]).await;
    assert_eq!(a.inbox.all(), [], "a session supersedes nothing of its own");
}

pub(super) async fn a_takeover_tells_the_loser_once_for_each_link(stage: &Stage<'_>) {
    let (a, b, c) = (stage.node().await, stage.node().await, stage.node().await);
    let (tunnel, old) = (a_tunnel(), a_session());
    let lost = a.holds(Claim::exclusive(tunnel, old, 1)).await;
    a.holds(Claim::exclusive(tunnel, old, 2).presenting(lost))
        .await;
    b.holds(Claim::exclusive(tunnel, old, 1).presenting(lost))
        .await;
    let won = c.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    let superseded = |link| Delivery::Superseded {
        tunnel,
        link: LinkId(link),
        by: won,
    };
    for (node, link) in [(&a, 1), (&a, 2), (&b, 1)] {
        assert_eq!(node.gets(&superseded(link)).await, 1);
    }
    assert_eq!(c.inbox.all(), [], "the winner is told nothing");
    a.finds(tunnel, &[(&c, 1)]).await;
    let views = [&a, &b].map(|node| node.local_links(tunnel));
    assert_eq!(views, [None, None], "the losers' own views are clear");
    // The losers now close their links and withdraw them, which must not touch the winner's.
    a.withdraw(tunnel, 1, 2).await;
    b.withdraw(tunnel, 1, 2).await;
    b.finds(tunnel, &[(&c, 1)]).await;
}

/// Its own node finds out by itself, and tells it once.
pub(super) async fn a_loser_is_told_though_the_notice_is_lost(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    if !stage.backend().lose_notices(&b.node) {
        return;
    }
    let tunnel = a_tunnel();
    a.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    let by = b.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    let superseded = Delivery::Superseded {
        tunnel,
        link: LinkId(1),
        by,
    };
    assert_eq!(a.gets(&superseded).await, 1);
    assert_eq!(a.local_links(tunnel), None);
    b.finds(tunnel, &[(&b, 1)]).await;
}

pub(super) async fn a_lower_generation_is_replaced(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, old) = (a_tunnel(), a_session());
    let lost = a.holds(Claim::exclusive(tunnel, old, 1)).await;
    let won = b.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    let replaced = Err(AnnounceError::Replaced { by: won });
    let again = Claim::exclusive(tunnel, old, 2).presenting(lost);
    assert_eq!(a.announce(again.clone()).await, replaced);
    let shared = Claim::shared(tunnel, a_session(), 3).presenting(lost);
    assert_eq!(a.announce(shared).await, replaced, "in either mode");
    b.finds(tunnel, &[(&b, 1)]).await;
    assert_eq!(b.inbox.all(), [], "the holder hears nothing of it");
    b.withdraw(tunnel, 1, 2).await;
    assert_eq!(
        a.announce(again).await,
        replaced,
        "nor when the winner has gone"
    );
}

pub(super) async fn a_replaced_session_cannot_draw_its_way_back(stage: &Stage<'_>) {
    let a = stage.node().await;
    let (tunnel, old) = (a_tunnel(), a_session());
    a.holds(Claim::exclusive(tunnel, old, 1)).await;
    let won = a.holds(Claim::exclusive(tunnel, a_session(), 2)).await;
    let again = a.announce(Claim::exclusive(tunnel, old, 3)).await;
    assert_eq!(again, Err(AnnounceError::Replaced { by: won }));
    a.finds(tunnel, &[(&a, 2)]).await;
}

pub(super) async fn more_than_five_takeovers_a_minute_are_contended(stage: &Stage<'_>) {
    let a = stage.node().await;
    let tunnel = a_tunnel();
    let holder = a_session();
    a.holds(Claim::exclusive(tunnel, a_session(), 0)).await;
    for link in 1..=4 {
        a.holds(Claim::exclusive(tunnel, a_session(), link)).await;
    }
    let generation = a.holds(Claim::exclusive(tunnel, holder, 5)).await;
    let told = a.inbox.all();
    for link in [6, 7] {
        let sixth = a
            .announce(Claim::exclusive(tunnel, a_session(), link))
            .await;
        assert_eq!(sixth, Err(AnnounceError::Contended));
    }
    assert_eq!(a.inbox.all(), told, "the holder is left in peace");
    let more = Claim::exclusive(tunnel, holder, 8).presenting(generation);
    assert_eq!(a.holds(more).await, generation, "and may add links");
    a.finds(tunnel, &[(&a, 5), (&a, 8)]).await;
    a.holds(Claim::exclusive(a_tunnel(), a_session(), 9)).await;
    let minute = stage.backend().minute();
    stage.advance(minute + Duration::from_secs(1)).await;
    a.holds(Claim::exclusive(tunnel, a_session(), 10)).await;
    a.finds(tunnel, &[(&a, 10)]).await;
}

pub(super) async fn shared_sessions_pool(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let tunnel = a_tunnel();
    let first = a.holds(Claim::shared(tunnel, a_session(), 1)).await;
    let second = b.holds(Claim::shared(tunnel, a_session(), 1)).await;
    let third = a.holds(Claim::shared(tunnel, a_session(), 2)).await;
    let routes = b.finds(tunnel, &[(&a, 1), (&b, 1), (&a, 2)]).await;
    let generations: Vec<u64> = routes.iter().map(|route| route.generation).collect();
    assert_eq!(generations, [third, second, first], "the newest come first");
    assert_eq!(a.inbox.all(), [], "nobody is superseded");
}

pub(super) async fn an_older_shared_session_adds_links(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, older) = (a_tunnel(), a_session());
    let generation = a.holds(Claim::shared(tunnel, older, 1)).await;
    b.holds(Claim::shared(tunnel, a_session(), 1)).await;
    let second = Claim::shared(tunnel, older, 2).presenting(generation);
    assert_eq!(a.holds(second).await, generation);
    b.finds(tunnel, &[(&a, 1), (&a, 2), (&b, 1)]).await;
}

pub(super) async fn a_shared_session_meets_an_exclusive_one(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, late) = (a_tunnel(), a_session());
    let exclusive = a.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    let refused = b.announce(Claim::shared(tunnel, late, 1)).await;
    assert_eq!(refused, Err(AnnounceError::ModeConflict));
    b.finds(tunnel, &[(&a, 1)]).await;
    a.withdraw(tunnel, 1, 2).await;
    let generation = b.holds(Claim::shared(tunnel, late, 2)).await;
    assert!(generation > exclusive, "a refusal has drawn nothing");
    a.finds(tunnel, &[(&b, 2)]).await;
}

pub(super) async fn a_newer_exclusive_session_replaces_the_pool(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let (tunnel, pooled) = (a_tunnel(), a_session());
    let lost = a.holds(Claim::shared(tunnel, pooled, 1)).await;
    b.holds(Claim::shared(tunnel, a_session(), 1)).await;
    let won = b.holds(Claim::exclusive(tunnel, a_session(), 2)).await;
    for node in [&a, &b] {
        let superseded = Delivery::Superseded {
            tunnel,
            link: LinkId(1),
            by: won,
        };
        assert_eq!(node.gets(&superseded).await, 1);
    }
    a.finds(tunnel, &[(&b, 2)]).await;
    let back = a
        .announce(Claim::shared(tunnel, pooled, 2).presenting(lost))
        .await;
    assert_eq!(back, Err(AnnounceError::Replaced { by: won }));
    // An exclusive session from before a pool is not newer than it.
    b.withdraw(tunnel, 2, 2).await;
    let pool = a.holds(Claim::shared(tunnel, a_session(), 3)).await;
    let older = b
        .announce(Claim::exclusive(tunnel, a_session(), 3).presenting(won))
        .await;
    assert_eq!(older, Err(AnnounceError::Replaced { by: pool }));
    a.finds(tunnel, &[(&a, 3)]).await;
}

/// Clamped, drawn or refused: whichever it is, the next session can take the name.
pub(super) async fn an_implausible_generation_holds_no_name_for_ever(stage: &Stage<'_>) {
    let a = stage.node().await;
    for (mode, implausible) in [
        (Claim::exclusive as fn(_, _, _) -> _, u64::MAX),
        (Claim::exclusive, u64::MAX / 2),
        (Claim::shared, u64::MAX),
    ] {
        let tunnel = a_tunnel();
        let usual = a.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
        a.withdraw(tunnel, 1, 2).await;
        let day = 24 * 3600 * 1_000_000;
        if let Ok(granted) = a
            .announce(mode(tunnel, a_session(), 2).presenting(implausible))
            .await
        {
            assert!(
                granted > usual && granted - usual < day,
                "granted {granted}"
            );
        }
        let next = a.holds(Claim::exclusive(tunnel, a_session(), 3)).await;
        assert!(next > usual && next - usual < day, "granted {next}");
        a.finds(tunnel, &[(&a, 3)]).await;
    }
}
