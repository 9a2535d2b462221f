//! What an agent does when a server says that it is going down.

use tokio::sync::Notify;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_agent_moves_before_it_leaves_and_leaves_when_its_exchanges_have_ended() {
    let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, open) = (begun.clone(), gate.clone());
    let slow = Doing(move |request: http::Request<crate::RequestBody>, _| {
        let (begun, gate) = (begun.clone(), gate.clone());
        async move {
            if request.uri() == "/slow" {
                begun.notify_one();
                gate.notified().await;
            }
            Ok(Response::new(TargetBody::full("hi")))
        }
    });
    let mut life = Life::serving(slow, 0, patient);
    let (mut old, _) = life.admit_at(&Site::of(1, 1)).await;
    let running = old.ask(&get("/slow"), b"", true).await;
    seen.notified().await;
    let told = Instant::now();
    old.say(draining(3000)).await;
    let (mut new, claims) = life.admit_at(&Site::of(2, 1)).await;
    assert_eq!(claims.generation, Some(42));
    // The only link hurries.
    assert!(told.elapsed() <= Duration::from_millis(1500));
    life.until_pool(&PoolChange::Moved, [1, 1, 1]).await;
    answers(&mut new).await;
    sleep(Duration::from_secs(5)).await;
    // A node that has not heard of the move yet still finds the old link, also while the slow exchange ends.
    answers(&mut old).await;
    open.notify_one();
    assert_eq!(old.response(running).await.1, b"hi");
    sleep(Duration::from_secs(2)).await;
    answers(&mut old).await;
    let quiet = Instant::now();
    assert_eq!(goodbye(&mut old).await.code, DisconnectCode::Leaving);
    assert!(quiet.elapsed() >= Duration::from_secs(3));
    drop(old);
    answers(&mut new).await;
    assert_eq!(life.story()[..3], ["connecting", "registered", "moved"]);
    assert!(!life.story().contains(&"lost"), "{:?}", life.story());
}

#[tokio::test(start_paused = true)]
async fn no_new_link_goes_to_a_node_that_is_leaving_or_refuses_because_it_is() {
    let mut life = Life::begin(0, |_| ());
    let (mut old, _) = life.admit_at(&Site::of(1, 1)).await;
    old.say(draining(0)).await;
    assert!(life.meet_at(&Site::of(1, 1)).await.is_none());
    let also_leaving = Site::of(2, 1);
    life.turn_away_at(&also_leaving, RefusalCode::Draining, None)
        .await;
    assert!(life.meet_at(&also_leaving).await.is_none(), "it said so");
    let (mut new, _) = life.admit_at(&Site::of(3, 1)).await;
    answers(&mut new).await;
    assert_eq!(
        life.story(),
        ["connecting", "registered", "moved", "exchange"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_link_with_nowhere_to_go_serves_until_its_server_closes_it() {
    let mut life = Life::begin(0, |_| ());
    let restarting = Site::of(1, 1);
    let (mut old, _) = life.admit_at(&restarting).await;
    old.say(draining(0)).await;
    for _ in 0..15 {
        assert!(life.meet_at(&restarting).await.is_none());
        answers(&mut old).await;
    }
    drop(old);
    life.until(|event| matches!(event, Event::Lost { .. }))
        .await;
    let mut back = loop {
        // An attempt to move may have been under way.
        if let Some((back, _)) = life.meet_at(&Site::of(2, 1)).await {
            break back;
        }
    };
    answers(&mut back).await;
    let mut story = life.story();
    story.retain(|it| *it != "exchange");
    assert_eq!(
        story,
        [
            "connecting",
            "registered",
            "lost",
            "again",
            "connecting",
            "registered"
        ]
    );
    life.until(|event| matches!(event, Event::Lost { why } if why.contains("going down")))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_second_disconnect_ends_the_link_and_the_agent_comes_back_within_the_spread() {
    let mut life = Life::begin(0, |_| ());
    let (mut old, _) = life.admit().await;
    old.say(draining(60_000)).await;
    old.say(draining(3000)).await;
    life.admit().await;
    let [wait] = life.waits()[..] else {
        panic!("{:?}", life.waits())
    };
    assert!(wait <= Duration::from_secs(3), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn the_link_to_a_node_that_is_leaving_moves_and_the_other_stays() {
    let mut life = Life::begin(0, |_| ());
    let (mut one, _) = life.admit_at(&Site::of(1, 2)).await;
    let (mut two, _) = life.admit_at(&Site::of(2, 2)).await;
    life.until_pool(&PoolChange::Up, [2, 2, 2]).await;
    two.say(draining(1000)).await;
    assert!(life.meet_at(&Site::of(2, 2)).await.is_none(), "it leaves");
    assert!(life.meet_at(&Site::of(1, 2)).await.is_none(), "it is taken");
    let (mut three, _) = life.admit_at(&Site::of(3, 2)).await;
    life.until_pool(&PoolChange::Moved, [2, 2, 2]).await;
    answers(&mut one).await;
    answers(&mut three).await;
    assert_eq!(goodbye(&mut two).await.code, DisconnectCode::Leaving);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_in_the_middle_of_a_move_ends_both_links() {
    let mut life = Life::begin(0, |_| ());
    let (mut old, _) = life.admit_at(&Site::of(1, 1)).await;
    old.say(draining(0)).await;
    let (mut new, _) = life.admit_at(&Site::of(2, 1)).await;
    life.until_pool(&PoolChange::Moved, [1, 1, 1]).await;
    let asked = Instant::now();
    life.shutdown.cancel();
    for server in [&mut old, &mut new] {
        assert_eq!(goodbye(server).await.reason, "the agent is stopping");
    }
    drop((old, new));
    assert!(life.end().await.is_ok());
    assert!(asked.elapsed() <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_replaced_while_it_moves_says_goodbye_where_it_was() {
    let mut life = Life::begin(0, |_| ());
    let (mut old, _) = life.admit_at(&Site::of(1, 1)).await;
    old.say(draining(0)).await;
    life.turn_away_at(&Site::of(2, 1), RefusalCode::Replaced, None)
        .await;
    assert_eq!(goodbye(&mut old).await.code, DisconnectCode::Leaving);
    drop(old);
    assert!(matches!(life.end().await, Err(AgentError::Replaced)));
}

#[tokio::test(start_paused = true)]
async fn a_restarting_fleet_that_was_there_is_waited_for_without_complaint() {
    let mut life = Life::begin(0, |_| ());
    drop(life.admit().await);
    life.turn_away_at(&Site::of(1, 1), RefusalCode::Draining, None)
        .await;
    life.admit_at(&Site::of(2, 1)).await;
    assert_eq!(life.waits().len(), 2);
    assert!(!life.story().contains(&"failed"), "{:?}", life.story());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fell_silent_is_called_again_at_once() {
    let mut life = Life::begin(0, |_| ());
    let (_silent, _) = life.admit().await;
    let up = Instant::now();
    life.admit().await;
    assert_eq!(life.waits(), [Duration::ZERO]);
    assert_eq!(up.elapsed().as_secs(), 20);
}
