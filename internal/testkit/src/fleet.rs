//! A fleet as an operator runs it: real servers, a real Redis, a real load balancer in front of them.
//!
//! Nodes are counted from 0 and keep their port when they die and come back, as a replaced machine keeps its name.

mod setup;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, process::ExitStatus};

use tempfile::TempDir;

pub use setup::FleetToBe;

use crate::{
    balancer::{Balancer, HaProxy},
    fault::FaultProxy,
    load::{Load, Running},
    port::Port,
    process::{Agent, Key, Server},
    redis::Redis,
    visitor::Visitor,
};

/// A running fleet. Everything in it is killed when it is dropped.
#[derive(Debug)]
pub struct Fleet {
    nodes: Vec<Seat>,
    /// What joins the nodes, for a test to hurt.
    pub redis: Redis,
    /// What stands in front of them.
    pub balancer: Option<Balancer>,
    _settings: TempDir,
}

/// A node's place.
#[derive(Debug)]
struct Seat {
    port: Port,
    options: Vec<String>,
    redis: Option<FaultProxy>,
    server: Option<Server>,
}

impl Fleet {
    /// A fleet of so many nodes, not started yet.
    pub fn of(nodes: usize) -> FleetToBe {
        FleetToBe::of(nodes)
    }

    /// A node that runs.
    pub fn node(&self, index: usize) -> &Server {
        let server = self.seat(index).server.as_ref();
        server.unwrap_or_else(|| panic!("node {index} runs"))
    }

    /// Where a node listens, when it runs.
    pub fn addr_of(&self, index: usize) -> SocketAddr {
        self.seat(index).port.addr()
    }

    /// The addresses of all nodes.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|seat| seat.port.addr()).collect()
    }

    /// Where everybody comes in: the balancer, or else node 0.
    pub fn addr(&self) -> SocketAddr {
        let balancer = self.balancer.as_ref().map(Balancer::addr);
        balancer.unwrap_or_else(|| self.addr_of(0))
    }

    /// The balancer, when it is that one.
    pub fn haproxy(&self) -> &HaProxy {
        match &self.balancer {
            Some(Balancer::HaProxy(haproxy)) => haproxy,
            other => panic!("the fleet is behind {other:?}"),
        }
    }

    /// The way from a node to Redis; see [`FleetToBe::with_faults`].
    pub fn way_to_redis(&self, index: usize) -> &FaultProxy {
        let way = self.seat(index).redis.as_ref();
        way.expect("the fleet was started with faults")
    }

    /// Kills a node without warning.
    pub async fn kill(&mut self, index: usize) {
        self.take(index).program.kill().await;
    }

    /// Ends a node by SIGTERM, and waits until it has drained; how it ended.
    pub async fn stop(&mut self, index: usize) -> ExitStatus {
        self.drain(index).await;
        self.take(index).program.ended().await
    }

    /// Tells a node by SIGTERM to drain, and does not wait.
    pub async fn drain(&self, index: usize) {
        self.node(index).program.signal("TERM").await;
    }

    /// Stops a node's clock: its connections stay open, and nothing answers.
    pub async fn pause(&self, index: usize) {
        self.node(index).program.signal("STOP").await;
    }

    /// Ends [`Fleet::pause`].
    pub async fn resume(&self, index: usize) {
        self.node(index).program.signal("CONT").await;
    }

    /// Starts a node that has ended, on the port it had; returns when it says that it listens.
    pub async fn start(&mut self, index: usize) {
        let seat = self.nodes.get_mut(index).expect("the fleet has that node");
        assert!(seat.server.is_none(), "node {index} runs already");
        let options: Vec<&str> = seat.options.iter().map(String::as_str).collect();
        seat.server = Some(Server::at(&seat.port.addr().to_string(), &options).await);
    }

    /// Waits until the balancer sends to that node. Nothing to wait for without one that asks.
    pub async fn until_balanced(&self, index: usize) {
        if let Some(Balancer::HaProxy(haproxy)) = &self.balancer {
            haproxy.until(self.addr_of(index), true).await;
        }
    }

    /// Publishes `target` through the balancer; `options` as `adit http` takes them.
    pub async fn agent(&self, target: &str, key: &Key, options: &[&str]) -> Agent {
        Agent::dial(self.addr(), target, key, options).await
    }

    /// Publishes `target` through one node.
    pub async fn agent_of(&self, index: usize, target: &str, key: &Key, options: &[&str]) -> Agent {
        Agent::dial(self.addr_of(index), target, key, options).await
    }

    /// A visitor of that agent who comes in through the balancer.
    pub fn visitor(&self, agent: &Agent) -> Visitor {
        agent.visitor_at(self.addr())
    }

    /// A visitor of that agent who comes in at one node.
    pub fn visitor_of(&self, index: usize, agent: &Agent) -> Visitor {
        agent.visitor_at(self.addr_of(index))
    }

    /// Steady visitors of that agent through the balancer.
    pub fn load(&self, load: Load, agent: &Agent) -> Running {
        load.through(self.addr(), agent.host())
    }

    fn seat(&self, index: usize) -> &Seat {
        self.nodes.get(index).expect("the fleet has that node")
    }

    fn take(&mut self, index: usize) -> Server {
        let seat = self.nodes.get_mut(index).expect("the fleet has that node");
        let server = seat.server.take();
        server.unwrap_or_else(|| panic!("node {index} runs"))
    }
}
