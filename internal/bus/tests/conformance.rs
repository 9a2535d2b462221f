//! Every backend against the one suite. A new backend adds its [`Backend`] and one test.

use std::sync::Arc;
use std::time::Duration;

use adit_bus::conformance::{self, Backend};
use adit_bus::memory::Fleet;
use adit_bus::{Inbox, Node};
use futures_util::future::BoxFuture;
use messages::NodeId;

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
