//! How much one visitor and one tunnel may ask for.
//!
//! Requests are counted by visitor, before anything is looked up for them, and by
//! tunnel, once it is known to be there. Look-ups that find nothing are counted
//! for themselves: a name costs whoever tries it nothing, and a fleet a question.
//! Connections are counted while they last. What is not limited costs nothing.
//!
//! All of it is the process's, whichever worker counts. Of the fleet, only a
//! tunnel's rate is: see [`share`].

mod excess;
mod meter;
mod misses;
mod share;

use std::net::IpAddr;

use bus::Directory;
use ipnet::IpNet;
use limit::{Crowd, Places};
use messages::TunnelId;
use tokio::{
    sync::Mutex,
    time::{Duration, MissedTickBehavior, interval},
};

use crate::{
    config::{Config, OverRate},
    forwarded::is_trusted,
};

use meter::Meter;
use misses::Misses;
use share::Shared;

/// One connection of a visitor, until it is dropped.
pub(crate) type Place = limit::Place<Crowd>;

pub(crate) use excess::Excess;

/// How often counts that say nothing any more are let go of, and the nodes of the
/// fleet are counted.
const UPKEEP: Duration = Duration::from_secs(5);

/// The limits of a node, and what counts against them.
pub(crate) struct Limits {
    /// Networks that speak for others: they are not limited as if they were one
    /// visitor.
    proxies: Vec<IpNet>,
    connections: Option<Places<Crowd>>,
    visitors: Option<Meter<Crowd>>,
    misses: Option<Misses>,
    tunnels: Option<Shared>,
    tunnels_over_rate: OverRate,
    /// Held by the worker that does the upkeep.
    keeper: Mutex<()>,
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            proxies: config.trusted_proxies.clone(),
            connections: config.max_connections_per_address.map(Places::new),
            visitors: config.visitor_requests.map(|rate| Meter::new(rate, 1)),
            misses: config.visitor_misses.map(Misses::new),
            tunnels: config.tunnel_requests.map(Shared::new),
            tunnels_over_rate: config.tunnels_over_rate.clone(),
            keeper: Mutex::default(),
        }
    }

    /// A place for one more connection of that address. Proxies' own connections
    /// are not counted: whoever they bring is.
    ///
    /// # Errors
    /// [`Full`] when it has as many as it may.
    pub(crate) fn connect(&self, address: IpAddr) -> Result<Option<Place>, Full> {
        match &self.connections {
            Some(connections) if !self.is_proxy(address) => connections
                .enter(Crowd::of(address))
                .map(Some)
                .ok_or(Full(address)),
            _ => Ok(None),
        }
    }

    /// Counts a request of that visitor.
    ///
    /// # Errors
    /// What he has exceeded.
    pub(crate) fn visit(&self, visitor: IpAddr) -> Result<(), Excess> {
        match &self.visitors {
            Some(meter) if !self.is_proxy(visitor) => meter
                .count(&Crowd::of(visitor))
                .map_err(|wait| Excess::new(excess::VISITOR, meter.rate(), wait)),
            _ => Ok(()),
        }
    }

    /// Whether that visitor may have something looked up.
    ///
    /// # Errors
    /// Too many of his look-ups have found nothing.
    pub(crate) fn search(&self, visitor: IpAddr) -> Result<(), Excess> {
        self.misses
            .as_ref()
            .map_or(Ok(()), |misses| misses.check(Crowd::of(visitor)))
    }

    /// Counts a look-up that found nothing.
    pub(crate) fn missed(&self, visitor: IpAddr) {
        if let Some(misses) = &self.misses
            && !self.is_proxy(visitor)
        {
            misses.count(Crowd::of(visitor));
        }
    }

    /// Counts a request for that tunnel, which is live.
    ///
    /// # Errors
    /// What it has exceeded.
    pub(crate) fn call(&self, tunnel: TunnelId) -> Result<(), Excess> {
        self.tunnels
            .as_ref()
            .map_or(Ok(()), |tunnels| tunnels.count(tunnel))
            .inspect_err(|_| self.tunnels_over_rate.tell(tunnel))
    }

    /// Keeps counts small, and a tunnel's share of the fleet's rate right, for as
    /// long as it is polled. Each worker may call it: one at a time does the work.
    pub(crate) async fn upkeep(&self, directory: &dyn Directory) {
        let _keeper = self.keeper.lock().await;
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(visitors) = &self.visitors {
                visitors.tidy();
            }
            if let Some(misses) = &self.misses {
                misses.tidy();
            }
            if let Some(tunnels) = &self.tunnels {
                tunnels.tidy();
                tunnels.share_among(directory).await;
            }
        }
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        is_trusted(address, &self.proxies)
    }
}

/// An address has as many connections as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} has as many connections as one address may")]
pub(crate) struct Full(pub(crate) IpAddr);

#[cfg(test)]
mod tests;
