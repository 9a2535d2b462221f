//! What is the memory backend's own: who lives how long, and that it behaves between threads. The rules are the suite's.

use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

use futures_util::future::BoxFuture;

use super::*;
use crate::{Content, Envelope, ExchangeId, Health, Mode, PinError, SendError};

/// Counts, and owns the node it serves, as a server's inbox does.
#[derive(Default)]
struct Counter {
    envelopes: AtomicUsize,
    lost: AtomicUsize,
    node: OnceLock<Node>,
}

impl Inbox for Counter {
    fn deliver(&self, delivery: Delivery) {
        let count = match delivery {
            Delivery::Envelope(_) => &self.envelopes,
            Delivery::Lost(_) => &self.lost,
            Delivery::Gap(_) | Delivery::Superseded { .. } => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn node_id(n: u8) -> NodeId {
    NodeId([n; 16])
}

fn join(fleet: &Fleet, n: u8) -> (Node, Arc<Counter>) {
    let inbox = Arc::new(Counter::default());
    let node = fleet.join(node_id(n), Arc::<Counter>::clone(&inbox));
    (node, inbox)
}

fn envelope(from: u8) -> Envelope {
    Envelope {
        from: node_id(from),
        exchange: ExchangeId(1),
        tunnel: TunnelId([0; 32]),
        content: Content::Accepted,
    }
}

fn announcement(session: u8, link: u64) -> Announcement {
    Announcement {
        tunnel: TunnelId([0; 32]),
        link: LinkId(link),
        session: [session; 16],
        generation: None,
        mode: Mode::Exclusive,
        version: 1,
        owner: [0; 32],
        policy: messages::PolicyId::NONE,
        document: bytes::Bytes::new(),
    }
}

#[tokio::test]
async fn leaving_frees_an_inbox_that_owns_its_node() {
    let (node, inbox) = join(&Fleet::new(), 1);
    inbox.node.set(node.clone()).expect("it is set once");
    let watched = Arc::downgrade(&inbox);
    drop(inbox);
    assert!(
        watched.upgrade().is_some(),
        "the seat keeps it while the node is there"
    );
    node.leave().await;
    assert!(watched.upgrade().is_none());
}

#[tokio::test]
async fn dropping_both_halves_leaves() {
    let fleet = Fleet::new();
    let (stays, inbox) = join(&fleet, 1);
    let (leaves, _inbox) = join(&fleet, 2);
    drop(leaves.bus);
    assert_eq!(
        stays.bus.send(node_id(2), envelope(1)),
        Ok(()),
        "half a node is still there"
    );
    drop(leaves.directory);
    assert_eq!(
        stays.bus.send(node_id(2), envelope(1)),
        Err(SendError::NoSuchNode)
    );
    assert_eq!(inbox.lost.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_second_node_of_one_id_ends_the_first_and_outlives_it() {
    let fleet = Fleet::new();
    let (first, first_inbox) = join(&fleet, 1);
    let (second, second_inbox) = join(&fleet, 1);
    assert_eq!(
        first.bus.send(node_id(1), envelope(1)),
        Err(SendError::Unavailable)
    );
    assert_eq!(
        first.directory.announce(announcement(1, 1)).await,
        Err(AnnounceError::Unavailable)
    );
    drop(first);
    assert_eq!(second.bus.send(node_id(1), envelope(1)), Ok(()));
    assert_eq!(first_inbox.envelopes.load(Ordering::Relaxed), 0);
    assert_eq!(second_inbox.envelopes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn nothing_happens_before_a_future_is_polled() {
    let (node, _inbox) = join(&Fleet::new(), 1);
    drop(node.directory.announce(announcement(1, 1)));
    assert_eq!(node.directory.local(TunnelId([0; 32])), None);
    drop(node.bus.close());
    assert_eq!(node.bus.health(), Health::Up);
}

fn pin(node: &Node, sequence: u64, tip: u8) -> BoxFuture<'_, Result<(), PinError>> {
    node.directory.pin([1; 32], sequence, [tip; 32])
}

#[tokio::test]
async fn a_pin_is_on_disk_before_it_counts() {
    let directory = tempfile::tempdir().expect("there is room");
    let path = directory.path().join("pins");
    let fleet = Fleet::with_snapshot(&path).expect("there is room");
    let (node, _inbox) = join(&fleet, 1);
    assert_eq!(pin(&node, 0, 0).await, Ok(()));
    assert_eq!(pin(&node, 1, 1).await, Ok(()));
    let written = std::fs::read_to_string(&path).expect("it is there");

    // Where the file cannot be replaced, nothing changes.
    std::fs::remove_file(&path).expect("it is there");
    std::fs::create_dir(&path).expect("there is room");
    assert_eq!(pin(&node, 2, 2).await, Err(PinError::Unavailable));
    assert_eq!(
        pin(&node, 1, 1).await,
        Ok(()),
        "what is known needs no disk"
    );
    assert_eq!(pin(&node, 0, 0).await, Err(PinError::Older { known: 1 }));
    let left = std::fs::read_dir(directory.path()).expect("it is there");
    assert_eq!(left.count(), 1, "no temporary file stays");

    std::fs::remove_dir(&path).expect("it is there");
    std::fs::write(&path, &written).expect("there is room");
    assert_eq!(pin(&node, 2, 2).await, Ok(()));
    let again = Fleet::with_snapshot(&path).expect("it is undamaged");
    let (again, _inbox) = join(&again, 1);
    assert_eq!(pin(&again, 1, 1).await, Err(PinError::Older { known: 2 }));
    assert_eq!(pin(&again, 2, 2).await, Ok(()));
}

#[tokio::test]
async fn a_pin_that_nobody_waits_for_is_wholly_there_or_not_at_all() {
    let directory = tempfile::tempdir().expect("there is room");
    let path = directory.path().join("pins");
    let fleet = Fleet::with_snapshot(&path).expect("there is room");
    let (node, _inbox) = join(&fleet, 1);
    for sequence in 1..20 {
        let _polled_once = futures_util::poll!(pin(&node, sequence, 1));
    }
    assert_eq!(pin(&node, 20, 1).await, Ok(()));
    let again = Fleet::with_snapshot(&path).expect("it is undamaged");
    let (again, _inbox) = join(&again, 1);
    assert_eq!(pin(&again, 19, 1).await, Err(PinError::Older { known: 20 }));
}

#[test]
fn a_place_that_cannot_be_written_to_is_noticed_at_the_start() {
    let directory = tempfile::tempdir().expect("there is room");
    let missing = directory.path().join("none").join("pins");
    let error = Fleet::with_snapshot(&missing).expect_err("there is no such directory");
    assert!(matches!(error, SnapshotError::Io { .. }), "{error}");
    assert!(error.to_string().contains("none/pins"), "{error}");
}

/// Sessions fight for one tunnel from several threads while others read: whatever the interleaving, readers only ever
/// see one session's routes, and in the end the views agree with the ledger.
#[test]
fn views_agree_with_the_ledger_whatever_the_threads_do() {
    let fleet = Fleet::new();
    let nodes = [join(&fleet, 1).0, join(&fleet, 2).0];
    let tunnel = TunnelId([0; 32]);
    std::thread::scope(|threads| {
        for (n, node) in (0_u8..).zip(&nodes) {
            threads.spawn(move || {
                for link in 0_u64..500 {
                    let claim = announcement(n * 100 + u8::try_from(link % 100).unwrap(), link);
                    // Refusals are as good as grants here: what counts is that views never tear.
                    let _refused = now_or_never(node.directory.announce(claim)).is_err();
                    if link % 3 == 0 {
                        now_or_never(node.directory.withdraw(tunnel, LinkId(link), 2)).unwrap();
                    }
                }
            });
            threads.spawn(move || {
                for _ in 0..5000 {
                    let seen = now_or_never(node.directory.lookup(tunnel)).unwrap();
                    let generations = seen.iter().map(|route| route.generation);
                    assert!(generations.collect::<std::collections::HashSet<_>>().len() <= 1);
                }
            });
        }
    });
    let truth = fleet.shared.ledger().routes(tunnel);
    for node in &nodes {
        assert_eq!(now_or_never(node.directory.lookup(tunnel)).unwrap(), truth);
        let own = truth.iter().filter(|route| route.node == node.bus.node());
        let local = node.directory.local(tunnel).unwrap_or_default();
        assert!(own.eq(local.iter()));
    }
}

fn now_or_never<T>(future: BoxFuture<'_, T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("memory never waits")
}

#[tokio::test]
async fn nodes_are_those_that_have_a_seat() {
    let fleet = Fleet::new();
    let (a, _) = join(&fleet, 1);
    assert_eq!(a.directory.nodes(9).await, Ok(1));
    let (b, _) = join(&fleet, 2);
    assert_eq!(a.directory.nodes(1).await, Ok(2));
    fleet.crash(node_id(1));
    assert_eq!(a.directory.nodes(1).await, Err(Unavailable));
    assert_eq!(b.directory.nodes(1).await, Ok(1));
}
