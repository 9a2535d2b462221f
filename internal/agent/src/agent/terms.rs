//! What an agent asks its server for, and may ask for anew while it runs.

use std::sync::Arc;

use messages::{Policy, Secret};
use tokio::sync::watch;

/// The terms of an agent's registrations. Clones share them.
#[derive(Clone)]
pub(super) struct Terms(watch::Sender<Arc<Stated>>);

/// Terms, as stated once.
#[derive(Debug)]
pub(super) struct Stated {
    pub(super) policy: Option<Policy>,
    pub(super) token: Option<Secret>,
}

impl Terms {
    pub(super) fn new(policy: Option<Policy>, token: Option<Secret>) -> Self {
        Self(watch::Sender::new(Arc::new(Stated { policy, token })))
    }

    pub(super) fn set(&self, policy: Option<Policy>, token: Option<Secret>) {
        self.0.send_if_modified(|stated| {
            let differ = stated.policy != policy || stated.token != token;
            if differ {
                *stated = Arc::new(Stated { policy, token });
            }
            differ
        });
    }

    pub(super) fn stated(&self) -> Arc<Stated> {
        self.0.borrow().clone()
    }

    /// Waits until others are stated than these. Cancel safe.
    pub(super) async fn other_than(&self, known: &Arc<Stated>) {
        let mut stated = self.0.subscribe();
        let other = stated.wait_for(|stated| !Arc::ptr_eq(stated, known)).await;
        drop(other.expect("the sender is here"));
    }
}
