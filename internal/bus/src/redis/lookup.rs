//! Finding the routes of a tunnel: from the cache or by one question, without nodes that are gone, with the own links.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use messages::{NodeId, PolicyId, TunnelId};
use redis::Value;

use super::cache::Found;
use super::error::StoreError;
use super::leases::Lease;
use super::names;
use super::scripts::{self, text};
use super::session::Session;
use super::shared::Shared;
use crate::{Mode, Route, Routes, Unavailable};

impl Shared {
    pub(super) async fn lookup(self: &Arc<Self>, tunnel: TunnelId) -> Result<Routes, Unavailable> {
        if self.has_left() {
            return Err(Unavailable);
        }
        let session = self.session.load_full().ok_or(Unavailable)?;
        let found = self.cache.get(tunnel, |question| {
            let shared = Arc::clone(self);
            async move {
                let answer = shared.others(&session, tunnel).await;
                let answer = shared.answered(answer);
                shared.cache.settle(tunnel, question, &answer);
                answer
            }
            .boxed()
        });
        let others = match found {
            Found::Known(routes) => routes,
            Found::Asked(answer) => answer.await?,
        };
        let routes = self.with_own(tunnel, Routes::clone(&others));
        if routes.is_empty() && !others.is_empty() {
            // Those who held it are gone since: somebody else may by now.
            self.cache.forget(tunnel);
        }
        Ok(routes)
    }

    /// The routes on other nodes that live, as Redis has them.
    async fn others(&self, session: &Session, tunnel: TunnelId) -> Result<Routes, StoreError> {
        let key = self.names.links(tunnel);
        let mut question = redis::cmd("HGETALL");
        question.arg(&key);
        let answer = session.run(&key, question).await?;
        let mut routes = routes_of(answer);
        routes.retain(|route| route.node != self.node);
        let nodes: BTreeSet<[u8; 16]> = routes.iter().map(|route| route.node.0).collect();
        let nodes: Vec<NodeId> = nodes.into_iter().map(NodeId).collect();
        let age = self.timing.not_found;
        let living = self.leases.of(session, &self.names, &nodes, age).await?;
        routes.retain_mut(|route| match living.get(&route.node) {
            Some(lease) => {
                route.draining = *lease == Lease::Draining;
                true
            }
            None => false,
        });
        sort(&mut routes);
        Ok(routes.into())
    }

    /// Adds this node's own links, and leaves out nodes that were found to be gone.
    fn with_own(&self, tunnel: TunnelId, others: Routes) -> Routes {
        let own = self.own.local(tunnel);
        let is_gone = |route: &Route| self.pairs.is_gone(route.node);
        if own.is_none() && !others.iter().any(is_gone) {
            return others;
        }
        let others = others.iter().filter(|route| !is_gone(route)).copied();
        let mut routes: Vec<Route> = others.collect();
        routes.extend(own.iter().flat_map(|own| own.iter().copied()));
        sort(&mut routes);
        routes.into()
    }
}

fn routes_of(answer: Value) -> Vec<Route> {
    let links = answer.into_map_iter().into_iter().flatten();
    let routes = links.filter_map(|(field, held)| {
        let (node, link) = names::parse_field(text(&field)?)?;
        let (generation, mode): (u64, Mode) = scripts::parse_held(text(&held)?)?;
        Some(Route {
            node,
            link,
            generation,
            draining: false,
            mode,
            policy: PolicyId::NONE,
        })
    });
    routes.collect()
}

/// The order a directory returns routes in.
fn sort(routes: &mut [Route]) {
    routes.sort_by_key(|route| (route.draining, Reverse(route.generation)));
}
