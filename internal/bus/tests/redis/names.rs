//! Names in trouble: their owners, policies and pins while Redis is away, full or empty.

use std::time::Duration;

use adit_bus::{AnnounceError, Announcement, Delivery, LinkId, PinError};
use bytes::Bytes;
use messages::PolicyId;
use tokio::time::sleep;

use crate::fleet::{Actor, claim, eventually, tunnel};
use crate::server::Server;

const NAME: [u8; 32] = [5; 32];

fn owned(by: u8, session: u8, link: u64) -> Announcement {
    Announcement {
        owner: [by; 32],
        ..claim(tunnel(1), session, link)
    }
}

fn ruled(policy: u8, session: u8, link: u64) -> Announcement {
    Announcement {
        policy: PolicyId([policy; 32]),
        document: Bytes::from(vec![policy; 100]),
        ..claim(tunnel(1), session, link)
    }
}

impl Actor {
    async fn pin(&self, sequence: u64, tip: u8) -> Result<(), PinError> {
        self.node.directory.pin(NAME, sequence, [tip; 32]).await
    }

    /// Waits until this node knows how far the name has come.
    async fn knows(&self, known: u64) {
        let older = Err(PinError::Older { known });
        let told = eventually(async || self.pin(0, 0).await == older).await;
        assert!(told, "{:?}", self.pin(0, 0).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_pinned_during_an_outage_is_pinned_after_it() {
    let mut server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    assert_eq!(a.pin(1, 1).await, Ok(()));
    server.kill().await;
    a.is_down().await;
    b.is_down().await;
    assert_eq!(
        a.pin(0, 0).await,
        Err(PinError::Older { known: 1 }),
        "what a node has heard it remembers"
    );
    assert_eq!(a.pin(3, 3).await, Ok(()));
    assert_eq!(a.pin(2, 2).await, Err(PinError::Older { known: 3 }));
    assert_eq!(b.pin(2, 2).await, Ok(()), "it has not heard of it");
    server.restart().await;
    b.knows(3).await;
    assert_eq!(b.pin(3, 9).await, Err(PinError::Forked));
    assert_eq!(a.pin(3, 3).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lost_the_pins_is_told_them_again() {
    let server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    assert_eq!(a.pin(2, 2).await, Ok(()));
    server.run("FLUSHALL").await;
    server.run("SCRIPT FLUSH").await;
    b.knows(2).await;
    let key = format!("adit:pin:{}", messages::TunnelId(NAME).label());
    assert_eq!(
        server.run(&format!("PTTL {key}")).await,
        ":-1\r\n",
        "for ever"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_redis_cannot_pin_is_pinned_when_it_has_room() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    assert_eq!(b.pin(1, 1).await, Ok(()));
    server.run("CONFIG SET maxmemory 1").await;
    assert_eq!(a.pin(0, 0).await, Err(PinError::Older { known: 1 }));
    assert_eq!(a.pin(2, 2).await, Ok(()));
    assert_eq!(a.pin(1, 1).await, Err(PinError::Older { known: 2 }));
    server.run("CONFIG SET maxmemory 0").await;
    b.knows(2).await;
}

/// A value that somebody else wrote there is no reason to let a retired key in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_cannot_be_read_lets_nobody_in() {
    let server = Server::start(&[]).await;
    let a = Actor::join(&server.url(), 1).await;
    let key = format!("adit:pin:{}", messages::TunnelId(NAME).label());
    server.run(&format!("SET {key} nonsense")).await;
    assert_eq!(a.pin(1, 1).await, Err(PinError::Unavailable));
    server.run(&format!("DEL {key}")).await;
    server.run(&format!("SADD {key} nonsense")).await;
    assert_eq!(a.pin(1, 1).await, Err(PinError::Unavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_owners_of_an_outage_one_is_left() {
    let mut server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    a.is_up().await;
    b.is_up().await;
    server.kill().await;
    a.is_down().await;
    b.is_down().await;
    let granted = [
        a.holds(&owned(1, 1, 1)).await,
        b.holds(&owned(2, 2, 2)).await,
    ];
    let refused = a.announce(&owned(2, 3, 3)).await;
    assert_eq!(refused, Err(AnnounceError::Taken), "what it holds it knows");
    server.restart().await;
    let told = |node: &Actor| {
        let all = node.all();
        let mut told = all.iter().filter_map(|it| match it {
            Delivery::Superseded { link, by, .. } => Some((*link, *by)),
            _ => None,
        });
        told.next()
    };
    let one = eventually(async || told(&a).is_some() || told(&b).is_some()).await;
    assert!(one, "both go on");
    sleep(Duration::from_secs(2)).await;
    let (loser, link, winner) = match (told(&a), told(&b)) {
        (Some((link, _)), None) => (&a, link, (&b, 2)),
        (None, Some((link, _))) => (&b, link, (&a, 1)),
        both => panic!("{both:?}"),
    };
    assert!(link == LinkId(1) || link == LinkId(2));
    assert!(loser.serves(tunnel(1)).is_empty());
    a.finds(tunnel(1), &[winner]).await;
    b.finds(tunnel(1), &[winner]).await;
    // Nothing of the outage stands in the way of the next.
    let owner = u8::try_from(winner.1).expect("it is small");
    let next = winner.0.holds(&owned(owner, 9, 9)).await;
    assert!(next > granted[0].max(granted[1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_redis_remembers_stands_against_one_of_the_outage() {
    let server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    a.holds(&owned(1, 1, 1)).await;
    server.signal("STOP").await;
    a.is_down().await;
    b.is_down().await;
    let by = b.holds(&owned(2, 2, 2)).await;
    server.signal("CONT").await;
    let told = eventually(async || {
        let all = b.all();
        all.iter().any(|it| {
            matches!(it, Delivery::Superseded { link: LinkId(2), by: above, .. } if *above >= by)
        })
    });
    assert!(told.await, "{:?}", b.all());
    b.finds(tunnel(1), &[(&a, 1)]).await;
    assert_eq!(a.all(), [], "its owner hears nothing of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_of_a_policy_is_in_redis_while_a_living_link_names_it() {
    let server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    let key = format!("adit:{{t:{}}}:policies", tunnel(1).label());
    let texts = async || server.run(&format!("HLEN {key}")).await;
    a.holds(&claim(tunnel(1), 1, 1)).await;
    assert_eq!(texts().await, ":0\r\n");
    a.holds(&ruled(7, 2, 2)).await;
    assert_eq!(texts().await, ":1\r\n");
    a.holds(&ruled(8, 3, 3)).await;
    assert_eq!(texts().await, ":1\r\n", "a takeover takes the text along");
    a.holds(&ruled(9, 3, 4)).await;
    a.holds(&ruled(9, 3, 5)).await;
    assert_eq!(texts().await, ":2\r\n", "links of one session may differ");
    let withdraw = async |link| {
        let withdrawn = a.node.directory.withdraw(tunnel(1), LinkId(link), 2).await;
        assert_eq!(withdrawn, Ok(()));
    };
    withdraw(4).await;
    assert_eq!(texts().await, ":2\r\n", "another link names it");
    withdraw(5).await;
    assert_eq!(texts().await, ":1\r\n");

    // A node that dies withdraws nothing: its texts go with its links, at the next claim.
    a.switch.crash().await;
    let granted = eventually(async || b.announce(&ruled(6, 3, 1)).await.is_ok()).await;
    assert!(granted);
    let left = eventually(async || {
        b.holds(&ruled(6, 3, 1)).await;
        texts().await == ":1\r\n"
    });
    assert!(left.await, "{}", texts().await);
    let routes = b.node.directory.lookup(tunnel(1)).await;
    assert_eq!(routes.expect("it is there")[0].policy, PolicyId([6; 32]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_announced_again_after_a_flush() {
    let server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    a.holds(&ruled(7, 1, 1)).await;
    server.run("FLUSHALL").await;
    b.finds(tunnel(1), &[]).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    let text = b.node.directory.policy(tunnel(1), PolicyId([7; 32]));
    assert_eq!(text, Some(Bytes::from(vec![7; 100])));
}

/// How a script writes a link and how its node compares it are two places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_stands_as_it_should_is_not_announced_again() {
    let server = Server::start(&[]).await;
    let a = Actor::join(&server.url(), 1).await;
    a.is_up().await;
    a.holds(&claim(tunnel(2), 1, 1)).await;
    a.holds(&ruled(7, 1, 2)).await;
    server.run("CONFIG RESETSTAT").await;
    // Several intervals of comparing.
    sleep(Duration::from_secs(2)).await;
    let done = server.run("INFO commandstats").await;
    assert!(done.contains("cmdstat_hget:"), "it compares: {done}");
    assert!(!done.contains("cmdstat_evalsha:"), "{done}");
}
