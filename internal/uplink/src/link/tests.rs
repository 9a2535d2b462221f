use bus::{Delivery, ExchangeId, Inbox, memory::Fleet};
use bytes::Bytes;
use messages::{Flags, Message};
use tokio::{sync::mpsc, time::Instant};
use tunnel::{FrameHandler, Keepalive, LinkEnd, LinkFault, OutboxLimits, drive, pipe};

use super::{ending::RETIREMENT, *};
use crate::streams::SPENT;

struct Edge(mpsc::Sender<Envelope>);

impl Inbox for Edge {
    fn deliver(&self, delivery: Delivery) {
        if let Delivery::Envelope(envelope) = delivery {
            self.0.try_send(envelope).unwrap();
        }
    }
}

const ROUTED: RoutedBy = RoutedBy {
    generation: 1,
    policy: PolicyId::NONE,
};

/// A link without an agent, whose edge is only a queue.
fn link(limits: OutboxLimits) -> (Arc<Link>, mpsc::Receiver<Envelope>) {
    let (edge, told) = mpsc::channel(64);
    let node = Fleet::new().join(NodeId([1; 16]), Arc::new(Edge(edge)));
    let outbox = Outbox::new(limits);
    let around = Surroundings {
        bus: node.bus,
        counters: Arc::default(),
        tasks: TaskTracker::new(),
    };
    let bounds = Bounds {
        max_streams: 100,
        messages: None,
        kib: None,
    };
    let link = Link::new((LinkId(1), TunnelId([2; 32])), outbox, around, bounds);
    link.generation.set(1).unwrap();
    (link, told)
}

fn exchange(id: u64) -> Exchange {
    Exchange {
        node: NodeId([1; 16]),
        id: ExchangeId(id),
    }
}

fn request() -> Frame {
    Frame::new(
        Tag::HttpRequest,
        Flags::NONE,
        StreamId(1),
        Bytes::from_static(b"opaque"),
    )
}

fn told(edge: &mut mpsc::Receiver<Envelope>) -> Content {
    edge.try_recv().unwrap().content
}

fn reset_code(content: &Content) -> ResetCode {
    match content {
        Content::ToVisitor(frame) => match Message::decode(frame) {
            Ok(Message::Reset(reset)) => reset.code,
            other => panic!("a reset is due, not {other:?}"),
        },
        other => panic!("a reset is due, not {other:?}"),
    }
}

/// Hears nothing.
struct Nobody;

impl FrameHandler for Nobody {
    fn on_frame(&mut self, _: Frame) -> Result<(), LinkFault> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_whose_ids_run_out_serves_what_it_has_and_is_then_replaced() {
    let (link, mut edge) = link(OutboxLimits::default());
    link.open(exchange(1), ROUTED, request());
    link.lock().streams.skip_to(SPENT);
    link.open(exchange(2), ROUTED, request());
    link.open(exchange(3), ROUTED, request());
    assert_eq!(told(&mut edge), Content::Accepted);
    assert_eq!(told(&mut edge), Content::Accepted);
    assert_eq!(told(&mut edge), Content::Nack(Nack::Draining));

    for (id, stream) in [(1, StreamId(1)), (2, SPENT)] {
        assert!(!link.outbox.is_closed());
        let over = Frame::reset(stream, &Reset::from(ResetCode::Done));
        link.to_agent(exchange(id), over.clone());
        link.to_edge(over).unwrap();
    }
    let (ours, _theirs) = pipe::pair();
    let end = drive(ours, link.outbox.clone(), Nobody, Keepalive::default()).await;
    match end {
        LinkEnd::Local(Some(last)) => assert_eq!(last, used_up()),
        other => panic!("the link says goodbye, not {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_does_not_keep_a_link_without_ids() {
    let (link, _edge) = link(OutboxLimits::default());
    link.lock().streams.skip_to(SPENT);
    link.open(exchange(1), ROUTED, request());
    let began = Instant::now();
    link.overstayed().await;
    assert_eq!(began.elapsed(), RETIREMENT);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_fills_the_queue_is_reset_on_both_sides_and_others_go_on() {
    let limits = OutboxLimits {
        bytes: 1_000,
        ..OutboxLimits::default()
    };
    let (link, mut edge) = link(limits);
    link.open(exchange(1), ROUTED, request());
    link.open(exchange(2), ROUTED, request());
    assert_eq!(told(&mut edge), Content::Accepted);
    assert_eq!(told(&mut edge), Content::Accepted);
    let flood = Frame::body(StreamId(1), Bytes::from(vec![0; 2_000]), false);
    link.to_agent(exchange(1), flood);
    assert_eq!(reset_code(&told(&mut edge)), ResetCode::Busy);
    link.to_agent(
        exchange(2),
        Frame::body(StreamId(1), Bytes::from_static(b"small"), true),
    );
    assert!(edge.try_recv().is_err(), "the other goes on");
    assert!(!link.outbox.is_closed());
    assert_eq!(link.streams(), 2, "the first until the agent acknowledges");
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_finds_the_queue_full_may_be_tried_elsewhere() {
    let limits = OutboxLimits {
        bytes: 100,
        ..OutboxLimits::default()
    };
    let (link, mut edge) = link(limits);
    link.open(exchange(1), ROUTED, request());
    link.open(exchange(2), ROUTED, request());
    assert_eq!(told(&mut edge), Content::Accepted);
    assert_eq!(told(&mut edge), Content::Nack(Nack::Busy));
    assert_eq!(link.streams(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_comes_twice_runs_once() {
    let (link, mut edge) = link(OutboxLimits::default());
    link.open(exchange(1), ROUTED, request());
    link.open(exchange(1), ROUTED, request());
    assert_eq!(told(&mut edge), Content::Accepted);
    assert!(edge.try_recv().is_err());
    assert_eq!(link.streams(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_finds_a_link_that_is_gone_is_told_so() {
    let (link, mut edge) = link(OutboxLimits::default());
    link.cut();
    link.open(exchange(1), ROUTED, request());
    assert_eq!(told(&mut edge), Content::Nack(Nack::NotHere));
}
