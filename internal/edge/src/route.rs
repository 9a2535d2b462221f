//! Which link serves a request.

use bus::{LinkId, Nack, Route};
use messages::TunnelId;

use crate::{edge::Edge, failure::Failure};

/// Links a request is offered to before the visitor hears of it.
const MAX_OFFERS: usize = 4;

/// The links a request has been offered to, and why they did not take it.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    tried: Vec<LinkId>,
    last: Option<Nack>,
}

impl Offers {
    pub(crate) fn refused(&mut self, link: LinkId, nack: Nack) {
        self.tried.push(link);
        self.last = Some(nack);
    }

    /// The next link to offer the request to: this node's own first, those that
    /// are leaving last.
    pub(crate) async fn next(&self, edge: &Edge, tunnel: TunnelId) -> Result<Route, Failure> {
        if self.tried.len() >= MAX_OFFERS {
            return Err(self.failure());
        }
        if let Some(route) = edge
            .directory
            .local(tunnel)
            .and_then(|routes| self.pick(&routes, edge))
        {
            return Ok(route);
        }
        let routes = edge
            .directory
            .lookup(tunnel)
            .await
            .map_err(|_| Failure::BusUnavailable)?;
        self.pick(&routes, edge).ok_or_else(|| self.failure())
    }

    fn pick(&self, routes: &[Route], edge: &Edge) -> Option<Route> {
        let open = |route: &&Route| !self.tried.contains(&route.link);
        let staying = || routes.iter().filter(open).filter(|route| !route.draining);
        let count = staying().count();
        if count > 0 {
            return staying().nth(edge.table.turn() % count).copied();
        }
        routes.iter().find(open).copied()
    }

    fn failure(&self) -> Failure {
        match self.last {
            Some(Nack::Busy) => Failure::Overloaded,
            Some(Nack::Draining) => Failure::Draining,
            Some(Nack::NotHere | Nack::Stale) | None => Failure::TunnelOffline,
        }
    }
}
