//! What a fleet is made of, and in which order: ports, Redis, nodes, balancer.

use std::fs;

use super::{Fleet, Seat};
use crate::{
    balancer::{Balancer, Kind},
    fault::FaultProxy,
    port::Port,
    redis::Redis,
};

/// A fleet that has not been started.
#[derive(Debug, Clone)]
pub struct FleetToBe {
    count: usize,
    balancer: Option<Kind>,
    settings: String,
    redis: Vec<String>,
    bus: Option<String>,
    faults: bool,
}

impl FleetToBe {
    pub(super) fn of(count: usize) -> Self {
        Self {
            count,
            balancer: None,
            settings: String::new(),
            redis: Vec::new(),
            bus: None,
            faults: false,
        }
    }

    /// Behind such a balancer. Without one, the public URL is that of node 0.
    #[must_use]
    pub fn behind(mut self, balancer: Kind) -> Self {
        self.balancer = Some(balancer);
        self
    }

    /// With these lines in each node's configuration file. `listen`, `domain`, `bus`, `public_url` and `trusted_proxies`
    /// are the fleet's.
    #[must_use]
    pub fn with(mut self, settings: &str) -> Self {
        settings.clone_into(&mut self.settings);
        self
    }

    /// With these options of its Redis, such as `["--maxmemory", "4mb"]`.
    #[must_use]
    pub fn with_redis(mut self, options: &[&str]) -> Self {
        self.redis = options.iter().map(|&option| option.to_owned()).collect();
        self
    }

    /// With a [`FaultProxy`] between each node and Redis.
    #[must_use]
    pub fn with_faults(mut self) -> Self {
        self.faults = true;
        self
    }

    /// On another bus than its own Redis, which then stands idle.
    #[must_use]
    pub fn on(mut self, bus: &str) -> Self {
        self.bus = Some(bus.to_owned());
        self
    }

    /// Starts all of it; returns when each node listens and the balancer, if it asks, has found it ready.
    pub async fn start(self) -> Fleet {
        let redis: Vec<&str> = self.redis.iter().map(String::as_str).collect();
        let redis = Redis::configured(&redis).await;
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("server.toml");
        let settings = format!("trusted_proxies = [\"127.0.0.1\"]\n{}", self.settings);
        fs::write(&file, settings).expect("the settings can be written");
        let ports: Vec<Port> = (0..self.count).map(|_| Port::free()).collect();
        let door = self.balancer.map(|kind| (kind, Port::free()));
        let public = door.as_ref().map_or(&ports[0], |(_, port)| port).number();
        let public = format!("http://localhost:{public}");
        let file = file.display().to_string();
        let mut nodes = Vec::new();
        for port in ports {
            let way = match self.faults {
                true => Some(FaultProxy::to(redis.addr()).await),
                false => None,
            };
            let way_url = way.as_ref().map(|way| format!("redis://{}", way.addr()));
            let bus = self.bus.clone().or(way_url).unwrap_or_else(|| redis.url());
            let options = ["--config", &file, "--public-url", &public, "--bus", &bus];
            nodes.push(Seat {
                port,
                options: options.map(str::to_owned).to_vec(),
                redis: way,
                server: None,
            });
        }
        let mut fleet = Fleet {
            nodes,
            redis,
            balancer: None,
            _settings: folder,
        };
        for index in 0..self.count {
            fleet.start(index).await;
        }
        if let Some((kind, port)) = door {
            fleet.balancer = Some(Balancer::start(kind, port, &fleet.addrs()).await);
        }
        for index in 0..self.count {
            fleet.until_balanced(index).await;
        }
        fleet
    }
}
