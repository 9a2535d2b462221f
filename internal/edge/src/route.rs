//! Which link serves a request, and by whose rules.

use bus::{LinkId, Nack, Route, Routes};
use messages::{PolicyId, TunnelId};

use crate::{edge::Edge, failure::Failure};

/// Links a request is offered to before the visitor hears of it.
const MAX_OFFERS: usize = 4;

/// The links a request has been offered to, and why they did not take it.
///
/// The newest of the links that come into question decides by which policy the
/// request is treated; from then on only links that have the same come into
/// question.
#[derive(Debug, Clone)]
pub(crate) struct Offers {
    policy: PolicyId,
    /// The link that was found when the policy was, until it has been offered.
    found: Option<Route>,
    tried: Vec<LinkId>,
    last: Option<Nack>,
    taken: Option<LinkId>,
}

impl Offers {
    /// Finds a link, and with it the policy.
    pub(crate) async fn begin(edge: &Edge, tunnel: TunnelId) -> Result<Self, Failure> {
        let nobody = Tried {
            policy: None,
            links: &[],
        };
        let found = find(edge, tunnel, nobody).await?;
        let route = found.ok_or(Failure::TunnelOffline)?;
        Ok(Self {
            policy: route.policy,
            found: Some(route),
            tried: Vec::new(),
            last: None,
            taken: None,
        })
    }

    /// The rules for this request, [`PolicyId::NONE`] for none.
    pub(crate) fn policy(&self) -> PolicyId {
        self.policy
    }

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

    /// The next link to offer the request to.
    pub(crate) async fn next(&mut self, edge: &Edge, tunnel: TunnelId) -> Result<Route, Failure> {
        if let Some(route) = self.found.take() {
            return Ok(route);
        }
        if self.tried.len() >= MAX_OFFERS {
            return Err(self.failure());
        }
        let tried = Tried {
            policy: Some(self.policy),
            links: &self.tried,
        };
        match find(edge, tunnel, tried).await? {
            Some(route) => Ok(route),
            None if has_other_rules(edge, tunnel, self.policy).await => {
                Err(Failure::PolicyUnavailable)
            }
            None => Err(self.failure()),
        }
    }

    fn failure(&self) -> Failure {
        match self.last {
            Some(Nack::Busy) => Failure::Overloaded,
            Some(Nack::Draining) => Failure::Draining,
            Some(Nack::NotHere | Nack::Stale) | None => Failure::TunnelOffline,
        }
    }
}

/// What a link must not be, to be offered the request.
#[derive(Clone, Copy)]
struct Tried<'a> {
    /// Other than this policy; `None` while the newest link decides it.
    policy: Option<PolicyId>,
    links: &'a [LinkId],
}

/// Local first: a link of this node that is to stay is found without asking the
/// fleet. Those that are leaving come last, this node's and others' alike.
async fn find(edge: &Edge, tunnel: TunnelId, tried: Tried<'_>) -> Result<Option<Route>, Failure> {
    let local = edge.directory.local(tunnel).unwrap_or_default();
    if let Some(route) = tried.pick(edge, &local, |route| !route.draining) {
        return Ok(Some(route));
    }
    let any = |routes: &Routes| tried.pick(edge, routes, |_| true);
    let Ok(routes) = edge.directory.lookup(tunnel).await else {
        return any(&local).map(Some).ok_or(Failure::BusUnavailable);
    };
    Ok(tried
        .pick(edge, &routes, |route| !route.draining)
        .or_else(|| any(&routes))
        .or_else(|| any(&local)))
}

/// True when the tunnel is served, but by rules that were not applied to this
/// request: its agent came back with others meanwhile.
async fn has_other_rules(edge: &Edge, tunnel: TunnelId, applied: PolicyId) -> bool {
    let differs = |routes: Routes| routes.iter().any(|route| route.policy != applied);
    edge.directory.local(tunnel).is_some_and(differs)
        || edge.directory.lookup(tunnel).await.is_ok_and(differs)
}

impl Tried<'_> {
    /// The least busy of the links that will do; in turn where they are equal.
    fn pick(self, edge: &Edge, routes: &Routes, will_do: impl Fn(&Route) -> bool) -> Option<Route> {
        let fit = |route: &&Route| will_do(route) && !self.links.contains(&route.link);
        if let [only] = routes.as_ref() {
            // The usual case, kept free of everything that chooses.
            return Some(only)
                .filter(fit)
                .filter(|route| self.policy.is_none_or(|policy| policy == route.policy))
                .copied();
        }
        // Routes come with the newest first.
        let policy = self
            .policy
            .or_else(|| Some(routes.iter().find(fit)?.policy))?;
        let fit = |route: &&Route| route.policy == policy && fit(route);
        let turn = edge.table.turn();
        let count = routes.iter().filter(fit).count();
        let in_turn = routes.iter().filter(fit).cycle().skip(turn % count.max(1));
        in_turn
            .take(count)
            .min_by_key(|route| edge.table.in_flight(route.link))
            .copied()
    }
}
