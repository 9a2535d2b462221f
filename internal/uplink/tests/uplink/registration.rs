//! Who is admitted, who takes over, and who is told to go.

use std::time::Duration;

use bus::Nack;
use identity::{Mode, SecretKey, sign_registration};
use messages::{DisconnectCode, Frame, RefusalCode};
use tokio::time::Instant;
use tunnel::handshake::{RegisterError, Registration};

use crate::house::{DOMAIN, House, claims, request, settle, wish};

fn refusal(result: Result<messages::Granted, RegisterError>) -> RefusalCode {
    match result {
        Err(RegisterError::Refused(refused)) => refused.code,
        other => panic!("a refusal is due, not {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_granted_the_hostname_of_its_key_and_can_be_found() {
    let house = House::new();
    let key = SecretKey::generate();
    let mut agent = house.connect();
    let granted = agent.register(&key, [1; 16]).await.unwrap();
    let label = key.public().label(None);
    assert_eq!(granted.hostname, format!("{label}.{DOMAIN}"));
    assert_eq!(granted.url, format!("http://{label}.{DOMAIN}"));
    assert_eq!(granted.key_id, key.public().thumbprint().to_string());
    assert_eq!(granted.node, house.node.bus.node());
    house.route(&key, granted.generation);
    settle().await;
    let stats = house.uplink.stats();
    assert_eq!((stats.links, stats.pending, stats.granted), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_goes_is_withdrawn() {
    let house = House::new();
    let key = SecretKey::generate();
    let (agent, _) = house.agent(&key).await;
    drop(agent);
    settle().await;
    assert!(
        house
            .node
            .directory
            .local(key.public().tunnel_id(None))
            .is_none()
    );
    assert_eq!(house.uplink.link_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_newer_session_takes_the_tunnel_and_the_older_is_told_and_closed() {
    let mut house = House::new();
    let key = SecretKey::generate();
    let (mut old, old_route) = house.agent(&key).await;
    let mut new = house.connect();
    let granted = new.register(&key, [2; 16]).await.unwrap();
    assert!(granted.generation > old_route.generation);
    assert_eq!(old.hear_disconnect().await.code, DisconnectCode::Replaced);
    drop(old);
    settle().await;
    assert_eq!(house.uplink.link_count(), 1);

    let late = house.open(key.public().tunnel_id(None), old_route, request(true));
    assert_eq!(house.told_nack(late).await, Nack::NotHere);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_link_ends_within_a_second_though_its_agent_does_not_read() {
    let house = House::new();
    let key = SecretKey::generate();
    let (_deaf, _) = house.agent(&key).await;
    let mut new = house.connect();
    new.register(&key, [2; 16]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(house.uplink.link_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_session_that_comes_back_is_refused() {
    let house = House::new();
    let key = SecretKey::generate();
    let (_old, route) = house.agent(&key).await;
    let mut new = house.connect();
    new.register(&key, [2; 16]).await.unwrap();
    let mut back = house.connect();
    let wish = Registration {
        generation: Some(route.generation),
        ..wish([1; 16])
    };
    let result = back.register_as(&key, &wish).await;
    assert_eq!(refusal(result), RefusalCode::Replaced);
    assert_eq!(back.hear().await, None);
}

#[tokio::test(start_paused = true)]
async fn further_links_of_a_session_join_it() {
    let house = House::new();
    let key = SecretKey::generate();
    let (_first, route) = house.agent(&key).await;
    let mut second = house.connect();
    let wish = Registration {
        generation: Some(route.generation),
        ..wish([1; 16])
    };
    let granted = second.register_as(&key, &wish).await.unwrap();
    assert_eq!(granted.generation, route.generation);
    settle().await;
    assert_eq!(house.uplink.link_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shared_session_does_not_take_over_from_an_exclusive_one() {
    let house = House::new();
    let key = SecretKey::generate();
    let (_exclusive, _) = house.agent(&key).await;
    let mut shared = house.connect();
    let wish = Registration {
        mode: Mode::Shared,
        ..wish([2; 16])
    };
    let result = shared.register_as(&key, &wish).await;
    assert_eq!(refusal(result), RefusalCode::ModeConflict);
}

#[tokio::test(start_paused = true)]
async fn a_registration_for_another_server_is_refused_with_a_code_and_a_close() {
    let house = House::new();
    let key = SecretKey::generate();
    let mut agent = house.connect();
    let wish = Registration {
        audience: "other.example".to_owned(),
        ..wish([1; 16])
    };
    let result = agent.register_as(&key, &wish).await;
    assert_eq!(refusal(result), RefusalCode::WrongAudience);
    assert_eq!(agent.hear().await, None);
    assert!(
        house
            .node
            .directory
            .local(key.public().tunnel_id(None))
            .is_none()
    );
    settle().await;
    assert_eq!(house.uplink.stats().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_is_replayed_on_another_link_is_refused() {
    let house = House::new();
    let key = SecretKey::generate();
    let mut honest = house.connect();
    let signed = sign_registration(&key, &claims(&honest.hear_hello().await));

    let mut thief = house.connect();
    thief.hear_hello().await;
    thief.say(Frame::registration_request(signed.into())).await;
    assert_eq!(thief.hear_refusal().await.code, RefusalCode::WrongNonce);
    settle().await;
    assert_eq!(house.uplink.link_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn garbage_for_a_registration_is_refused_with_a_code_and_a_close() {
    let house = House::new();
    let mut agent = house.connect();
    agent.hear_hello().await;
    let garbage = Frame::registration_request("not.a.jws".into());
    agent.say(garbage).await;
    assert_eq!(agent.hear_refusal().await.code, RefusalCode::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_after_ten_seconds() {
    let house = House::new();
    let began = Instant::now();
    let mut silent = house.connect();
    silent.hear_hello().await;
    assert_eq!(silent.hear().await, None);
    assert_eq!(began.elapsed().as_secs(), 10);
    settle().await;
    assert_eq!(house.uplink.stats().pending, 0);
}
