//! A fleet in one process: nodes put together as the server does it, and agents that publish closures.
//!
//! For tests that look inside, at counts no binary shows. What a user sees is tested with [`crate::process`] and
//! [`crate::fleet`]. Each node runs on a thread and a runtime of its own, so that it can be killed or frozen as a whole,
//! as a process can.

mod agent;
mod home;
mod node;

#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use tokio::time::{Instant, sleep};

pub use agent::{AgentToBe, ClusterAgent};
pub use node::Node;

use self::node::{Meeting, Place};
use crate::{fault::FaultProxy, redis::Redis, visitor::PATIENCE};

/// Tunnels are `*.` of this name.
const DOMAIN: &str = "localhost";

/// Nodes on one bus, counted from 0.
#[derive(Debug)]
pub struct Cluster {
    places: Vec<Place>,
    door: FaultProxy,
}

impl Cluster {
    /// So many nodes on a memory bus, with the settings they come with.
    pub async fn of(count: u8) -> Self {
        let (edge, uplink) = defaults();
        Self::with(count, &edge, &uplink).await
    }

    /// So many nodes on a memory bus, with these settings.
    pub async fn with(count: u8, edge: &edge::Config, uplink: &uplink::Config) -> Self {
        Self::meeting(&Meeting::memory(), count, edge, uplink).await
    }

    /// So many nodes on that Redis, each by a way of its own ([`Node::redis`]), with the settings they come with.
    pub async fn over_redis(count: u8, redis: &Redis) -> Self {
        let (edge, uplink) = defaults();
        Self::over_redis_with(count, redis, &edge, &uplink).await
    }

    /// The same with these settings.
    pub async fn over_redis_with(
        count: u8,
        redis: &Redis,
        edge: &edge::Config,
        uplink: &uplink::Config,
    ) -> Self {
        Self::meeting(&Meeting::Redis(redis.addr()), count, edge, uplink).await
    }

    async fn meeting(
        meeting: &Meeting,
        count: u8,
        edge: &edge::Config,
        uplink: &uplink::Config,
    ) -> Self {
        let mut places = Vec::new();
        for _ in 0..count {
            let mut place = Place::new(meeting.clone(), edge.clone(), uplink.clone());
            place.start().await;
            places.push(place);
        }
        let addrs: Vec<_> = places.iter().map(Place::addr).collect();
        Self {
            places,
            door: FaultProxy::among(&addrs).await,
        }
    }

    /// A node that runs.
    pub fn node(&self, index: usize) -> &Node {
        let place = self.places.get(index).expect("the cluster has that node");
        place.node()
    }

    /// An agent that dials the nodes by turns, as behind a balancer, with a key of its own.
    pub fn agent(&self) -> AgentToBe {
        AgentToBe::dialling(self.door.addr())
    }

    /// What agents of [`Cluster::agent`] dial: new connections go to the nodes by turns, past those that are dead.
    pub fn door(&self) -> &FaultProxy {
        &self.door
    }

    /// Ends a node without a goodbye: its tasks and its connections are gone when this returns.
    pub async fn kill(&mut self, index: usize) {
        self.place(index).kill().await;
    }

    /// Starts a node again that was killed: on its old address, under a new id, with nothing remembered.
    pub async fn start(&mut self, index: usize) {
        self.place(index).start().await;
    }

    /// Stops a node's clock: its connections stay open, and it does nothing; returns when it stands still.
    pub async fn freeze(&mut self, index: usize) {
        self.place(index).freeze().await;
    }

    /// Ends [`Cluster::freeze`].
    pub fn thaw(&mut self, index: usize) {
        self.place(index).thaw();
    }

    /// Parts a node from Redis, and so from the other nodes: nothing passes, and no connection closes. Its agents and
    /// visitors still reach it.
    pub fn partition(&self, index: usize) {
        self.node(index).redis().stall();
    }

    /// Ends [`Cluster::partition`].
    pub fn heal(&self, index: usize) {
        self.node(index).redis().resume();
    }

    fn place(&mut self, index: usize) -> &mut Place {
        let place = self.places.get_mut(index);
        place.expect("the cluster has that node")
    }
}

fn defaults() -> (edge::Config, uplink::Config) {
    (edge::Config::default(), uplink::Config::new(DOMAIN))
}

/// Waits until `count` is zero; how long that took.
pub async fn until_none<D: fmt::Debug>(what: D, count: impl Fn() -> usize) -> Duration {
    let began = Instant::now();
    while count() > 0 {
        assert!(began.elapsed() < PATIENCE, "{} {what:?} are left", count());
        sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}
