//! The caps on what strangers may ask of this node: handshakes in progress and
//! links (each in all and per address), registrations per address and minute.
//!
//! Keys are free, so a cap per key would cap nothing: everything here counts by
//! address. It is asked before the first byte is answered, hence before any
//! signature is verified. What it remembers is bounded too: by the caps
//! themselves for what is held, by [`MAX_REMEMBERED`] for rates.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use limit::{Crowd, Meter, Quota};

/// Addresses whose registration rate is remembered at a time; about 2 MiB. When
/// more than that register within a minute, the rates start anew: forgetting is
/// better than growing, and than refusing everybody.
const MAX_REMEMBERED: usize = 65_536;

/// The caps. Zero handshakes or links means none are admitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) pending: u32,
    pub(crate) pending_per_address: u32,
    /// `None`: not limited.
    pub(crate) links: Option<NonZeroU32>,
    pub(crate) links_per_address: u32,
    /// `None`: not limited.
    pub(crate) registrations_per_minute: Option<NonZeroU32>,
}

/// The cap that turned a connection away before its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cap {
    #[error("this server has as many handshakes in progress as it takes")]
    Handshakes,
    #[error("too many handshakes in progress from your address")]
    HandshakesHere,
    #[error("this server holds as many links as it takes")]
    Links,
    #[error("too many links from your address")]
    LinksHere,
    #[error("too many registrations from your address")]
    Rate { retry_after: Duration },
}

/// The counts behind the caps.
#[derive(Debug)]
pub(crate) struct Counts {
    caps: Caps,
    rates: Option<Meter<Crowd>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pending: u32,
    links: u32,
    held: HashMap<Crowd, Held>,
}

/// What one address holds now. An entry lives only while it holds something.
#[derive(Debug, Default, Clone, Copy)]
struct Held {
    pending: u32,
    links: u32,
}

impl Counts {
    pub(crate) fn new(caps: Caps) -> Arc<Self> {
        let rates = caps.registrations_per_minute.map(Quota::per_minute);
        Arc::new(Self {
            caps,
            rates: rates.map(|quota| Meter::new(quota, MAX_REMEMBERED)),
            state: Mutex::new(State {
                pending: 0,
                links: 0,
                held: HashMap::new(),
            }),
        })
    }

    /// Asks for a handshake. The permit holds its place until it is dropped or
    /// becomes a link's.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<PendingPermit, Cap> {
        let key = Crowd::of(peer);
        let mut state = self.lock();
        self.room(&state, key)?;
        // Last, so that only what is let in uses up the rate.
        self.charge(key)?;
        state.pending += 1;
        state.held.entry(key).or_default().pending += 1;
        Ok(PendingPermit(Place {
            counts: self.clone(),
            key,
            kind: Kind::Pending,
        }))
    }

    /// Whether there is room for a handshake, whatever the rate says. Nothing is
    /// held by asking.
    pub(crate) fn check(&self, peer: IpAddr) -> Result<(), Cap> {
        self.room(&self.lock(), Crowd::of(peer))
    }

    fn room(&self, state: &State, key: Crowd) -> Result<(), Cap> {
        let held = state.held.get(&key).copied().unwrap_or_default();
        if state.pending >= self.caps.pending {
            return Err(Cap::Handshakes);
        }
        if held.pending >= self.caps.pending_per_address {
            return Err(Cap::HandshakesHere);
        }
        let links = state.links.saturating_add(state.pending);
        if self.caps.links.is_some_and(|most| links >= most.get()) {
            return Err(Cap::Links);
        }
        if held.links.saturating_add(held.pending) >= self.caps.links_per_address {
            return Err(Cap::LinksHere);
        }
        Ok(())
    }

    fn charge(&self, key: Crowd) -> Result<(), Cap> {
        let charged = self
            .rates
            .as_ref()
            .map_or(Ok(()), |rates| rates.count(&key));
        charged.map_err(|retry_after| Cap::Rate { retry_after })
    }

    /// Handshakes in progress.
    pub(crate) fn pending(&self) -> u32 {
        self.lock().pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock; a poisoned one still holds good counts.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn release(&mut self, key: Crowd, kind: Kind) {
        let Some(held) = self.held.get_mut(&key) else {
            return;
        };
        match kind {
            Kind::Pending => {
                held.pending = held.pending.saturating_sub(1);
                self.pending = self.pending.saturating_sub(1);
            }
            Kind::Link => {
                held.links = held.links.saturating_sub(1);
                self.links = self.links.saturating_sub(1);
            }
        }
        if held.pending == 0 && held.links == 0 {
            self.held.remove(&key);
        }
    }
}

/// A place among the handshakes in progress; gives it back when dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct PendingPermit(Place);

impl PendingPermit {
    /// The handshake succeeded: the place counts as a link from now on.
    pub(crate) fn into_link(mut self) -> LinkPermit {
        {
            let mut state = self.0.counts.lock();
            state.pending = state.pending.saturating_sub(1);
            state.links = state.links.saturating_add(1);
            let held = state.held.entry(self.0.key).or_default();
            held.pending = held.pending.saturating_sub(1);
            held.links = held.links.saturating_add(1);
        }
        self.0.kind = Kind::Link;
        LinkPermit(self.0)
    }
}

/// A place among the links of an address; gives it back when dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct LinkPermit(#[expect(dead_code, reason = "held for its drop")] Place);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Pending,
    Link,
}

#[derive(Debug)]
struct Place {
    counts: Arc<Counts>,
    key: Crowd,
    kind: Kind,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.lock().release(self.key, self.kind);
    }
}

#[cfg(test)]
mod tests;
