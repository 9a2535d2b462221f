//! What Redis does to a fleet: restarts, outages, flushes, killed connections, no memory, a stopped server.

use std::time::Duration;

use adit_bus::redis::Timing;
use adit_bus::{
    AnnounceError, Announcement, Content, Delivery, Envelope, Health, LinkId, Nack, SendError,
    Unavailable,
};
use bytes::Bytes;
use messages::{Frame, NodeId, PolicyId, StreamId};
use tokio::time::{Instant, sleep};

use crate::fleet::{Actor, claim, eventually, tunnel};
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_forgets_everything_heals_by_itself() {
    let mut server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    let generation = a.holds(&claim(tunnel(1), 1, 1)).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    a.talks_with(&b).await;
    server.kill().await;
    a.gets(&Delivery::Gap(b.id)).await;
    b.gets(&Delivery::Gap(a.id)).await;
    server.restart().await;
    let back = Instant::now();
    b.finds(tunnel(1), &[(&a, 1)]).await;
    a.talks_with(&b).await;
    let took = back.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");

    // Its generation stands: the next session is newer, an older one is not.
    let older = Announcement {
        generation: Some(generation - 1),
        ..claim(tunnel(1), 2, 2)
    };
    let refused = b.announce(&older).await;
    assert_eq!(refused, Err(AnnounceError::Replaced { by: generation }));
    let newer = b.holds(&claim(tunnel(1), 3, 3)).await;
    assert!(newer > generation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_heard_is_known_not_to_have_begun() {
    let server = Server::start(&[]).await;
    let a = Actor::join(&server.url(), 1).await;
    a.is_up().await;
    let gone = NodeId([77; 16]);
    let opening = Content::Open {
        link: LinkId(1),
        generation: 1,
        policy: PolicyId::NONE,
        attempt: 0,
        frame: Frame::body(StreamId(1), Bytes::from_static(b"a request"), true),
    };
    let sent = a.node.bus.send(gone, a.envelope(7, opening));
    assert_eq!(sent, Ok(()), "that it is gone is not known yet");
    let nack = Envelope {
        from: gone,
        ..a.envelope(7, Content::Nack(Nack::NotHere))
    };
    a.gets(&Delivery::Envelope(nack.clone())).await;
    a.gets(&Delivery::Lost(gone)).await;
    assert_eq!(
        a.all().first(),
        Some(&Delivery::Envelope(nack)),
        "it may be offered elsewhere before anything else is said of the node"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_an_outage_each_node_serves_its_own() {
    let mut server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    let old = a.holds(&claim(tunnel(1), 1, 1)).await;
    a.holds(&claim(tunnel(3), 3, 3)).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    server.kill().await;
    a.is_down().await;
    b.is_down().await;

    assert_eq!(a.serves(tunnel(1)).len(), 1, "what it holds it serves");
    let sent = a.node.bus.send(a.id, a.envelope(1, Content::Accepted));
    assert_eq!(sent, Ok(()), "the own node is always there");
    let sent = a.node.bus.send(b.id, a.envelope(1, Content::Accepted));
    assert_eq!(sent, Err(SendError::Unavailable));
    assert_eq!(b.node.directory.lookup(tunnel(1)).await, Err(Unavailable));
    let Health::Down { why } = b.node.bus.health() else {
        panic!("it cannot be up");
    };
    assert!(why.contains("127.0.0.1"), "{why}");

    // A new session registers elsewhere, and a link closes, while nobody can be told.
    let new = b.holds(&claim(tunnel(1), 2, 1)).await;
    assert!(new > old, "{new} after {old}");
    assert_eq!(b.serves(tunnel(1)).len(), 1);
    let withdrawn = a.node.directory.withdraw(tunnel(3), LinkId(3), 2).await;
    assert_eq!(withdrawn, Err(Unavailable));
    assert!(a.serves(tunnel(3)).is_empty());
    sleep(Duration::from_secs(2)).await;

    server.restart().await;
    let back = Instant::now();
    a.gets(&Delivery::Superseded {
        tunnel: tunnel(1),
        link: LinkId(1),
        by: new,
    })
    .await;
    a.finds(tunnel(1), &[(&b, 1)]).await;
    b.finds(tunnel(3), &[]).await;
    a.talks_with(&b).await;
    let took = back.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert_eq!(a.serves(tunnel(1)), []);
    assert_eq!(b.serves(tunnel(1))[0].generation, new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_of_the_outage_reaches_a_redis_that_forgot_nothing() {
    let server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    a.holds(&claim(tunnel(1), 1, 1)).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    server.signal("STOP").await;
    let withdrawn = a.node.directory.withdraw(tunnel(1), LinkId(1), 2).await;
    assert_eq!(withdrawn, Err(Unavailable), "Redis does not answer");
    a.is_down().await;
    server.signal("CONT").await;
    a.is_up().await;
    b.finds(tunnel(1), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_subscriber_is_a_gap_for_both_and_heals() {
    let server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    a.holds(&claim(tunnel(1), 1, 1)).await;
    a.talks_with(&b).await;
    server.run("CLIENT KILL TYPE pubsub").await;
    server.run("CLIENT KILL TYPE normal").await;
    a.gets(&Delivery::Gap(b.id)).await;
    let told = eventually(async || {
        let taken = b.all();
        taken.contains(&Delivery::Gap(a.id)) || taken.contains(&Delivery::Lost(a.id))
    });
    assert!(told.await, "{:?}", b.all());
    let back = Instant::now();
    a.talks_with(&b).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    let took = back.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_is_made_up_for() {
    let server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    let generation = a.holds(&claim(tunnel(1), 1, 1)).await;
    a.talks_with(&b).await;
    a.forget();
    b.forget();
    server.run("FLUSHALL").await;
    server.run("SCRIPT FLUSH").await;
    let began = Instant::now();
    b.finds(tunnel(1), &[(&a, 1)]).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    a.talks_with(&b).await;
    for delivery in a.all().iter().chain(&b.all()) {
        assert!(matches!(delivery, Delivery::Envelope(_)), "{delivery:?}");
    }
    let back = Announcement {
        generation: Some(generation),
        ..claim(tunnel(1), 1, 2)
    };
    assert_eq!(
        b.holds(&back).await,
        generation,
        "the session is known again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_stops_nothing_that_runs() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    a.holds(&claim(tunnel(1), 1, 1)).await;
    a.holds(&claim(tunnel(3), 3, 3)).await;
    server.run("CONFIG SET maxmemory 1").await;
    let generation = a.holds(&claim(tunnel(2), 2, 2)).await;
    assert!(generation > 0, "it is granted provisionally");
    assert_eq!(a.serves(tunnel(2)).len(), 1);
    b.finds(tunnel(2), &[]).await;
    let value = b
        .node
        .directory
        .put("k", vec![1].into(), Duration::from_secs(1));
    assert_eq!(value.await, Err(adit_bus::PutError::Full));
    let withdrawn = a.node.directory.withdraw(tunnel(3), LinkId(3), 2).await;
    assert_eq!(withdrawn, Ok(()), "what frees memory works");
    b.finds(tunnel(3), &[]).await;

    // Far longer than a lease: it is refreshed all the same.
    sleep(Duration::from_secs(3)).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    a.talks_with(&b).await;
    assert_eq!(a.node.bus.health(), Health::Up);
    server.run("CONFIG SET maxmemory 0").await;
    b.finds(tunnel(2), &[(&a, 2)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_redis_is_noticed_and_its_return_too() {
    let server = Server::start(&[]).await;
    let (a, b) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&server.url(), 2).await,
    );
    a.holds(&claim(tunnel(1), 1, 1)).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    a.talks_with(&b).await;
    server.signal("STOP").await;
    let began = Instant::now();
    a.is_down().await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    let ends = |it: &Delivery| *it == Delivery::Gap(b.id) || *it == Delivery::Lost(b.id);
    let ended = a.all().iter().any(ends);
    assert!(ended, "what was under way ends: {:?}", a.all());
    assert_eq!(a.serves(tunnel(1)).len(), 1);
    assert_eq!(b.node.directory.lookup(tunnel(1)).await, Err(Unavailable));
    server.signal("CONT").await;
    let back = Instant::now();
    b.finds(tunnel(1), &[(&a, 1)]).await;
    a.talks_with(&b).await;
    let took = back.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_node_is_lost_within_three_seconds_at_the_usual_intervals() {
    let server = Server::start(&[]).await;
    let usual = Timing::default;
    let a = Actor::join_with(&server.url(), 1, usual()).await;
    let b = Actor::join_with(&server.url(), 2, usual()).await;
    b.holds(&claim(tunnel(1), 1, 1)).await;
    a.finds(tunnel(1), &[(&b, 1)]).await;
    a.talks_with(&b).await;
    b.switch.crash().await;
    let began = Instant::now();
    a.gets(&Delivery::Lost(b.id)).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    let routes = a.node.directory.lookup(tunnel(1)).await;
    assert_eq!(
        routes.as_deref(),
        Ok(&[][..]),
        "its routes do not count any more"
    );
}

/// A node whose thread is held up misses what is sent; it must not run it late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stood_still_discards_what_was_sent_to_it() {
    let server = Server::start(&[]).await;
    let a = Actor::join(&server.url(), 1).await;
    let url = server.url();
    let (joined, taken) = (
        tokio::sync::oneshot::channel(),
        tokio::sync::oneshot::channel(),
    );
    let stopped = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("there is a runtime").block_on(async move {
            let b = Actor::join(&url, 2).await;
            joined.0.send(()).expect("the test waits");
            eventually(async || b.envelopes().len() == 1).await;
            b.node
                .bus
                .send(a_id(), b.envelope(1, Content::Accepted))
                .expect("the other is there");
            sleep(Duration::from_millis(300)).await;
            // The whole process stands still, as far as this node can tell.
            std::thread::sleep(Duration::from_millis(2600));
            eventually(async || b.all().contains(&Delivery::Gap(a_id()))).await;
            taken.0.send(b.all()).expect("the test waits");
            b.is_up().await;
            sleep(Duration::from_millis(500)).await;
        });
    });
    joined.1.await.expect("the other joins");
    let send = |n| {
        a.node
            .bus
            .send(adit_node(2), a.envelope(n, Content::Accepted))
    };
    send(1).expect("the other is there");
    let answered = eventually(async || a.envelopes().len() == 1).await;
    assert!(answered);
    sleep(Duration::from_millis(800)).await;
    // It stands still; what is sent now would be stale when it wakes.
    let _refused_once_lost = send(2);
    let all = taken.1.await.expect("the other takes something");
    let envelopes = all.iter().filter(|it| matches!(it, Delivery::Envelope(_)));
    assert_eq!(envelopes.count(), 1, "{all:?}");
    assert!(
        a.all().contains(&Delivery::Lost(adit_node(2))),
        "{:?}",
        a.all()
    );
    stopped.join().expect("it ends");
}

fn a_id() -> NodeId {
    adit_node(1)
}

fn adit_node(n: u8) -> NodeId {
    NodeId([n; 16])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_refused_without_being_shown() {
    use std::sync::Arc;

    use crate::fleet::Recorder;

    let server = Server::start(&["--requirepass", "right"]).await;
    for url in [
        format!("redis://:hunter2@127.0.0.1:{}", server.port),
        format!("redis://joe:hunter2@127.0.0.1:{}", server.port),
        format!("redis://127.0.0.1:{}", server.port),
    ] {
        let inbox = Arc::new(Recorder::default());
        let error = adit_bus::connect(&url, a_id(), inbox).await;
        let error = error.expect_err("the password is wrong");
        assert!(
            matches!(error, adit_bus::ConnectError::Refused(_)),
            "{error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let right = format!("redis://:right@127.0.0.1:{}", server.port);
    Actor::join(&right, 1).await.is_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_during_an_outage_joins_when_it_is_over() {
    let mut server = Server::start(&[]).await;
    server.kill().await;
    let a = Actor::join(&server.url(), 1).await;
    a.is_down().await;
    a.holds(&claim(tunnel(1), 1, 1)).await;
    assert_eq!(a.serves(tunnel(1)).len(), 1);
    server.restart().await;
    let b = Actor::join(&server.url(), 2).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
}

/// Word for word those that operators are told to give.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_of_the_docs_are_enough() {
    let docs = include_str!("../../../../docs/bus.md");
    let mut rights = docs
        .lines()
        .skip_while(|line| !line.contains("user adit on"));
    let rights: Vec<&str> = rights.by_ref().take(2).collect();
    let rights = rights.join(" ").replace(">PASSWORD", ">secret");
    let rights = rights
        .trim()
        .strip_prefix("user")
        .expect("it is there")
        .to_owned();
    let server = Server::start(&[]).await;
    assert_eq!(server.run(&format!("ACL SETUSER{rights}")).await, "+OK\r\n");
    server.run("ACL SETUSER default off").await;
    let url = format!("redis://adit:secret@127.0.0.1:{}", server.port);
    let (a, b) = (Actor::join(&url, 1).await, Actor::join(&url, 2).await);
    a.is_up().await;
    a.holds(&claim(tunnel(1), 1, 1)).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    b.holds(&claim(tunnel(1), 2, 2)).await;
    a.talks_with(&b).await;
    let directory = &a.node.directory;
    assert_eq!(directory.nodes(3).await, Ok(2));
    let minute = Duration::from_mins(1);
    directory
        .put("k", vec![1].into(), minute)
        .await
        .expect("it may");
    let taken = b.node.directory.take("k").await;
    assert_eq!(taken, Ok(Some(vec![1].into())));
    b.node.leave().await;
    a.gets(&Delivery::Lost(b.id)).await;
    a.finds(tunnel(1), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_of_one_prefix_are_counted_and_one_that_is_missed_may_be_restarting() {
    let mut server = Server::start(&[]).await;
    let (a, _stranger) = (
        Actor::join(&server.url(), 1).await,
        Actor::join(&format!("{}?prefix=other", server.url()), 2).await,
    );
    let nodes = async |enough| a.node.directory.nodes(enough).await;
    assert_eq!(nodes(2).await, Ok(1));
    let b = Actor::join(&server.url(), 3).await;
    assert_eq!(nodes(2).await, Ok(2));
    b.switch.crash().await;
    assert_eq!(nodes(2).await, Ok(2), "nobody is asked");
    assert_eq!(nodes(3).await, Ok(2), "it may come back");
    server.kill().await;
    a.is_down().await;
    assert_eq!(nodes(3).await, Ok(2), "what was known last");

    let alone = Actor::join(&server.url(), 4).await;
    assert_eq!(alone.node.directory.nodes(1).await, Err(Unavailable));
}
