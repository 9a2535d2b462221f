//! Exchanges as streams: opened in order, stamped, counted, ended.

use adit_uplink::Config;
use bus::{Content, LinkId, Nack, Route};
use identity::SecretKey;
use messages::{Disconnect, DisconnectCode, Frame, NodeId, ResetCode, StreamId, TunnelId};

use crate::house::{Agent, DOMAIN, House, body, request, reset, response, settle};

/// A house with one agent, and where to find it.
async fn tenanted(max_streams: u32) -> (House, Agent, TunnelId, Route) {
    let house = House::with(Config {
        max_streams,
        ..Config::new(DOMAIN)
    });
    let key = SecretKey::generate();
    let (agent, route) = house.agent(&key).await;
    (house, agent, key.public().tunnel_id(None), route)
}

#[tokio::test(start_paused = true)]
async fn an_exchange_is_accepted_and_answered_under_the_tunnel_of_the_link() {
    let (mut house, mut agent, tunnel, route) = tenanted(8).await;
    let exchange = house.open(tunnel, route, request(true));
    house.told_accepted(exchange).await;
    let stream = agent.hear_request().await;
    assert_eq!(stream, StreamId(1));
    agent.say(response(stream)).await;
    let told = house.told().await;
    assert_eq!(
        (told.exchange, told.tunnel, told.from),
        (exchange, tunnel, house.node.bus.node())
    );
    assert_eq!(told.content, Content::ToVisitor(response(stream)));
}

#[tokio::test(start_paused = true)]
async fn bodies_flow_both_ways_on_the_stream_of_their_exchange() {
    let (mut house, mut agent, tunnel, route) = tenanted(8).await;
    let first = house.open(tunnel, route, request(false));
    let second = house.open(tunnel, route, request(false));
    house.told_accepted(first).await;
    house.told_accepted(second).await;
    assert_eq!(agent.hear_request().await, StreamId(1));
    assert_eq!(agent.hear_request().await, StreamId(2));
    house.say(second, tunnel, route, body(StreamId(77), true));
    assert_eq!(agent.hear().await, Some(body(StreamId(2), true)));
    agent.say(Frame::window(StreamId(1), 100)).await;
    let told = house.told().await;
    assert_eq!(told.exchange, first);
    assert_eq!(
        told.content,
        Content::ToVisitor(Frame::window(StreamId(1), 100))
    );
}

#[tokio::test(start_paused = true)]
async fn at_the_stream_limit_the_link_is_busy_until_a_stream_is_over_on_both_sides() {
    let (mut house, mut agent, tunnel, route) = tenanted(1).await;
    let first = house.open(tunnel, route, request(false));
    house.told_accepted(first).await;
    let refused = house.open(tunnel, route, request(true));
    assert_eq!(house.told_nack(refused).await, Nack::Busy);

    // A visitor who cancels frees nothing until the agent has acknowledged it.
    let stream = agent.hear_request().await;
    house.say(first, tunnel, route, reset(stream, ResetCode::Cancelled));
    assert_eq!(agent.hear_reset().await, (stream, ResetCode::Cancelled));
    let refused = house.open(tunnel, route, request(true));
    assert_eq!(house.told_nack(refused).await, Nack::Busy);

    agent.say(reset(stream, ResetCode::Done)).await;
    assert_eq!(house.told_reset(first).await, ResetCode::Done);
    let second = house.open(tunnel, route, request(true));
    house.told_accepted(second).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_routed_by_old_knowledge_is_nacked() {
    let (mut house, _agent, tunnel, route) = tenanted(8).await;
    let stale = Route {
        generation: route.generation - 1,
        ..route
    };
    let elsewhere = Route {
        link: LinkId(!route.link.0),
        ..route
    };
    let other_tunnel = TunnelId([7; 32]);
    for (tunnel, route, nack) in [
        (tunnel, stale, Nack::Stale),
        (tunnel, elsewhere, Nack::NotHere),
        (other_tunnel, route, Nack::NotHere),
    ] {
        let exchange = house.open(tunnel, route, request(true));
        assert_eq!(house.told_nack(exchange).await, nack);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_answers_a_stream_of_another_tunnel_is_ended_and_the_other_goes_on() {
    let (mut house, mut honest, tunnel, route) = tenanted(8).await;
    let mut rogue = house.connect();
    rogue
        .register(&SecretKey::generate(), [1; 16])
        .await
        .unwrap();
    let exchange = house.open(tunnel, route, request(true));
    house.told_accepted(exchange).await;
    let stream = honest.hear_request().await;

    rogue.say(response(stream)).await;
    assert_eq!(rogue.hear_disconnect().await.code, DisconnectCode::Protocol);
    assert_eq!(house.told_by_now(), []);
    drop(rogue);
    settle().await;
    assert_eq!(house.uplink.stats().faults, 1);

    honest.say(response(stream)).await;
    assert_eq!(house.told().await.tunnel, tunnel);
}

#[tokio::test(start_paused = true)]
async fn the_stamp_is_the_agents_own_tunnel_whatever_stream_it_answers() {
    let (mut house, _honest, tunnel, route) = tenanted(8).await;
    let rogue_key = SecretKey::generate();
    let (mut rogue, rogue_route) = house.agent(&rogue_key).await;
    let rogue_tunnel = rogue_key.public().tunnel_id(None);
    // Both have a stream 1; the rogue's words reach only those who asked it.
    let of_honest = house.open(tunnel, route, request(true));
    let of_rogue = house.open(rogue_tunnel, rogue_route, request(true));
    house.told_accepted(of_honest).await;
    house.told_accepted(of_rogue).await;
    let stream = rogue.hear_request().await;
    rogue.say(response(stream)).await;
    let told = house.told().await;
    assert_eq!((told.exchange, told.tunnel), (of_rogue, rogue_tunnel));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_never_opened_ends_the_link_and_its_exchanges() {
    let (mut house, mut agent, tunnel, route) = tenanted(8).await;
    let exchange = house.open(tunnel, route, request(false));
    house.told_accepted(exchange).await;
    let stream = agent.hear_request().await;
    agent.say(body(StreamId(stream.0 + 1), false)).await;
    assert_eq!(house.told_reset(exchange).await, ResetCode::LinkLost);
    let Disconnect { code, reason, .. } = agent.hear_disconnect().await;
    assert_eq!(code, DisconnectCode::Protocol);
    assert!(reason.contains("stream 2 was never opened"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_speaks_like_a_server_is_ended() {
    let (house, mut agent, ..) = tenanted(8).await;
    agent.say(request(true)).await;
    assert_eq!(agent.hear_disconnect().await.code, DisconnectCode::Protocol);
    drop(house);
}

#[tokio::test(start_paused = true)]
async fn frames_for_a_stream_that_is_over_are_counted_and_go_nowhere() {
    let (mut house, mut agent, tunnel, route) = tenanted(8).await;
    let exchange = house.open(tunnel, route, request(true));
    house.told_accepted(exchange).await;
    let stream = agent.hear_request().await;
    agent.say(response(stream)).await;
    agent.say(body(stream, false)).await;
    agent.say(Frame::window(stream, 1)).await;
    settle().await;
    assert_eq!(house.told_by_now().len(), 1, "the response alone");
    assert_eq!(house.uplink.stats().stray_frames, 2);
    assert_eq!(house.uplink.link_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_resets_what_is_over_gets_its_acknowledgement_from_the_uplink() {
    let (mut house, mut agent, tunnel, route) = tenanted(8).await;
    let exchange = house.open(tunnel, route, request(true));
    house.told_accepted(exchange).await;
    let stream = agent.hear_request().await;
    agent.say(response(stream)).await;
    house.told().await;
    house.say(exchange, tunnel, route, reset(stream, ResetCode::Protocol));
    assert_eq!(house.told_reset(exchange).await, ResetCode::Done);
}

#[tokio::test(start_paused = true)]
async fn when_the_link_goes_every_exchange_on_it_is_told() {
    let (mut house, agent, tunnel, route) = tenanted(8).await;
    let mut exchanges = Vec::new();
    for _ in 0..3 {
        let exchange = house.open(tunnel, route, request(false));
        house.told_accepted(exchange).await;
        exchanges.push(exchange);
    }
    drop(agent);
    let mut told = Vec::new();
    for _ in 0..3 {
        let envelope = house.told().await;
        assert!(matches!(envelope.content, Content::ToVisitor(_)));
        told.push(envelope.exchange);
    }
    told.sort_unstable();
    assert_eq!(told, exchanges);
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_node_had_opened_is_reset_at_the_agent() {
    let (mut house, mut agent, tunnel, route) = tenanted(1).await;
    let exchange = house.open(tunnel, route, request(false));
    house.told_accepted(exchange).await;
    let stream = agent.hear_request().await;
    house.uplink.node_lost(NodeId([3; 16]));
    house.uplink.node_lost(house.node.bus.node());
    assert_eq!(agent.hear_reset().await, (stream, ResetCode::LinkLost));

    let refused = house.open(tunnel, route, request(true));
    assert_eq!(
        house.told_nack(refused).await,
        Nack::Busy,
        "until it is acknowledged"
    );
    agent.say(response(stream)).await;
    settle().await;
    assert_eq!(house.told_by_now(), [], "nobody waits for it");
    let second = house.open(tunnel, route, request(true));
    house.told_accepted(second).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_node_that_is_gone_resets_its_stream_at_the_agent() {
    let (house, mut agent, tunnel, route) = tenanted(8).await;
    let far = house.fleet.join(NodeId([2; 16]), std::sync::Arc::new(Deaf));
    let envelope = bus::Envelope {
        from: far.bus.node(),
        exchange: bus::ExchangeId(1),
        tunnel,
        content: Content::Open {
            link: route.link,
            generation: route.generation,
            policy: route.policy,
            attempt: 0,
            frame: request(true),
        },
    };
    house.uplink.deliver(envelope);
    let stream = agent.hear_request().await;
    far.leave().await;
    // The fleet has said so; were the word lost, the next answer would notice.
    assert_eq!(agent.hear_reset().await, (stream, ResetCode::LinkLost));
}

struct Deaf;

impl bus::Inbox for Deaf {
    fn deliver(&self, _: bus::Delivery) {}
}
