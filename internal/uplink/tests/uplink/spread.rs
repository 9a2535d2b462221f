//! How many links agents are asked to hold, and how they learn that it has become more.

use std::{sync::Arc, time::Duration};

use adit_uplink::Config;
use bus::{Announced, Announcement, Delivery, Inbox, LinkId, Mode, Node, Route};
use bytes::Bytes;
use futures_util::future::join_all;
use identity::SecretKey;
use messages::{DisconnectCode, NodeId, PolicyId};
use tokio::time::{Instant, sleep, timeout};

use crate::house::{Agent, DOMAIN, House, request, response, settle};

/// Until agents are asked: three looks, five seconds apart.
const ASKED: Duration = Duration::from_secs(15);

/// A node that would like each agent to hold two links. None of them falls silent.
fn house() -> House {
    let for_ever = Duration::from_hours(24);
    House::with(Config {
        links_per_agent: 2,
        ping_after: for_ever,
        dead_after: for_ever,
        drain_move: for_ever,
        ..Config::new(DOMAIN)
    })
}

struct Nobody;

impl Inbox for Nobody {
    fn deliver(&self, _: Delivery) {}
}

/// Another node of the fleet.
fn neighbour(house: &House, number: u8) -> Node {
    house.fleet.join(NodeId([number; 16]), Arc::new(Nobody))
}

/// The agent of this key registers with another node, as it does before it leaves this one.
async fn goes_to(node: &Node, key: &SecretKey, generation: u64) {
    let tunnel = key.public().tunnel_id(None);
    let announcement = Announcement {
        tunnel,
        link: LinkId(7),
        session: [1; 16],
        generation: Some(generation),
        mode: Mode::Exclusive,
        version: 1,
        owner: tunnel.0,
        policy: PolicyId::NONE,
        document: Bytes::new(),
    };
    let announced = node.directory.announce(announcement).await;
    assert_eq!(announced, Ok(Announced { generation }));
}

/// So many agents, each with its key and its route.
async fn agents(house: &House, count: usize) -> Vec<(SecretKey, Agent, Route)> {
    let mut agents = Vec::new();
    for _ in 0..count {
        let key = SecretKey::generate();
        let (agent, route) = house.agent(&key).await;
        agents.push((key, agent, route));
    }
    agents
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_asked_to_hold_as_many_links_as_there_are_nodes_and_no_more_than_wanted() {
    let house = house();
    let mut neighbours = Vec::new();
    for (nodes, links) in [(1, 1), (2, 2), (3, 2)] {
        let mut agent = house.connect();
        let granted = agent.register(&SecretKey::generate(), [1; 16]).await;
        assert_eq!(granted.unwrap().links, links, "with {nodes} nodes");
        neighbours.push(neighbour(&house, nodes + 1));
    }
    drop(neighbours);
    let mut agent = house.connect();
    let granted = agent.register(&SecretKey::generate(), [1; 16]).await;
    assert_eq!(granted.unwrap().links, 1, "alone again");
}

#[tokio::test(start_paused = true)]
async fn an_agent_alone_is_asked_to_move_when_another_node_has_joined_and_served_until_it_has() {
    let mut house = house();
    let key = SecretKey::generate();
    let (mut agent, route) = house.agent(&key).await;
    sleep(Duration::from_mins(10)).await;
    let (other, joined) = (neighbour(&house, 2), Instant::now());
    let notice = agent.hear_notice().await;
    assert_eq!(notice.code, DisconnectCode::Draining);
    assert!(notice.spread_ms > 0);
    assert!(joined.elapsed() > Duration::from_secs(5), "let it settle");
    assert!(joined.elapsed() <= ASKED);

    let tunnel = key.public().tunnel_id(None);
    goes_to(&other, &key, route.generation).await;
    let running = house.open(tunnel, route, request(true));
    house.told_accepted(running).await;
    let stream = agent.hear_request().await;
    // It may be busy here for long: then nothing new comes, and what runs ends.
    sleep(Duration::from_secs(15)).await;
    assert_eq!(house.node.directory.local(tunnel), None);
    agent.say(response(stream)).await;
    assert_eq!(house.told().await.exchange, running);
    assert_eq!(agent.hear_disconnect().await.code, DisconnectCode::Draining);
    drop(agent);
    let routes = other.directory.lookup(tunnel).await.unwrap();
    assert_eq!((routes.len(), routes[0].node), (1, NodeId([2; 16])));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_know_yet_that_it_has_moved_is_not_sent_away() {
    let house = house();
    let key = SecretKey::generate();
    let (mut agent, route) = house.agent(&key).await;
    let other = neighbour(&house, 2);
    agent.hear_notice().await;
    // It is announced there, and loses the link again before it hears of it.
    sleep(Duration::from_millis(4900)).await;
    goes_to(&other, &key, route.generation).await;
    sleep(Duration::from_millis(200)).await;
    let tunnel = key.public().tunnel_id(None);
    let withdrawn = other.directory.withdraw(tunnel, LinkId(7), 2).await;
    assert_eq!(withdrawn, Ok(()));
    let early = timeout(Duration::from_secs(40), agent.hear()).await;
    assert!(early.is_err(), "{early:?}");
    assert!(house.node.directory.local(tunnel).is_some());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_in_the_middle_of_an_exchange() {
    let mut house = house();
    let key = SecretKey::generate();
    let (mut agent, route) = house.agent(&key).await;
    let running = house.open(key.public().tunnel_id(None), route, request(true));
    house.told_accepted(running).await;
    let stream = agent.hear_request().await;
    let _other = neighbour(&house, 2);
    let asked = timeout(Duration::from_secs(100), agent.hear()).await;
    assert!(asked.is_err(), "{asked:?}");
    agent.say(response(stream)).await;
    assert_eq!(agent.hear_notice().await.code, DisconnectCode::Draining);
}

#[tokio::test(start_paused = true)]
async fn all_are_asked_in_their_turn() {
    let house = house();
    let agents = agents(&house, 100).await;
    let other = neighbour(&house, 2);
    let joined = Instant::now();
    let moving = agents.into_iter().map(async |(key, mut agent, route)| {
        agent.hear_notice().await;
        let asked = joined.elapsed();
        goes_to(&other, &key, route.generation).await;
        sleep(Duration::from_secs(3)).await;
        drop(agent);
        asked.as_secs()
    });
    let mut asked = join_all(moving).await;
    asked.sort_unstable();
    let at = |second| asked.iter().filter(|it| **it == second).count();
    assert_eq!([15, 20, 25, 30, 35].map(at), [4, 8, 16, 32, 40]);
    settle().await;
    assert_eq!(house.uplink.link_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_move_nobody_else_is_asked() {
    let house = house();
    let agents = agents(&house, 10).await;
    let _other = neighbour(&house, 2);
    let hearing = agents.into_iter().map(async |(_, mut agent, _)| {
        let asked = timeout(Duration::from_secs(100), agent.hear())
            .await
            .is_ok();
        (asked, agent)
    });
    // They stay all the while.
    let heard = join_all(hearing).await;
    assert_eq!(heard.iter().filter(|(asked, _)| *asked).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_down_does_not_ask_those_again_who_are_moving() {
    let mut house = house();
    let key = SecretKey::generate();
    let (mut agent, route) = house.agent(&key).await;
    let _other = neighbour(&house, 2);
    agent.hear_notice().await;
    let running = house.open(key.public().tunnel_id(None), route, request(true));
    house.told_accepted(running).await;
    let stream = agent.hear_request().await;
    house.uplink.prepare_to_leave().await;
    // A second notice would be the end, and the exchange with it.
    let again = timeout(Duration::from_mins(1), agent.hear()).await;
    assert!(again.is_err(), "{again:?}");
    agent.say(response(stream)).await;
    assert_eq!(house.told().await.exchange, running);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_down_does_not_wait_for_those_it_looks_after() {
    let house = house();
    let (mut agent, _) = house.agent(&SecretKey::generate()).await;
    let began = Instant::now();
    let (cut, ()) = tokio::join!(house.uplink.drain(began + Duration::from_secs(30)), async {
        agent.hear_notice().await;
        drop(agent);
    });
    assert_eq!(cut, 0);
    assert!(began.elapsed() < Duration::from_millis(10));
}
