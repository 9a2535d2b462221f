//! Many exchanges at once, and a reader that cannot keep up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use adit_bus::{Bus, Content, Delivery, Envelope, Inbox, LinkId, Node, SendError};
use bytes::Bytes;
use futures_util::future::join_all;
use messages::{Flags, Frame, NodeId, PolicyId, StreamId, TunnelId};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::fleet::{Actor, body, claim, eventually};
use crate::hasty::hasty;
use crate::server::Server;

/// How many frames an answer has.
const FRAMES: usize = 20;

/// Answers each opening with `Accepted` and a body of some frames, as an uplink with a quick agent does.
#[derive(Default)]
struct Uplink {
    bus: OnceLock<Weak<dyn Bus>>,
    gaps: AtomicUsize,
}

impl Inbox for Uplink {
    fn deliver(&self, delivery: Delivery) {
        let Delivery::Envelope(request) = delivery else {
            self.gaps.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let bus = self.bus.get().and_then(Weak::upgrade).expect("it is there");
        let answer = |content| {
            let envelope = Envelope {
                from: bus.node(),
                content,
                ..request.clone()
            };
            bus.send(request.from, envelope).expect("the edge is there");
        };
        answer(Content::Accepted);
        for n in 0..FRAMES {
            answer(body(Bytes::from(vec![u8::try_from(n).expect("few"); 1000])));
        }
    }
}

/// Counts, for each exchange, the frames that came in their order.
#[derive(Default)]
struct Edge {
    answers: Mutex<HashMap<u64, Vec<u8>>>,
    other: AtomicUsize,
}

impl Inbox for Edge {
    fn deliver(&self, delivery: Delivery) {
        match delivery {
            Delivery::Envelope(Envelope {
                exchange,
                content: Content::ToVisitor(frame),
                ..
            }) => {
                let mut answers = self.answers.lock().expect("nobody panicked");
                answers
                    .entry(exchange.0)
                    .or_default()
                    .push(frame.payload[0]);
            }
            Delivery::Envelope(_) => {}
            Delivery::Gap(_) | Delivery::Lost(_) | Delivery::Superseded { .. } => {
                self.other.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

async fn join(server: &Server, id: u8, inbox: Arc<dyn Inbox>) -> Node {
    let joined = adit_bus::redis::join(&server.url(), hasty(), NodeId([id; 16]), inbox).await;
    joined.expect("the server is there").node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_exchanges_between_two_nodes_all_end_well() {
    const EXCHANGES: u64 = 1000;
    let server = Server::start(&[]).await;
    let (edge, uplink) = (Arc::new(Edge::default()), Arc::new(Uplink::default()));
    let a = join(&server, 1, Arc::<Edge>::clone(&edge)).await;
    let b = join(&server, 2, Arc::<Uplink>::clone(&uplink)).await;
    assert!(uplink.bus.set(Arc::downgrade(&b.bus)).is_ok());
    for exchange in 0..EXCHANGES {
        let open = Envelope {
            from: a.bus.node(),
            exchange: adit_bus::ExchangeId(exchange),
            tunnel: TunnelId([1; 32]),
            content: Content::Open {
                link: LinkId(1),
                generation: 1,
                policy: PolicyId::NONE,
                attempt: 0,
                frame: Frame {
                    tag: 0x10,
                    flags: Flags(0),
                    stream: StreamId(1),
                    payload: Bytes::from_static(b"a head"),
                },
            },
        };
        a.bus.send(b.bus.node(), open).expect("the uplink is there");
    }
    let whole = || {
        let answers = edge.answers.lock().expect("nobody panicked");
        answers
            .values()
            .filter(|frames| frames.len() == FRAMES)
            .count() as u64
    };
    assert!(
        eventually(async || whole() == EXCHANGES).await,
        "{}",
        whole()
    );
    let ordered: Vec<u8> = (0..FRAMES).map(|n| u8::try_from(n).expect("few")).collect();
    for frames in edge.answers.lock().expect("nobody panicked").values() {
        assert_eq!(*frames, ordered);
    }
    assert_eq!(edge.other.load(Ordering::Relaxed), 0);
    assert_eq!(uplink.gaps.load(Ordering::Relaxed), 0);
}

/// Takes its time with everything, as a node does that has no processor left.
#[derive(Default)]
struct Slow {
    bytes: AtomicUsize,
    other: AtomicUsize,
}

impl Inbox for Slow {
    fn deliver(&self, delivery: Delivery) {
        match delivery {
            Delivery::Envelope(Envelope {
                content: Content::ToVisitor(frame),
                ..
            }) => {
                std::thread::sleep(Duration::from_millis(1));
                self.bytes.fetch_add(frame.payload.len(), Ordering::Relaxed);
            }
            _ => {
                self.other.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Two nodes send more than Redis would hold for one subscriber, to a third that is slow: they wait. One of them may have
/// the whole budget of 6 MiB under way when the other gets its half, and omem counts what Redis allocates around it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_reader_never_reaches_the_output_limit() {
    const MIB: usize = 1024 * 1024;
    const EACH: usize = 48 * MIB;
    let server = Server::start(&[]).await;
    let slow = Arc::new(Slow::default());
    let reader = join(&server, 3, Arc::<Slow>::clone(&slow)).await;
    let senders = [
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    ];
    let payload = Bytes::from(vec![1; 64 * 1024]);
    let began = Instant::now();
    let mut sent = [0; 2];
    let mut most = 0;
    while slow.bytes.load(Ordering::Relaxed) < 2 * EACH {
        for (actor, sent) in senders.iter().zip(&mut sent) {
            while *sent < EACH {
                let envelope = actor.envelope(1, body(payload.clone()));
                match actor.node.bus.send(reader.bus.node(), envelope) {
                    Ok(()) => *sent += payload.len(),
                    Err(SendError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        most = most.max(largest_output(&server).await);
        assert!(began.elapsed() < Duration::from_secs(30), "it stands still");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(most < 10 * MIB, "{most} bytes waited in Redis");
    assert_eq!(slow.other.load(Ordering::Relaxed), 0, "nothing was lost");
}

/// The most bytes that wait in Redis for one client.
async fn largest_output(server: &Server) -> usize {
    let clients = server.run("CLIENT LIST").await;
    let waiting = clients
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("omem="));
    let waiting = waiting.filter_map(|bytes| bytes.parse().ok());
    waiting.max().unwrap_or(0)
}

/// More messages at once than one turn of a task may send: what had to wait for the next turn is still first.
#[tokio::test]
async fn what_one_node_tells_many_arrives_in_order_without_a_gap() {
    const NODES: u8 = 250;
    const ROUNDS: u64 = 50;
    let server = Server::start(&[]).await;
    let teller = Actor::join(&server.url(), 1).await;
    let url = server.url();
    let listeners = join_all((0..NODES).map(|n| Actor::join(&url, 2 + n)));
    let listeners = listeners.await;
    for round in 0..ROUNDS {
        for listener in &listeners {
            let envelope = teller.envelope(round, body(Bytes::from_static(b"news")));
            let sent = teller.node.bus.send(listener.id, envelope);
            sent.expect("the listener is there");
        }
        yield_now().await;
    }
    for listener in &listeners {
        let all = async || listener.envelopes().len() as u64 >= ROUNDS;
        assert!(eventually(all).await, "{:?}", listener.all());
        let rounds = listener.envelopes().into_iter();
        assert!(rounds.map(|envelope| envelope.exchange.0).eq(0..ROUNDS));
    }
}

/// As many as one node may hold, each a tunnel of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_tunnels_are_found_again_after_a_flush() {
    const TUNNELS: u32 = 5000;
    let server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    let numbered = |n: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        TunnelId(id)
    };
    for chunk in (0..TUNNELS).collect::<Vec<_>>().chunks(100) {
        let claims = chunk.iter().map(|n| {
            let session = u8::try_from(n % 250).expect("it is small");
            a.node
                .directory
                .announce(claim(numbered(*n), session, u64::from(*n)))
        });
        for granted in join_all(claims).await {
            granted.expect("nothing speaks against it");
        }
    }
    server.run("FLUSHALL").await;
    let found = async || {
        let keys = server.run("DBSIZE").await;
        let keys = keys.trim_matches([':', '\r', '\n']).parse::<u32>();
        // Two for each tunnel, and the leases.
        keys.unwrap_or(0) >= 2 * TUNNELS
    };
    assert!(eventually(found).await, "not all were announced again");
    b.finds(numbered(TUNNELS - 1), &[(&a, u64::from(TUNNELS - 1))])
        .await;
}
