//! What agents ask the edge to enforce on requests for their tunnel.
//!
//! A policy comes as a document that is signed into a registration and named by
//! its hash. It is compiled once into a [`Stack`] of tower layers, one a rule, and
//! kept for all requests that name it. `stack` has the order of the rules and its
//! reasons; each rule has a file of its own that knows nothing of the others. A
//! tunnel without a policy never comes here.

mod addresses;
mod compress;
mod cors;
mod exchange;
mod https;
mod layer;
mod password;
mod path;
mod request_fields;
mod response_fields;
mod robots;
mod stack;
#[cfg(test)]
mod trial;
mod webhook;

use std::sync::Arc;

use bytes::Bytes;
use messages::{Policy, PolicyError, PolicyId, TunnelId};
use quick_cache::{UnitWeighter, sync::Cache};
use sha2::{Digest, Sha256};
use tokio_util::task::TaskTracker;

use crate::{config::Config, edge::Edge, failure::Failure};

use compress::Coders;
pub(crate) use exchange::Exchange;
use password::Passwords;
use stack::Stack;
use webhook::Holding;

/// Compiled policies that are kept: some 10 MiB of the largest.
const MAX_COMPILED: u64 = 1024;

/// Compiled policies, and what all of them share.
#[derive(Debug)]
pub(crate) struct Policies {
    /// `None` for a document that cannot be enforced here, so that it is not tried
    /// with each request.
    compiled: Cache<PolicyId, Option<Arc<Stack>>>,
    shared: Shared,
}

/// What the rules of all tunnels share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// The server's domain, whose cookies no tunnel sets.
    domain: Arc<str>,
    passwords: Arc<Passwords>,
    holding: Holding,
    coders: Coders,
}

/// Why a document is not enforced.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// It is not the one that was asked for.
    #[error("its hash is not its name")]
    OtherName,
    /// This server does not understand it; a newer one may have taken it.
    #[error(transparent)]
    Refused(#[from] PolicyError),
}

impl Policies {
    pub(crate) fn new(config: &Config, tasks: TaskTracker) -> Self {
        Self {
            // The first number is what is set aside at once.
            compiled: Cache::with_weighter(16, MAX_COMPILED, UnitWeighter),
            shared: Shared {
                domain: config.domain.as_str().into(),
                passwords: Arc::new(Passwords::new(tasks)),
                holding: Holding::new(config),
                coders: Coders::new(),
            },
        }
    }

    /// The rules of that name.
    ///
    /// # Errors
    /// [`Failure::PolicyUnavailable`] when they are not to be had or not to be
    /// understood: nobody gets in without them.
    pub(crate) async fn find(
        &self,
        edge: &Edge,
        tunnel: TunnelId,
        policy: PolicyId,
    ) -> Result<Arc<Stack>, Failure> {
        if let Some(known) = self.compiled.get(&policy) {
            return known.ok_or(Failure::PolicyUnavailable);
        }
        let document = document(edge, tunnel, policy)
            .await
            .ok_or(Failure::PolicyUnavailable)?;
        self.take(policy, &document)
            .ok_or(Failure::PolicyUnavailable)
    }

    fn take(&self, policy: PolicyId, document: &[u8]) -> Option<Arc<Stack>> {
        let stack = match compile(policy, document, &self.shared) {
            Ok(stack) => Some(Arc::new(stack)),
            Err(Unusable::OtherName) => {
                // Not remembered: the right document may come yet.
                tracing::warn!("dropped the document of a policy: its hash is not its name");
                return None;
            }
            Err(Unusable::Refused(error)) => {
                tracing::warn!(%error, "a policy cannot be enforced here; its tunnel is closed to visitors of this node");
                None
            }
        };
        self.compiled.insert(policy, stack.clone());
        stack
    }
}

/// The document is kept beside the routes that name it; where those were let go of
/// meanwhile, another look-up brings both back.
async fn document(edge: &Edge, tunnel: TunnelId, policy: PolicyId) -> Option<Bytes> {
    if let Some(document) = edge.directory.policy(tunnel, policy) {
        return Some(document);
    }
    edge.directory.forget(tunnel);
    edge.directory.lookup(tunnel).await.ok()?;
    edge.directory.policy(tunnel, policy)
}

/// The name is checked because what is compiled serves every tunnel that names it.
fn compile(policy: PolicyId, document: &[u8], shared: &Shared) -> Result<Stack, Unusable> {
    if Sha256::digest(document)[..] != policy.0 {
        return Err(Unusable::OtherName);
    }
    let rules = Policy::from_json(document)?;
    Ok(Stack::compile(&rules, policy, shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies() -> Policies {
        Policies::new(&Config::default(), TaskTracker::new())
    }

    fn name(document: &[u8]) -> PolicyId {
        PolicyId(Sha256::digest(document).into())
    }

    #[test]
    fn a_policy_is_compiled_once() {
        let policies = policies();
        let document = br#"{"https_only":true}"#;
        let first = policies.take(name(document), document).unwrap();
        let kept = policies.compiled.get(&name(document)).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &kept));
    }

    #[test]
    fn a_document_under_anothers_name_is_not_taken_for_it() {
        let policies = policies();
        let strict = name(br#"{"allow_ips":["10.0.0.1"]}"#);
        assert!(policies.take(strict, b"{}").is_none());
        assert!(policies.compiled.get(&strict).is_none());
    }

    #[test]
    fn rules_that_are_not_understood_are_remembered_as_such() {
        let policies = policies();
        let document = br#"{"rule_of_next_year":true}"#;
        assert!(policies.take(name(document), document).is_none());
        assert!(policies.compiled.get(&name(document)).unwrap().is_none());
    }
}
