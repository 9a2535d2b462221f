//! Several links of one agent.

use std::future::pending;

use tokio::sync::Notify;

use super::*;

/// An agent with a link to each of the first two nodes, in a fleet that would like it to hold two.
async fn two_links() -> (Life, Server, Server) {
    let mut life = Life::begin(0, |_| ());
    let (first, _) = life.admit_at(&Site::of(1, 2)).await;
    let (second, _) = life.admit_at(&Site::of(2, 2)).await;
    life.until_pool(&PoolChange::Up, [2, 2, 2]).await;
    (life, first, second)
}

#[tokio::test(start_paused = true)]
async fn the_links_of_a_pool_are_one_session_of_one_generation() {
    let mut life = Life::begin(0, |_| ());
    let (mut one, first) = life.admit_at(&Site::of(1, 3)).await;
    assert_eq!(first.generation, None, "the first draws it");
    let mut others = Vec::new();
    for node in [2, 3] {
        let (mut server, later) = life.admit_at(&Site::of(node, 3)).await;
        assert_eq!(
            (&later.session, later.generation),
            (&first.session, Some(42))
        );
        answers(&mut server).await;
        others.push(server);
    }
    answers(&mut one).await;
    life.until_pool(&PoolChange::Up, [3, 3, 3]).await;
    assert_eq!(life.story()[..2], ["connecting", "registered"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_holds_as_many_links_as_it_was_told_whatever_the_server_would_like() {
    let two = "2".parse().unwrap();
    let mut life = Life::begin(0, |config| config.links = two);
    let (_one, _) = life.admit_at(&Site::of(1, 5)).await;
    let (_two, _) = life.admit_at(&Site::of(2, 5)).await;
    life.until_pool(&PoolChange::Up, [2, 2, 2]).await;
    sleep(Duration::from_secs(1)).await;
    assert!(life.links.try_recv().is_err(), "there is no third");

    let mut life = Life::begin(0, |_| ());
    let mut servers = Vec::new();
    for node in 1..=8 {
        servers.push(life.admit_at(&Site::of(node, 100)).await);
    }
    sleep(Duration::from_secs(1)).await;
    assert!(life.links.try_recv().is_err(), "there is no ninth");
}

#[tokio::test(start_paused = true)]
async fn a_second_link_to_a_node_is_given_up_five_times_and_then_kept() {
    let mut life = Life::begin(0, |_| ());
    let only = Site::of(1, 2);
    let (_first, _) = life.admit_at(&only).await;
    for _ in 0..5 {
        assert!(life.meet_at(&only).await.is_none(), "nothing is signed");
    }
    let (mut second, _) = life.admit_at(&only).await;
    life.until_pool(&PoolChange::Up, [2, 1, 2]).await;
    answers(&mut second).await;
}

#[tokio::test(start_paused = true)]
async fn links_that_share_a_node_move_apart_when_there_is_another() {
    let mut life = Life::begin(0, patient);
    let only = Site::of(1, 2);
    let (mut first, _) = life.admit_at(&only).await;
    for _ in 0..5 {
        assert!(life.meet_at(&only).await.is_none());
    }
    let (mut second, _) = life.admit_at(&only).await;
    let kept = Instant::now();
    assert!(life.meet_at(&only).await.is_none(), "no better place yet");
    assert!(kept.elapsed() >= Duration::from_secs(60));
    let (mut third, _) = life.admit_at(&Site::of(2, 2)).await;
    life.until_pool(&PoolChange::Moved, [2, 2, 2]).await;
    answers(&mut third).await;
    // Either of the two may have been the one to move.
    let moved = tokio::select! {
        last = goodbye(&mut first) => last,
        last = goodbye(&mut second) => last,
    };
    assert_eq!(moved.code, DisconnectCode::Leaving);
    sleep(Duration::from_secs(600)).await;
    assert!(life.links.try_recv().is_err(), "all are well placed");
}

#[tokio::test(start_paused = true)]
async fn a_further_link_that_is_lost_is_made_again_and_disturbs_nobody() {
    let (mut life, mut first, second) = two_links().await;
    drop(second);
    let (mut second, _) = life.admit_at(&Site::of(2, 2)).await;
    answers(&mut first).await;
    answers(&mut second).await;
    assert_eq!(
        life.story()[2..],
        ["link up", "link lost", "link up", "exchange", "exchange"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_further_link_that_cannot_be_had_disturbs_nobody_even_with_no_retry() {
    let mut life = Life::begin(0, |config| config.no_retry = true);
    let (mut first, _) = life.admit_at(&Site::of(1, 2)).await;
    for _ in 0..5 {
        life.turn_away_at(&Site::of(2, 2), RefusalCode::TooManyLinks, None)
            .await;
    }
    answers(&mut first).await;
    assert_eq!(life.story(), ["connecting", "registered", "exchange"]);
}

#[tokio::test(start_paused = true)]
async fn when_all_links_are_lost_it_is_said_once_and_the_first_that_is_back_serves() {
    let (mut life, first, second) = two_links().await;
    drop((first, second));
    life.until(|event| matches!(event, Event::Lost { .. }))
        .await;
    let (mut back, claims) = life.admit_at(&Site::of(3, 2)).await;
    assert_eq!(claims.generation, Some(42));
    answers(&mut back).await;
    let story = life.story();
    let count = |name| story.iter().filter(|it| **it == name).count();
    assert_eq!(
        (count("link lost"), count("lost"), count("registered")),
        (1, 1, 2),
        "{story:?}"
    );
    assert!(count("again") >= 1, "{story:?}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_replaced_ends_them_all() {
    let (mut life, mut first, mut second) = two_links().await;
    second
        .say(Disconnect::new(DisconnectCode::Replaced, "").encode())
        .await;
    assert_eq!(goodbye(&mut first).await.code, DisconnectCode::Leaving);
    drop(first);
    assert!(matches!(life.end().await, Err(AgentError::Replaced)));
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_of_a_further_link_ends_them_all() {
    let mut life = Life::begin(0, |_| ());
    let (mut first, _) = life.admit_at(&Site::of(1, 2)).await;
    life.turn_away_at(&Site::of(2, 2), RefusalCode::Replaced, None)
        .await;
    assert_eq!(goodbye(&mut first).await.code, DisconnectCode::Leaving);
    drop(first);
    assert!(matches!(life.end().await, Err(AgentError::Replaced)));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_all_links_within_one_grace_and_is_told_once() {
    let begun = Arc::new(Notify::new());
    let seen = begun.clone();
    let never = Doing(move |_, _| {
        begun.notify_one();
        pending()
    });
    let mut life = Life::serving(never, 0, |_| ());
    let (mut first, _) = life.admit_at(&Site::of(1, 2)).await;
    let (mut second, _) = life.admit_at(&Site::of(2, 2)).await;
    life.until_pool(&PoolChange::Up, [2, 2, 2]).await;
    for server in [&mut first, &mut second] {
        server.ask(&get("/"), b"", true).await;
        seen.notified().await;
    }
    let asked = Instant::now();
    life.shutdown.cancel();
    for mut server in [first, second] {
        assert_eq!(goodbye(&mut server).await.code, DisconnectCode::Leaving);
        assert_eq!(asked.elapsed(), Duration::from_secs(5));
    }
    assert!(life.end().await.is_ok());
    let events = life.diary.read();
    let mut left = events.iter().filter_map(|event| match event {
        Event::Leaving { in_flight } => Some(*in_flight),
        _ => None,
    });
    assert_eq!((left.next(), left.next()), (Some(2), None));
}
