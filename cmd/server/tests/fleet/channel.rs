//! Agents that come to a fleet over TCP.

use std::{net::SocketAddr, time::Duration};

use futures_util::StreamExt;
use identity::{Claims, Mode, SecretKey, sign_ticket_request};
use messages::{Frame, Hello, Message, TICKETS_PATH, Ticket};
use testkit::{fleet::Fleet, load::Load, process::Folder, visitor::Visitor};
use tunnel::channel::connect;

use crate::stage::{Stage, gets, none_lost, within};

const PATIENCE: Duration = Duration::from_secs(20);

/// Each node shows a key of its own, where it listens itself.
const OWN_KEYS: &str = "channel_listen = \"127.0.0.1:0\"\n";

const TWO_LINKS: &[&str] = &["--transport", "tcp", "--links", "2"];

fn base(addr: SocketAddr) -> Visitor {
    Visitor::new(addr, "localhost")
}

/// What a node says to whoever would like a ticket.
async fn hello(node: SocketAddr) -> Hello {
    let answer = base(node).get(TICKETS_PATH).await;
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).unwrap()
}

/// Asks a node for a ticket over that Hello.
async fn ticket(node: SocketAddr, key: &SecretKey, hello: &Hello) -> Ticket {
    let claims = Claims {
        aud: "localhost".to_owned(),
        nonce: hello.nonce,
        iat: hello.time,
        exp: hello.time + 60,
        name: None,
        host: None,
        auto: false,
        session: "00112233445566778899aabbccddeeff".to_owned(),
        generation: None,
        mode: Mode::Exclusive,
        agent: "test".to_owned(),
        versions: vec![1],
        policy: None,
        channel: None,
        join: None,
        chain: Vec::new(),
    };
    let request = sign_ticket_request(key, &claims);
    let answer = base(node).post(TICKETS_PATH, request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ticket::from_json(&answer.body).unwrap()
}

/// The first word on the channel that a ticket leads to.
async fn first_word(ticket: &Ticket, key: &SecretKey) -> Message {
    let mut connected = connect(ticket, key, PATIENCE).await.unwrap();
    let word = connected.transport.next().await.unwrap().unwrap();
    Message::decode(&Frame::decode(word).unwrap()).unwrap()
}

#[tokio::test]
async fn nodes_with_one_key_know_each_others_nonces_and_take_each_others_tickets_once() {
    let folder = Folder::empty();
    let file = folder.path("channel.pem");
    SecretKey::create_new(&file).unwrap();
    let settings = format!("{OWN_KEYS}channel_key_file = '{}'\n", file.display());
    let fleet = Fleet::of(2).with(&settings).start().await;
    let nodes = [fleet.addr_of(0), fleet.addr_of(1)];
    let key = SecretKey::generate();

    let from_here = hello(nodes[0]).await;
    let of_there = ticket(nodes[1], &key, &from_here).await;
    assert_ne!(of_there.node, from_here.node, "another node has judged it");
    let of_here = ticket(nodes[0], &key, &hello(nodes[0]).await).await;
    let crossed = Ticket {
        address: of_there.address.clone(),
        ..of_here.clone()
    };
    match first_word(&crossed, &key).await {
        Message::Hello(hello) => assert_eq!(hello.node, of_there.node),
        other => panic!("{other:?}"),
    }
    match first_word(&of_here, &key).await {
        Message::Disconnect(last) => assert!(last.reason.contains("unknown"), "{}", last.reason),
        other => panic!("a ticket was taken twice: {other:?}"),
    }
}

#[tokio::test]
async fn an_agent_over_tcp_holds_links_to_two_nodes_and_replaces_the_one_that_died() {
    let mut stage = Stage::with(Fleet::of(3).with(OWN_KEYS)).await;
    let door = stage.door(&[0, 1, 2]).await;
    let mut agent = stage.agent_by(door.addr(), TWO_LINKS).await;
    agent.program.says("over TCP").await;
    stage.until_links(2).await;
    stage.fleet.kill(0).await;
    for node in [1, 2] {
        let visitor = stage.fleet.visitor_of(node, &agent);
        gets(&visitor, "service", PATIENCE).await;
    }
    let two = async || {
        let of = |node: usize| stage.fleet.node(node).program.said("transport=tcp") > 0;
        of(1) && of(2)
    };
    within(PATIENCE, "links over TCP to both that live", two).await;
}

#[tokio::test]
async fn a_node_is_drained_without_a_lost_request_under_agents_over_tcp() {
    let mut stage = Stage::with(Fleet::of(3).with(OWN_KEYS)).await;
    let door = stage.door(&[0, 1, 2]).await;
    let agent = stage.agent_by(door.addr(), TWO_LINKS).await;
    stage.until_links(2).await;
    let mut load = Load::at(50).through(stage.fleet.addr_of(2), agent.host());
    load.succeeds(50).await;
    for node in [0, 1] {
        stage.fleet.stop(node).await;
        load.succeeds(25).await;
        stage.fleet.start(node).await;
    }
    load.succeeds(50).await;
    none_lost(&load.stop().await);
    drop(agent);
}
