//! The two traits, on one seat: which of the fleet's methods answers what, and that each waits until polled.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use messages::{NodeId, PolicyId, TunnelId};

use super::{Seat, Shared};
use crate::law::Pin;
use crate::{
    AnnounceError, Announced, Announcement, Bus, Delivery, Directory, Envelope, Health, LinkId,
    PinError, PutError, Routes, SendError, Unavailable,
};

/// A node's handle: both traits on one seat.
pub(super) struct Member {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, seat: Arc<Seat>) -> Self {
        Self { shared, seat }
    }
}

impl Bus for Member {
    fn node(&self) -> NodeId {
        self.seat.node
    }

    fn send(&self, to: NodeId, envelope: Envelope) -> Result<(), SendError> {
        let delivery = Delivery::Envelope(envelope);
        if to == self.seat.node {
            return match self.seat.deliver(delivery) {
                true => Ok(()),
                false => Err(SendError::Unavailable),
            };
        }
        if self.seat.has_left() {
            return Err(SendError::Unavailable);
        }
        match self.shared.seats.load().get(&to) {
            Some(seat) if seat.deliver(delivery) => Ok(()),
            _ => Err(SendError::NoSuchNode),
        }
    }

    fn health(&self) -> Health {
        if self.seat.has_left() {
            return Health::Down {
                why: "this node has left the bus".to_owned(),
            };
        }
        Health::Up
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.shared.unseat(&self.seat) })
    }
}

impl Directory for Member {
    fn announce(
        &self,
        announcement: Announcement,
    ) -> BoxFuture<'_, Result<Announced, AnnounceError>> {
        Box::pin(async move { self.shared.announce(&self.seat, &announcement) })
    }

    fn withdraw(
        &self,
        tunnel: TunnelId,
        link: LinkId,
        version: u64,
    ) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.shared.withdraw(&self.seat, tunnel, link, version) })
    }

    fn mark_draining(&self) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async { self.shared.mark_draining(&self.seat) })
    }

    fn local(&self, tunnel: TunnelId) -> Option<Routes> {
        self.seat.local.get(tunnel)
    }

    fn lookup(&self, tunnel: TunnelId) -> BoxFuture<'_, Result<Routes, Unavailable>> {
        Box::pin(async move {
            self.shared.seated(&self.seat)?;
            Ok(self.shared.routes.get(tunnel).unwrap_or_default())
        })
    }

    fn policy(&self, tunnel: TunnelId, policy: PolicyId) -> Option<Bytes> {
        if policy.is_none() {
            return Some(Bytes::new());
        }
        self.shared.routes.document(tunnel, policy)
    }

    fn pin(
        &self,
        name: [u8; 32],
        sequence: u64,
        tip: [u8; 32],
    ) -> BoxFuture<'_, Result<(), PinError>> {
        Box::pin(async move {
            let seated = self.shared.seated(&self.seat);
            seated.map_err(|Unavailable| PinError::Unavailable)?;
            self.shared.pins.pin(name, Pin { sequence, tip }).await
        })
    }

    fn nodes(&self, _enough: usize) -> BoxFuture<'_, Result<usize, Unavailable>> {
        Box::pin(async {
            self.shared.seated(&self.seat)?;
            Ok(self.shared.seats.load().len())
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), PutError>> {
        Box::pin(async move {
            let seated = self.shared.seated(&self.seat);
            seated.map_err(|Unavailable| PutError::Unavailable)?;
            let now = self.shared.clock.now();
            self.shared.values().put(key, &value, ttl, now.instant)
        })
    }

    fn take<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Unavailable>> {
        Box::pin(async move {
            self.shared.seated(&self.seat)?;
            let now = self.shared.clock.now();
            Ok(self.shared.values().take(key, now.instant))
        })
    }

    /// Nothing here goes stale while the process lives; what has become too old to keep is let go.
    fn renew(&self) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async {
            self.shared.seated(&self.seat)?;
            let now = self.shared.clock.now();
            self.shared.ledger().forget_old(now.instant);
            self.shared.values().forget_expired(now.instant);
            Ok(())
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.unseat(&self.seat);
    }
}
