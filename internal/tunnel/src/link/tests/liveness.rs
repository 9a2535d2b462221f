//! Pings, and what silence means.

use tokio::time::advance;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_at_once_and_ahead_of_data() {
    let outbox = Outbox::default();
    for stream in 1..=10 {
        outbox.push(body(stream, b"bulk")).unwrap();
    }
    let (link, mut other) = pipe::pair_holding(1);
    other.send(Frame::ping(*b"are you?")).await.unwrap();
    let began = Instant::now();
    let (_, first, _) = play_over(link, other, &outbox, |mut peer| async move {
        next(&mut peer).await
    })
    .await;
    assert_eq!(first, Some(Message::Pong(*b"are you?")));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_pings_without_reading_gets_one_answer() {
    let outbox = Outbox::default();
    let (link, other) = pipe::pair_holding(1);
    let (_, pongs, _) = play_over(link, other, &outbox, |mut peer| async move {
        for token in 0..1000_u64 {
            peer.send(Frame::ping(token.to_be_bytes())).await.unwrap();
        }
        let mut pongs = Vec::new();
        while let Ok(Some(message)) = timeout(Duration::from_secs(1), next(&mut peer)).await {
            pongs.push(message);
        }
        pongs
    })
    .await;
    assert!(pongs.len() <= 3, "{} answers were kept", pongs.len());
    assert_eq!(
        pongs.last(),
        Some(&Message::Pong(999_u64.to_be_bytes())),
        "the latest is answered"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_after_ten_seconds_and_dead_after_twenty() {
    let began = Instant::now();
    let (end, pinged, _) = play(&Outbox::default(), |mut peer| async move {
        let message = next(&mut peer).await;
        let at = began.elapsed();
        assert!(matches!(message, Some(Message::Ping(_))), "{message:?}");
        // Keeps the pipe open, and says nothing.
        let left = rest(&mut peer).await;
        (at, left)
    })
    .await;
    let (at, left) = pinged;
    assert!(
        at > Duration::from_secs(9) && at <= Duration::from_secs(10),
        "pinged at {at:?}"
    );
    assert!(matches!(end, LinkEnd::Dead), "{end:?}");
    assert_eq!(began.elapsed().as_secs(), 20);
    assert!(
        left.iter()
            .all(|message| matches!(message, Message::Ping(_))),
        "{left:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_only_answers_pings_lives() {
    let began = Instant::now();
    let (end, pings, _) = play(&Outbox::default(), |mut peer| async move {
        let mut pings = 0;
        while began.elapsed() < Duration::from_secs(3600) {
            let Some(Message::Ping(token)) = next(&mut peer).await else {
                panic!("after {pings} pings")
            };
            peer.send(Frame::pong(token)).await.unwrap();
            pings += 1;
        }
        pings
    })
    .await;
    assert!(matches!(end, LinkEnd::Closed), "{end:?}");
    assert!((360..=400).contains(&pings), "{pings} pings in an hour");
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_other_traffic_is_not_pinged() {
    let (_, said, _) = play(&Outbox::default(), |mut peer| async move {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(8)).await;
            peer.send(body(1, b"news")).await.unwrap();
        }
        timeout(Duration::from_secs(1), next(&mut peer)).await.ok()
    })
    .await;
    assert_eq!(said, None);
}

/// The story: a laptop lid was closed for a minute. The peer's bytes wait in the socket; they prove it alive.
#[tokio::test(start_paused = true)]
async fn a_process_that_was_asleep_reads_before_it_judges() {
    let (link, mut other) = pipe::pair();
    let (handler, seen) = recorder();
    let mut link = std::pin::pin!(drive(
        link,
        Outbox::default(),
        handler,
        Keepalive::default()
    ));
    let mut poll_link = async || futures_util::poll!(&mut link);
    assert!(poll_link().await.is_pending());
    other.send(body(1, b"still here")).await.unwrap();
    advance(Duration::from_secs(60)).await;
    assert!(poll_link().await.is_pending(), "not dead");
    assert_eq!(seen.frames.try_iter().count(), 1);
}
