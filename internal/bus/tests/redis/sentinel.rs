//! A master that dies, and sentinels who name another.

use std::time::Duration;

use tokio::time::Instant;

use crate::fleet::{Actor, claim, eventually, tunnel};
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_the_new_master_is_used() {
    let mut master = Server::start(&[]).await;
    let of = ["--replicaof", "127.0.0.1", &master.port.to_string()];
    let quick = ["--repl-diskless-sync-delay", "0"];
    let replica = Server::start(&[of.as_slice(), &quick].concat()).await;
    let synced = async || {
        replica
            .run("INFO replication")
            .await
            .contains("master_link_status:up")
    };
    assert!(eventually(synced).await, "the replica follows");
    let configuration = format!(
        "sentinel monitor main 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds main 500\n\
         sentinel failover-timeout main 2000\n",
        master.port
    );
    let sentinel = Server::sentinel(&configuration).await;
    let knows = async || {
        sentinel
            .run("SENTINEL REPLICAS main")
            .await
            .contains("slave")
    };
    assert!(eventually(knows).await, "the sentinel knows the replica");

    // The first address is nobody's: the next one is asked.
    let url = format!(
        "redis+sentinel://127.0.0.1:1,127.0.0.1:{}/main",
        sentinel.port
    );
    let (a, b) = (Actor::join(&url, 1).await, Actor::join(&url, 2).await);
    let generation = a.holds(&claim(tunnel(1), 1, 1)).await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    a.talks_with(&b).await;
    master.kill().await;
    a.is_down().await;
    assert_eq!(a.serves(tunnel(1)).len(), 1);

    let promoted = async || replica.run("ROLE").await.contains("master");
    assert!(eventually(promoted).await, "the replica is promoted");
    let began = Instant::now();
    a.is_up().await;
    b.finds(tunnel(1), &[(&a, 1)]).await;
    a.talks_with(&b).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    let newer = b.holds(&claim(tunnel(1), 2, 1)).await;
    assert!(newer > generation);
}
