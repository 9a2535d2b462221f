//! The two traits on one node: what answers at once, and what goes on as a task when nobody waits for it any more.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use messages::{NodeId, PolicyId, TunnelId};

use super::own::Withdrawal;
use super::shared::Shared;
use super::supervisor;
use crate::law::Pin;
use crate::{
    AnnounceError, Announced, Announcement, Bus, Delivery, Directory, Envelope, Health, LinkId,
    PinError, PutError, Routes, SendError, Unavailable,
};

/// A node's handle. Its tasks end when it is dropped.
pub(super) struct Member {
    shared: Arc<Shared>,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs an operation to its end even when the caller goes away, so that it happens wholly or not at all.
    async fn wholly<T: Send + 'static>(
        &self,
        operation: impl Future<Output = T> + Send + 'static,
        otherwise: T,
    ) -> T {
        self.shared
            .tasks
            .spawn(operation)
            .await
            .unwrap_or(otherwise)
    }
}

impl Bus for Member {
    fn node(&self) -> NodeId {
        self.shared.node
    }

    fn send(&self, to: NodeId, envelope: Envelope) -> Result<(), SendError> {
        if to == self.shared.node {
            let delivery = Delivery::Envelope(envelope);
            return match self.shared.door.deliver(delivery) {
                true => Ok(()),
                false => Err(SendError::Unavailable),
            };
        }
        if self.shared.has_left() {
            return Err(SendError::Unavailable);
        }
        self.shared.pairs.send(to, envelope)
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let leave = supervisor::leave(Arc::clone(&self.shared));
            self.wholly(leave, ()).await;
        })
    }
}

impl Directory for Member {
    fn announce(
        &self,
        announcement: Announcement,
    ) -> BoxFuture<'_, Result<Announced, AnnounceError>> {
        Box::pin(async move {
            let shared = Arc::clone(&self.shared);
            let operation = async move { shared.announce(announcement).await };
            self.wholly(operation, Err(AnnounceError::Unavailable))
                .await
        })
    }

    fn withdraw(
        &self,
        tunnel: TunnelId,
        link: LinkId,
        version: u64,
    ) -> BoxFuture<'_, Result<(), Unavailable>> {
        let withdrawal = Withdrawal {
            tunnel,
            link,
            version,
        };
        Box::pin(async move {
            let shared = Arc::clone(&self.shared);
            let operation = async move { shared.withdraw(withdrawal).await };
            self.wholly(operation, Err(Unavailable)).await
        })
    }

    fn mark_draining(&self) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async {
            let shared = Arc::clone(&self.shared);
            let operation = async move { shared.mark_draining().await };
            self.wholly(operation, Err(Unavailable)).await
        })
    }

    fn local(&self, tunnel: TunnelId) -> Option<Routes> {
        self.shared.own.local(tunnel)
    }

    fn lookup(&self, tunnel: TunnelId) -> BoxFuture<'_, Result<Routes, Unavailable>> {
        Box::pin(self.shared.lookup(tunnel))
    }

    fn forget(&self, tunnel: TunnelId) {
        self.shared.cache.forget(tunnel);
    }

    fn policy(&self, tunnel: TunnelId, policy: PolicyId) -> Option<Bytes> {
        if policy.is_none() {
            return Some(Bytes::new());
        }
        let own = self.shared.own.document(tunnel, policy);
        own.or_else(|| self.shared.cache.document(tunnel, policy))
    }

    fn pin(
        &self,
        name: [u8; 32],
        sequence: u64,
        tip: [u8; 32],
    ) -> BoxFuture<'_, Result<(), PinError>> {
        Box::pin(async move {
            let shared = Arc::clone(&self.shared);
            let operation = async move { shared.pin(name, Pin { sequence, tip }).await };
            self.wholly(operation, Err(PinError::Unavailable)).await
        })
    }

    fn nodes(&self, enough: usize) -> BoxFuture<'_, Result<usize, Unavailable>> {
        Box::pin(self.shared.nodes(enough))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), PutError>> {
        Box::pin(async move { self.shared.put(key, &value, ttl).await })
    }

    fn take<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Unavailable>> {
        Box::pin(self.shared.take(key))
    }

    fn renew(&self) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(self.shared.renew())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
