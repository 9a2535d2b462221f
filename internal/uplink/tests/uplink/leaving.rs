//! Drain: nobody new, nothing new, what is open ends, and then everybody goes.

use std::time::Duration;

use bus::Nack;
use identity::SecretKey;
use messages::{DisconnectCode, RefusalCode, ResetCode};
use tokio::time::Instant;

use crate::house::{House, request, response, settle};

const GRACE: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn an_idle_agent_is_sent_away_with_a_spread() {
    let house = House::new();
    let (mut agent, _) = house.agent(&SecretKey::generate()).await;
    let began = Instant::now();
    let (cut, disconnect) = tokio::join!(house.uplink.drain(began + GRACE), async {
        let notice = agent.hear_notice().await;
        assert_eq!(notice.code, DisconnectCode::Draining);
        let disconnect = agent.hear_disconnect().await;
        drop(agent);
        disconnect
    });
    assert_eq!(disconnect.code, DisconnectCode::Draining);
    assert!(disconnect.spread_ms > 0);
    assert_eq!(cut, 0);
    assert!(began.elapsed() < Duration::from_millis(10));
    assert_eq!(house.uplink.link_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn agents_that_were_asked_to_move_are_served_until_they_have() {
    let mut house = House::moving_within(Duration::from_secs(10));
    let key = SecretKey::generate();
    let tunnel = key.public().tunnel_id(None);
    let (mut agent, route) = house.agent(&key).await;
    let began = Instant::now();
    let uplink = house.uplink.clone();
    let mut drain = std::pin::pin!(uplink.drain(began + GRACE));
    assert!(futures_util::poll!(&mut drain).is_pending());
    assert_eq!(agent.hear_notice().await.code, DisconnectCode::Draining);
    assert!(house.node.directory.local(tunnel).unwrap()[0].draining);

    // It has nowhere else to be found yet.
    let exchange = house.open(tunnel, route, request(true));
    house.told_accepted(exchange).await;
    let stream = agent.hear_request().await;
    agent.say(response(stream)).await;
    assert_eq!(house.told().await.exchange, exchange);

    tokio::time::advance(Duration::from_secs(3)).await;
    drop(agent);
    assert_eq!(drain.await, 0);
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn what_is_open_ends_before_the_agent_is_sent_away_and_nothing_begins_meanwhile() {
    let mut house = House::new();
    let key = SecretKey::generate();
    let tunnel = key.public().tunnel_id(None);
    let (mut agent, route) = house.agent(&key).await;
    let exchange = house.open(tunnel, route, request(true));
    house.told_accepted(exchange).await;
    let stream = agent.hear_request().await;

    let uplink = house.uplink.clone();
    let mut drain = std::pin::pin!(uplink.drain(Instant::now() + GRACE));
    assert!(futures_util::poll!(&mut drain).is_pending());
    let late = house.open(tunnel, route, request(true));
    assert_eq!(house.told_nack(late).await, Nack::Draining);
    assert!(house.node.directory.local(tunnel).unwrap()[0].draining);
    assert_eq!(agent.hear_notice().await.code, DisconnectCode::Draining);
    let refused = house.connect_from("192.0.2.9:1").map(|_| ()).unwrap_err();
    assert_eq!(refused.code, RefusalCode::Draining);

    agent.say(response(stream)).await;
    assert_eq!(house.told().await.exchange, exchange);
    let (cut, disconnect) = tokio::join!(drain, async {
        let disconnect = agent.hear_disconnect().await;
        drop(agent);
        disconnect
    });
    assert_eq!((cut, disconnect.code), (0, DisconnectCode::Draining));
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_what_is_left_is_cut_and_counted() {
    let mut house = House::new();
    let key = SecretKey::generate();
    let (mut agent, route) = house.agent(&key).await;
    let exchange = house.open(key.public().tunnel_id(None), route, request(true));
    house.told_accepted(exchange).await;
    agent.hear_request().await;
    let mut silent = house.connect();
    silent.hear_hello().await;

    let began = Instant::now();
    let grace = Duration::from_secs(3);
    let (cut, disconnect) = tokio::join!(house.uplink.drain(began + grace), async {
        agent.hear_notice().await;
        agent.hear_disconnect().await
    });
    assert_eq!(cut, 1);
    assert_eq!(disconnect.code, DisconnectCode::ShuttingDown);
    assert_eq!(house.told_reset(exchange).await, ResetCode::LinkLost);
    assert_eq!(silent.hear().await, None);
    assert!(began.elapsed() <= grace + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_began_before_the_drain_is_refused() {
    let house = House::new();
    let mut agent = house.connect();
    settle().await;
    let key = SecretKey::generate();
    let uplink = house.uplink.clone();
    let (cut, refused) = tokio::join!(
        uplink.drain(Instant::now() + GRACE),
        agent.register(&key, [1; 16])
    );
    assert_eq!(cut, 0);
    match refused {
        Err(tunnel::handshake::RegisterError::Refused(refused)) => {
            assert_eq!(refused.code, RefusalCode::Draining);
        }
        other => panic!("a refusal is due, not {other:?}"),
    }
}
