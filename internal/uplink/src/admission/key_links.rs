//! How many links each key holds on this node.
//!
//! A session that takes its tunnel over replaces links that still count here for
//! a moment, so those do not stand in its way: the limit is on what will be left.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bus::{LinkId, SessionId};
use foldhash::HashMap;
use messages::TunnelId;

/// The links of every key that has some.
#[derive(Debug, Default)]
pub(crate) struct KeyLinks(Mutex<HashMap<TunnelId, Vec<Held>>>);

/// A link, as far as it matters who replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) link: LinkId,
    pub(crate) tunnel: TunnelId,
    pub(crate) session: SessionId,
    pub(crate) exclusive: bool,
}

/// The key holds as many links on this node as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) most: u32,
}

impl KeyLinks {
    /// Counts a link for `owner`, the key's own tunnel, for as long as the place
    /// lives. `None` is no limit.
    pub(crate) fn enter(
        self: &Arc<Self>,
        owner: TunnelId,
        newcomer: Held,
        most: Option<NonZeroU32>,
    ) -> Result<KeyPlace, Full> {
        let mut keys = self.lock();
        let held = keys.entry(owner).or_default();
        let replaced = |old: &&Held| {
            newcomer.exclusive && old.tunnel == newcomer.tunnel && old.session != newcomer.session
        };
        let left = held.len() - held.iter().filter(replaced).count();
        if let Some(most) = most.map(NonZeroU32::get)
            && u32::try_from(left).unwrap_or(u32::MAX) >= most
        {
            return Err(Full { most });
        }
        held.push(newcomer);
        Ok(KeyPlace {
            links: self.clone(),
            owner,
            link: newcomer.link,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TunnelId, Vec<Held>>> {
        // Nothing panics under this lock; a poisoned one still holds a good map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the links of a key; gives it back when dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct KeyPlace {
    links: Arc<KeyLinks>,
    owner: TunnelId,
    link: LinkId,
}

impl Drop for KeyPlace {
    fn drop(&mut self) {
        let mut keys = self.links.lock();
        if let Some(held) = keys.get_mut(&self.owner) {
            held.retain(|held| held.link != self.link);
            if held.is_empty() {
                keys.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: TunnelId = TunnelId([1; 32]);
    const BEN: TunnelId = TunnelId([2; 32]);

    fn held(link: u64, tunnel: u8, session: u8, exclusive: bool) -> Held {
        Held {
            link: LinkId(link),
            tunnel: TunnelId([tunnel; 32]),
            session: [session; 16],
            exclusive,
        }
    }

    #[test]
    fn links_of_a_key_are_counted_over_all_its_tunnels_and_places_come_back() {
        let links = Arc::new(KeyLinks::default());
        let two = NonZeroU32::new(2);
        let first = links.enter(ANN, held(1, 1, 1, true), two).unwrap();
        let _second = links.enter(ANN, held(2, 7, 1, true), two).unwrap();
        assert_eq!(
            links.enter(ANN, held(3, 8, 1, true), two).unwrap_err(),
            Full { most: 2 }
        );
        let _others = links.enter(BEN, held(4, 2, 1, true), two).unwrap();
        drop(first);
        let _again = links.enter(ANN, held(3, 8, 1, true), two).unwrap();
    }

    #[test]
    fn a_session_that_takes_over_is_not_kept_out_by_those_it_replaces() {
        let links = Arc::new(KeyLinks::default());
        let one = NonZeroU32::new(1);
        let _old = links.enter(ANN, held(1, 1, 1, true), one).unwrap();
        let pooled = links.enter(ANN, held(2, 1, 1, true), one);
        assert_eq!(
            pooled.unwrap_err(),
            Full { most: 1 },
            "a further link of its own session"
        );
        let shared = links.enter(ANN, held(2, 1, 2, false), one);
        assert_eq!(shared.unwrap_err(), Full { most: 1 }, "it replaces nobody");
        let _new = links.enter(ANN, held(2, 1, 2, true), one).unwrap();
    }

    #[test]
    fn nothing_is_remembered_of_a_key_without_links() {
        let links = Arc::new(KeyLinks::default());
        let place = links.enter(ANN, held(1, 1, 1, true), None).unwrap();
        drop(place);
        assert!(links.lock().is_empty());
    }

    #[test]
    fn a_key_that_was_refused_leaves_no_trace() {
        let links = Arc::new(KeyLinks::default());
        let one = NonZeroU32::new(1);
        let place = links.enter(ANN, held(1, 1, 1, true), one).unwrap();
        assert!(links.enter(ANN, held(2, 9, 1, true), one).is_err());
        drop(place);
        assert!(links.lock().is_empty());
    }
}
