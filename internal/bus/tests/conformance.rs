//! Every backend against the one suite. A new backend adds its [`Backend`] and one test.

#[path = "redis/hasty.rs"]
mod hasty;
#[path = "redis/masters.rs"]
#[expect(dead_code, reason = "the tests of trouble use the rest")]
mod masters;
#[path = "redis/server.rs"]
#[expect(dead_code, reason = "the tests of trouble use the rest")]
mod server;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_bus::conformance::{self, Backend};
use adit_bus::memory::Fleet;
use adit_bus::redis::{self, Switch, Timing};
use adit_bus::{Inbox, Node};
use futures_util::future::BoxFuture;
use messages::NodeId;

use crate::hasty::hasty;
use crate::masters::Masters;
use crate::server::Server;

struct Memory(Fleet);

impl Backend for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn join(&self, node: NodeId, inbox: Arc<dyn Inbox>) -> BoxFuture<'_, Node> {
        Box::pin(async move { self.0.join(node, inbox) })
    }

    fn crash<'a>(&'a self, node: &'a Node) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.0.crash(node.bus.node()) })
    }

    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::advance(by))
    }
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_every_rule() {
    conformance::run(&Memory(Fleet::new())).await;
}

#[tokio::test(start_paused = true)]
async fn memory_with_a_snapshot_keeps_every_rule() {
    let directory = tempfile::tempdir().expect("there is room");
    let fleet = Fleet::with_snapshot(&directory.path().join("pins"));
    conformance::run(&Memory(fleet.expect("there is room"))).await;
}

/// No rule is about a store or a process that stands still: on a machine with other work all rules at once must not look
/// like one.
fn patient() -> Timing {
    Timing {
        command: Duration::from_secs(4),
        stall: Duration::from_secs(10),
        ..hasty()
    }
}

/// Nodes on one real server, whose time is real.
struct Redis {
    name: &'static str,
    url: String,
    switches: Mutex<HashMap<NodeId, Switch>>,
}

impl Redis {
    fn new(name: &'static str, url: String) -> Self {
        Self {
            name,
            url,
            switches: Mutex::default(),
        }
    }

    fn switch(&self, node: &Node) -> Switch {
        self.switches.lock().expect("nobody panicked")[&node.bus.node()].clone()
    }
}

impl Backend for Redis {
    fn name(&self) -> &'static str {
        self.name
    }

    fn join(&self, node: NodeId, inbox: Arc<dyn Inbox>) -> BoxFuture<'_, Node> {
        Box::pin(async move {
            let joined = redis::join(&self.url, patient(), node, inbox).await;
            let joined = joined.expect("the server is there");
            self.switches
                .lock()
                .expect("nobody panicked")
                .insert(node, joined.switch);
            joined.node
        })
    }

    fn crash<'a>(&'a self, node: &'a Node) -> BoxFuture<'a, ()> {
        let switch = self.switch(node);
        Box::pin(async move { switch.crash().await })
    }

    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(by))
    }

    fn at_once(&self) -> usize {
        conformance::CHECKS.len()
    }

    fn minute(&self) -> Duration {
        hasty().takeovers
    }

    fn lease(&self) -> Duration {
        hasty().lease
    }

    fn lose_next(&self, from: &Node, to: NodeId) -> bool {
        self.switch(from).lose_next_batch(to);
        true
    }

    fn lose_notices(&self, from: &Node) -> bool {
        self.switch(from).lose_notices();
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_every_rule() {
    let server = Server::start(&[]).await;
    conformance::run(&Redis::new("redis", server.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_keeps_every_rule() {
    let masters = Masters::start().await;
    conformance::run(&Redis::new("redis cluster", masters.url())).await;
}
