//! The rate of a link: credit is withheld, reading goes on.

use std::time::Duration;

use adit_uplink::{Config, Rate};
use bus::{Content, ExchangeId, Route};
use identity::SecretKey;
use messages::{DisconnectCode, Frame, Message, NoticeCode, StreamId, Tag, TunnelId};
use tokio::time::Instant;

use crate::house::{Agent, DOMAIN, House, body, request, settle};

/// Where an exchange of the limited agent is.
#[derive(Clone, Copy)]
struct Open {
    stream: StreamId,
    exchange: ExchangeId,
    tunnel: TunnelId,
    route: Route,
}

impl Open {
    fn say(self, house: &House, frame: Frame) {
        house.say(self.exchange, self.tunnel, self.route, frame);
    }
}

/// An agent that may send 100 messages a second, with one stream open.
async fn limited() -> (House, Agent, Open) {
    let config = Config {
        messages_per_second: Rate::new(100, 16),
        ..Config::new(DOMAIN)
    };
    let mut house = House::with(config);
    let key = SecretKey::generate();
    let (mut agent, route) = house.agent(&key).await;
    let tunnel = key.public().tunnel_id(None);
    let exchange = house.open(tunnel, route, request(false));
    house.told_accepted(exchange).await;
    let stream = agent.hear_request().await;
    (
        house,
        agent,
        Open {
            stream,
            exchange,
            tunnel,
            route,
        },
    )
}

#[tokio::test(start_paused = true)]
async fn a_flood_gets_no_credit_for_as_long_as_it_takes_while_pings_and_bodies_pass() {
    let (mut house, mut agent, open) = limited().await;
    let began = Instant::now();
    for _ in 0..16 + 192 {
        agent.say(body(open.stream, false)).await;
    }
    settle().await;
    assert_eq!(
        house.told_by_now().len(),
        16 + 192,
        "all of it was read and carried"
    );

    open.say(&house, Frame::window(open.stream, 1_000));
    open.say(&house, body(open.stream, false));
    agent.say(Frame::ping(*b"still up")).await;
    let mut heard = vec![agent.hear_message().await.1, agent.hear_message().await.1];
    heard.sort_by_key(|message| matches!(message, Message::Pong(_)));
    assert!(
        matches!(heard[..], [Message::Body { .. }, Message::Pong(_)]),
        "{heard:?}"
    );
    assert!(began.elapsed() < Duration::from_millis(10));

    assert!(matches!(
        agent.hear_message().await,
        (_, Message::Window(1_000))
    ));
    let waited = began.elapsed().as_millis();
    assert!(
        (1_920..1_930).contains(&waited),
        "192 messages at 100 a second, not {waited} ms"
    );
    assert!(house.uplink.stats().throttled > 0);
    let [notice] = &agent.notices[..] else {
        panic!("its owner is told once, not {:?}", agent.notices);
    };
    assert_eq!(notice.code, NoticeCode::LinkRate);
    assert!(
        notice.message.contains("100 messages a second"),
        "{notice:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn visitors_who_send_too_much_get_no_more_of_the_agents_credit_until_it_is_paid_for() {
    let (mut house, mut agent, open) = limited().await;
    let began = Instant::now();
    // The opening was the first message.
    for _ in 0..15 + 192 {
        open.say(&house, body(open.stream, false));
    }
    for _ in 0..15 + 192 {
        agent.hear_message().await;
    }
    agent.say(Frame::window(open.stream, 400)).await;
    agent.say(Frame::window(open.stream, 600)).await;
    // What is no credit passes.
    agent.say(body(open.stream, false)).await;
    let content = house.told().await.content;
    assert!(matches!(&content, Content::ToVisitor(frame) if frame.tag() == Some(Tag::Body)));
    assert!(began.elapsed() < Duration::from_millis(10));

    let content = house.told().await.content;
    assert_eq!(
        content,
        Content::ToVisitor(Frame::window(open.stream, 1_000))
    );
    let waited = began.elapsed().as_millis();
    assert!((1_900..2_200).contains(&waited), "not {waited} ms");
    assert_eq!(agent.notices.len(), 1);

    agent.say(Frame::window(open.stream, 1)).await;
    let content = house.told().await.content;
    assert_eq!(content, Content::ToVisitor(Frame::window(open.stream, 1)));
    assert!(began.elapsed().as_millis() < waited + 10, "it passes again");
}

#[tokio::test(start_paused = true)]
async fn credit_that_is_kept_back_does_not_outlive_its_link() {
    let (house, mut agent, open) = limited().await;
    for _ in 0..10_000 {
        open.say(&house, body(open.stream, false));
    }
    agent.say(Frame::window(open.stream, 400)).await;
    settle().await;
    drop(agent);
    let began = Instant::now();
    assert_eq!(house.uplink.drain(began + Duration::from_secs(30)).await, 0);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_rates_are_told_with_the_grant_and_a_notice_comes_once_in_ten_seconds() {
    let config = Config {
        messages_per_second: Rate::new(100, 16),
        kib_per_second: Rate::new(4_096, 8_192),
        ..Config::new(DOMAIN)
    };
    let mut house = House::with(config);
    let key = SecretKey::generate();
    let mut agent = house.connect();
    let granted = agent.register(&key, [1; 16]).await.unwrap();
    let limits = &granted.limits;
    assert_eq!(
        (limits.messages_per_second, limits.kib_per_second),
        (Some(100), Some(4_096))
    );
    let tunnel = key.public().tunnel_id(None);
    let route = house.route(&key, granted.generation);
    let exchange = house.open(tunnel, route, request(false));
    let stream = agent.hear_request().await;
    house.told_accepted(exchange).await;
    for second in 0..25 {
        for _ in 0..200 {
            agent.say(body(stream, false)).await;
        }
        agent.say(Frame::ping(*b"are you?")).await;
        while !matches!(agent.hear_message().await.1, Message::Pong(_)) {}
        assert_eq!(agent.notices.len(), 1 + second / 10, "after {second} s");
        tokio::time::sleep(Duration::from_secs(1)).await;
        house.told_by_now();
    }
}

#[tokio::test(start_paused = true)]
async fn within_the_rate_credit_passes_at_once() {
    let (house, mut agent, open) = limited().await;
    let began = Instant::now();
    for _ in 0..16 {
        agent.say(body(open.stream, false)).await;
    }
    settle().await;
    open.say(&house, Frame::window(open.stream, 1_000));
    assert!(matches!(
        agent.hear_message().await,
        (_, Message::Window(1_000))
    ));
    assert!(began.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn new_work_waits_too_and_other_links_do_not() {
    let (mut house, mut fast, open) = limited().await;
    let (key, began) = (SecretKey::generate(), Instant::now());
    let (mut other, route) = house.agent(&key).await;
    for _ in 0..16 + 96 {
        fast.say(body(open.stream, false)).await;
    }
    settle().await;
    house.told_by_now();

    let exchange = house.open(key.public().tunnel_id(None), route, request(true));
    house.told_accepted(exchange).await;
    other.hear_request().await;
    assert!(began.elapsed() < Duration::from_millis(10));

    house.open(open.tunnel, open.route, request(true));
    fast.hear_request().await;
    assert!(began.elapsed() >= Duration::from_millis(960));
}

#[tokio::test(start_paused = true)]
async fn a_flood_that_no_credit_explains_ends_the_link() {
    let (mut house, mut agent, open) = limited().await;
    // Window frames cost no credit: withholding it does not stop them.
    flood(&mut house, &mut agent, open.stream, 200_000).await;
    assert_eq!(house.uplink.link_count(), 1);
    flood(&mut house, &mut agent, open.stream, 100_000).await;
    let disconnect = agent.hear_disconnect().await;
    assert_eq!(disconnect.code, DisconnectCode::Protocol);
}

async fn flood(house: &mut House, agent: &mut Agent, stream: StreamId, frames: u32) {
    for _ in 0..frames {
        agent.say(Frame::window(stream, 1)).await;
        house.told_by_now();
    }
}
