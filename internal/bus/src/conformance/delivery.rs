//! Rules of moving envelopes.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use messages::{HEADER_LEN, MAX_FRAME, NodeId, PolicyId};

use super::stage::{Actor, Claim, Recorder, Stage, a_node_id, a_session, a_tunnel, frame};
use crate::{
    AnnounceError, Bus, Content, Delivery, Envelope, ExchangeId, Health, Inbox, LinkId, Nack,
    SendError, Unavailable,
};

/// Nothing is awaited in between, and the payload is the very same memory: it cannot have left the process.
pub(super) async fn an_envelope_to_the_own_node_is_there_when_send_returns(stage: &Stage<'_>) {
    let a = stage.node().await;
    let payload = Bytes::from(vec![1; 100]);
    let sent = a.envelope(1, Content::ToVisitor(frame(payload.clone())));
    a.send(a.id, sent.clone())
        .expect("the own node is always there");
    let taken = a.inbox.all();
    assert_eq!(taken, [Delivery::Envelope(sent)]);
    match taken.as_slice() {
        [
            Delivery::Envelope(Envelope {
                content: Content::ToVisitor(frame),
                ..
            }),
        ] => {
            assert_eq!(
                frame.payload.as_ptr(),
                payload.as_ptr(),
                "the payload was copied"
            );
        }
        other => panic!("{other:?}"),
    }
}

pub(super) async fn an_envelope_arrives_whole_whatever_it_says(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let link = LinkId(u64::MAX);
    let all_bytes: Vec<u8> = (0..=255).collect();
    let contents = [
        Content::Open {
            link,
            generation: u64::MAX,
            policy: PolicyId([0xcc; 32]),
            attempt: 1,
            frame: frame(all_bytes.clone()),
        },
        Content::ToAgent {
            link,
            frame: frame(Bytes::new()),
        },
        Content::Accepted,
        Content::Nack(Nack::NotHere),
        Content::Nack(Nack::Busy),
        Content::Nack(Nack::Stale),
        Content::Nack(Nack::Draining),
        Content::ToVisitor(frame(all_bytes)),
    ];
    let sent = contents.map(|content| a.envelope(u64::MAX, content));
    for envelope in &sent {
        a.send(b.id, envelope.clone()).expect("the peer is there");
    }
    assert_eq!(b.envelopes(sent.len()).await, sent);
    assert_eq!(a.inbox.all(), [], "the sender keeps nothing of it");
}

pub(super) async fn the_largest_frame_fits(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    let payload = vec![7; MAX_FRAME - HEADER_LEN];
    let content = Content::Open {
        link: LinkId(1),
        generation: 1,
        policy: PolicyId([0xff; 32]),
        attempt: 0,
        frame: frame(payload),
    };
    let sent = a.envelope(1, content);
    a.send(b.id, sent.clone()).expect("the peer is there");
    assert_eq!(b.envelopes(1).await, [sent]);
}

pub(super) async fn order_is_kept_between_two_nodes(stage: &Stage<'_>) {
    const COUNT: u64 = 1000;
    let (a, b) = (stage.node().await, stage.node().await);
    for n in 0..COUNT {
        // Large and small ones in turn: a backend that batches must not let the small overtake.
        let content = Content::ToVisitor(frame(vec![0; if n % 7 == 0 { 5000 } else { 5 }]));
        a.send(b.id, a.envelope(n, content.clone()))
            .expect("the peer is there");
        b.send(a.id, b.envelope(n, content))
            .expect("the peer is there");
    }
    for receiver in [&a, &b] {
        let taken = receiver.envelopes(1000).await;
        let numbers = taken.iter().map(|envelope| envelope.exchange.0);
        assert!(
            numbers.eq(0..COUNT),
            "not every envelope came, once and in order"
        );
    }
}

/// Passes an envelope back with its number counted down, from inside the delivery.
struct Returner {
    bus: OnceLock<Weak<dyn Bus>>,
    recorder: Recorder,
}

impl Inbox for Returner {
    fn deliver(&self, delivery: Delivery) {
        self.recorder.deliver(delivery.clone());
        let bus = self.bus.get().and_then(Weak::upgrade);
        if let (Some(bus), Delivery::Envelope(mut envelope)) = (bus, delivery)
            && let Some(next) = envelope.exchange.0.checked_sub(1)
        {
            let to = std::mem::replace(&mut envelope.from, bus.node());
            envelope.exchange = ExchangeId(next);
            bus.send(to, envelope).expect("the sender is there");
        }
    }
}

/// A backend that held a lock while it delivers would never come back from this one.
pub(super) async fn an_inbox_may_send_while_it_takes_a_delivery(stage: &Stage<'_>) {
    let returner = || {
        Arc::new(Returner {
            bus: OnceLock::new(),
            recorder: Recorder::default(),
        })
    };
    let inboxes = [returner(), returner()];
    let mut buses = Vec::new();
    for inbox in &inboxes {
        let node = stage.join(Arc::<Returner>::clone(inbox)).await;
        assert!(
            inbox.bus.set(Arc::downgrade(&node.bus)).is_ok(),
            "it is set once"
        );
        buses.push(node.bus);
    }
    let (a, b) = (&buses[0], &buses[1]);
    let envelope = |count| Envelope {
        from: a.node(),
        exchange: ExchangeId(count),
        tunnel: a_tunnel(),
        content: Content::Accepted,
    };
    a.send(a.node(), envelope(3))
        .expect("the own node is there");
    assert_eq!(
        inboxes[0].recorder.all().len(),
        4,
        "3, 2, 1 and 0 came to the own node"
    );
    a.send(b.node(), envelope(5)).expect("the peer is there");
    let all_back = async || {
        let counts = inboxes.each_ref().map(|inbox| inbox.recorder.all().len());
        (counts == [4 + 3, 3]).then_some(())
    };
    assert_eq!(
        stage.eventually(all_back).await,
        Some(()),
        "5 to 0 went to and fro"
    );
}

pub(super) async fn a_node_nobody_knows_is_an_error(stage: &Stage<'_>) {
    let a = stage.node().await;
    assert!(is_lost_to(stage, &a, a_node_id()).await);
    assert!(
        !a.inbox.all().iter().any(is_envelope),
        "nor does it come back"
    );
}

pub(super) async fn a_crashed_peer_is_reported_lost(stage: &Stage<'_>) {
    let (a, b, c) = (stage.node().await, stage.node().await, stage.node().await);
    talk(&a, &b).await;
    stage.crash(&b).await;
    assert_eq!(a.gets(&Delivery::Lost(b.id)).await, 1, "it is said once");
    assert!(is_lost_to(stage, &a, b.id).await);
    talk(&a, &c).await;
    assert!(
        !a.inbox.all().contains(&Delivery::Lost(c.id)),
        "the others go on"
    );
}

pub(super) async fn a_peer_that_leaves_is_reported_lost(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    talk(&a, &b).await;
    b.node.leave().await;
    assert_eq!(a.gets(&Delivery::Lost(b.id)).await, 1, "it is said once");
    assert!(is_lost_to(stage, &a, b.id).await);
}

pub(super) async fn a_node_that_left_does_nothing_more(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    assert_eq!(a.node.bus.health(), Health::Up);
    talk(&a, &b).await;
    let tunnel = a_tunnel();
    a.holds(Claim::exclusive(tunnel, a_session(), 1)).await;
    a.node.leave().await;
    a.node.leave().await;
    let before = a.inbox.all();
    for to in [a.id, b.id] {
        let sent = a.send(to, a.envelope(2, Content::Accepted));
        assert_eq!(sent, Err(SendError::Unavailable));
    }
    assert!(matches!(a.node.bus.health(), Health::Down { .. }));
    assert_eq!(a.local_links(tunnel), None);
    let again = a.announce(Claim::exclusive(tunnel, a_session(), 2)).await;
    assert_eq!(again, Err(AnnounceError::Unavailable));
    assert_eq!(a.node.directory.renew().await, Err(Unavailable));
    b.finds(tunnel, &[]).await;
    assert_eq!(a.inbox.all(), before, "nothing is delivered either");
}

pub(super) async fn a_lost_envelope_is_a_gap_on_both_sides(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    talk(&a, &b).await;
    if !stage.backend().lose_next(&a.node, b.id) {
        return;
    }
    let before = b.envelopes(0).await.len();
    for n in 0..100 {
        a.send(
            b.id,
            a.envelope(n, Content::ToVisitor(frame(vec![0; 50_000]))),
        )
        .expect("the peer is there");
    }
    assert_eq!(b.gets(&Delivery::Gap(a.id)).await, 1, "it is said once");
    assert_eq!(a.gets(&Delivery::Gap(b.id)).await, 1, "and on both sides");
    assert_eq!(
        b.envelopes(0).await.len(),
        before,
        "nothing that followed the lost one is delivered"
    );
    talk(&a, &b).await;
    let gaps = |actor: &Actor<'_>| {
        let taken = actor.inbox.all();
        let gaps = taken.iter().filter(|it| matches!(it, Delivery::Gap(_)));
        gaps.count()
    };
    assert_eq!((gaps(&a), gaps(&b)), (1, 1), "and all begins anew");
}

/// No later number shows it.
pub(super) async fn a_lost_last_envelope_is_a_gap_on_both_sides(stage: &Stage<'_>) {
    let (a, b) = (stage.node().await, stage.node().await);
    talk(&a, &b).await;
    if !stage.backend().lose_next(&a.node, b.id) {
        return;
    }
    let before = b.envelopes(0).await.len();
    a.send(b.id, a.envelope(2, Content::Accepted))
        .expect("the peer is there");
    assert_eq!(a.gets(&Delivery::Gap(b.id)).await, 1);
    assert_eq!(b.gets(&Delivery::Gap(a.id)).await, 1);
    assert_eq!(b.envelopes(0).await.len(), before);
    talk(&a, &b).await;
}

pub(super) async fn a_gap_concerns_one_pair_alone(stage: &Stage<'_>) {
    let (a, b, c) = (stage.node().await, stage.node().await, stage.node().await);
    talk(&a, &b).await;
    talk(&a, &c).await;
    if !stage.backend().lose_next(&a.node, b.id) {
        return;
    }
    a.send(b.id, a.envelope(2, Content::Accepted))
        .expect("the peer is there");
    b.gets(&Delivery::Gap(a.id)).await;
    talk(&a, &c).await;
    for delivery in c.inbox.all() {
        assert!(is_envelope(&delivery), "{delivery:?}");
    }
    assert!(!a.inbox.all().contains(&Delivery::Gap(c.id)));
}

/// Far more than may be under way at once. What a full queue refuses is offered again, as nobody would with a body.
pub(super) async fn a_flood_arrives_whole_and_in_order(stage: &Stage<'_>) {
    const COUNT: u64 = 1000;
    let (a, b) = (stage.node().await, stage.node().await);
    let payload = Bytes::from(vec![7; 64 * 1024]);
    for n in 0..COUNT {
        let content = Content::ToVisitor(frame(payload.clone()));
        let envelope = a.envelope(n, content);
        let sent = stage.eventually(async || match a.send(b.id, envelope.clone()) {
            Ok(()) => Some(()),
            Err(SendError::Full) => None,
            Err(error) => panic!("{error}"),
        });
        assert_eq!(sent.await, Some(()), "the queue never drained");
    }
    let taken = b.envelopes(1000).await;
    let numbers = taken.iter().map(|envelope| envelope.exchange.0);
    assert!(numbers.eq(0..COUNT));
}

/// An envelope each way has arrived, so both nodes have reason to watch over each other.
async fn talk(a: &Actor<'_>, b: &Actor<'_>) {
    for (from, to) in [(a, b), (b, a)] {
        let sent = from.envelope(1, Content::Accepted);
        let before = to.envelopes(0).await.len();
        from.send(to.id, sent.clone()).expect("the peer is there");
        assert_eq!(to.envelopes(before + 1).await.last(), Some(&sent));
    }
}

async fn is_lost_to(stage: &Stage<'_>, from: &Actor<'_>, gone: NodeId) -> bool {
    let refused = stage.eventually(async || {
        let sent = from.send(gone, from.envelope(3, Content::Accepted));
        (sent == Err(SendError::NoSuchNode)).then_some(())
    });
    refused.await.is_some()
}

fn is_envelope(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Envelope(_))
}
