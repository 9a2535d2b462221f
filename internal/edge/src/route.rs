//! Which link serves a request.

use bus::{LinkId, Nack, Route, Routes};
use messages::TunnelId;

use crate::{edge::Edge, failure::Failure};

/// Links a request is offered to before the visitor hears of it.
const MAX_OFFERS: usize = 4;

/// The links a request has been offered to, and why they did not take it.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    tried: Vec<LinkId>,
    last: Option<Nack>,
    taken: Option<LinkId>,
}

impl Offers {
    /// The link would not take the request. One that is not where it was said to
    /// be shows that what is remembered of the tunnel is old.
    pub(crate) fn refused(&mut self, edge: &Edge, tunnel: TunnelId, link: LinkId, nack: Nack) {
        self.tried.push(link);
        self.last = Some(nack);
        if matches!(nack, Nack::NotHere | Nack::Stale) {
            edge.directory.forget(tunnel);
        }
    }

    /// The link took the request.
    pub(crate) fn taken_by(&mut self, link: LinkId) {
        self.taken = Some(link);
    }

    /// The link that took the request was lost with it.
    pub(crate) fn lost(&mut self, edge: &Edge, tunnel: TunnelId) {
        if let Some(link) = self.taken.take() {
            self.refused(edge, tunnel, link, Nack::NotHere);
        }
    }

    /// The next link to offer the request to. Local first: a link of this node that
    /// is to stay is found without asking the fleet. Those that are leaving come
    /// last, this node's and others' alike.
    pub(crate) async fn next(&self, edge: &Edge, tunnel: TunnelId) -> Result<Route, Failure> {
        if self.tried.len() >= MAX_OFFERS {
            return Err(self.failure());
        }
        let local = edge.directory.local(tunnel).unwrap_or_default();
        if let Some(route) = self.pick(edge, &local, |route| !route.draining) {
            return Ok(route);
        }
        let Ok(routes) = edge.directory.lookup(tunnel).await else {
            return self.any(edge, &local).ok_or(Failure::BusUnavailable);
        };
        self.pick(edge, &routes, |route| !route.draining)
            .or_else(|| self.any(edge, &routes))
            .or_else(|| self.any(edge, &local))
            .ok_or_else(|| self.failure())
    }

    fn any(&self, edge: &Edge, routes: &Routes) -> Option<Route> {
        self.pick(edge, routes, |_| true)
    }

    /// The least busy of the links that will do; in turn where they are equal.
    fn pick(
        &self,
        edge: &Edge,
        routes: &Routes,
        will_do: impl Fn(&Route) -> bool,
    ) -> Option<Route> {
        if let [only] = routes.as_ref() {
            // The usual case, kept free of everything that chooses.
            return Some(*only).filter(|route| will_do(route) && !self.tried.contains(&route.link));
        }
        let fit = |route: &&Route| will_do(route) && !self.tried.contains(&route.link);
        let turn = edge.table.turn();
        let count = routes.iter().filter(fit).count();
        let in_turn = routes.iter().filter(fit).cycle().skip(turn % count.max(1));
        in_turn
            .take(count)
            .min_by_key(|route| edge.table.in_flight(route.link))
            .copied()
    }

    fn failure(&self) -> Failure {
        match self.last {
            Some(Nack::Busy) => Failure::Overloaded,
            Some(Nack::Draining) => Failure::Draining,
            Some(Nack::NotHere | Nack::Stale) | None => Failure::TunnelOffline,
        }
    }
}
