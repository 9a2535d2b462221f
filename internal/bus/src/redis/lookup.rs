//! Finding the routes of a tunnel: from the cache or by one question, without nodes that are gone, with the own links.
//! The texts of policies are asked for only where they are not known yet: a policy's id says what it is.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
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
use crate::documents::Documents;
use crate::{MAX_DOCUMENT, Route, Routes, Unavailable};

/// How often the routes are asked for where the text of a policy was gone by the time it was asked for.
const MAX_ROUNDS: usize = 3;

/// Of how many different policies of one tunnel the texts are fetched, those of the newest links. Routes with others are
/// left out: only the first route's policy counts.
const MAX_POLICIES: usize = 16;

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
                shared.cache.settle(tunnel, question, answer.as_ref());
                answer.map(|(routes, _)| routes)
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

    /// The routes on other nodes that live, as Redis has them, and the texts of their policies.
    async fn others(
        &self,
        session: &Session,
        tunnel: TunnelId,
    ) -> Result<(Routes, Documents), StoreError> {
        let mut round = 1;
        loop {
            let mut routes = self.living(session, tunnel).await?;
            let documents = self.documents(session, tunnel, &routes).await?;
            // A text that is not there has no link any more: the routes are others by now.
            if has_all(&documents, &routes) || round == MAX_ROUNDS {
                routes.retain(|route| documents.get(route.policy).is_some());
                return Ok((routes.into(), documents));
            }
            round += 1;
        }
    }

    /// The texts of the policies that the first routes name, by one question at most.
    async fn documents(
        &self,
        session: &Session,
        tunnel: TunnelId,
        routes: &[Route],
    ) -> Result<Documents, StoreError> {
        let mut known = Vec::new();
        let mut missing = Vec::new();
        for policy in policies_of(routes) {
            match self.cache.document(tunnel, policy) {
                Some(document) => known.push((policy, document)),
                None => missing.push(policy),
            }
        }
        if !missing.is_empty() {
            let key = self.names.policies(tunnel);
            let mut question = redis::cmd("HMGET");
            question.arg(&key);
            for policy in &missing {
                question.arg(scripts::policy_word(*policy));
            }
            let answer = session.run(&key, question).await?;
            let texts = answer.into_sequence().unwrap_or_default();
            let found = missing.into_iter().zip(texts.into_iter().map(document_of));
            known.extend(found.filter_map(|(policy, text)| Some((policy, text?))));
        }
        Ok(known.into_iter().collect())
    }

    async fn living(&self, session: &Session, tunnel: TunnelId) -> Result<Vec<Route>, StoreError> {
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
        Ok(routes)
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
        let (generation, mode, policy) = scripts::parse_held(text(&held)?)?;
        Some(Route {
            node,
            link,
            generation,
            draining: false,
            mode,
            policy,
        })
    });
    routes.collect()
}

/// The different policies of the routes, in their order, as many as are looked at.
fn policies_of(routes: &[Route]) -> Vec<PolicyId> {
    let mut policies = Vec::new();
    for route in routes {
        if !route.policy.is_none() && !policies.contains(&route.policy) {
            policies.push(route.policy);
        }
        if policies.len() == MAX_POLICIES {
            break;
        }
    }
    policies
}

/// Whether every policy that was asked for has its text.
fn has_all(documents: &Documents, routes: &[Route]) -> bool {
    let mut policies = policies_of(routes).into_iter();
    policies.all(|policy| documents.get(policy).is_some())
}

fn document_of(answer: Value) -> Option<Bytes> {
    match answer {
        Value::BulkString(text) if text.len() <= MAX_DOCUMENT => Some(text.into()),
        _ => None,
    }
}

/// The order a directory returns routes in.
fn sort(routes: &mut [Route]) {
    routes.sort_by_key(|route| (route.draining, Reverse(route.generation)));
}
