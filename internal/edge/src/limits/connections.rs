//! Connections by address, while they last.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use foldhash::{HashMap, HashMapExt};

use super::Crowd;

/// Counts connections. It holds one entry an address, so it is bounded by the
/// connections that a node takes at all.
pub(super) struct Connections {
    most: NonZeroU32,
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open(Mutex<HashMap<Crowd, u32>>);

/// One connection of an address, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    open: Arc<Open>,
    of: Crowd,
}

impl Connections {
    pub(super) fn new(most: NonZeroU32) -> Self {
        Self {
            most,
            open: Arc::new(Open(Mutex::new(HashMap::new()))),
        }
    }

    /// `None` when the address has as many as it may.
    pub(super) fn enter(&self, of: Crowd) -> Option<Place> {
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(of).or_default();
        if *count >= self.most.get() {
            return None;
        }
        *count += 1;
        Some(Place {
            open: self.open.clone(),
            of,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.of) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: u8) -> Crowd {
        Crowd::of([192, 0, 2, host].into())
    }

    #[test]
    fn an_address_has_so_many_at_a_time_and_nothing_is_kept_of_it_afterwards() {
        let connections = Connections::new(NonZeroU32::new(2).unwrap());
        let first = connections.enter(of(1)).unwrap();
        let second = connections.enter(of(1)).unwrap();
        assert!(connections.enter(of(1)).is_none());
        assert!(connections.enter(of(2)).is_some());
        drop(first);
        let third = connections.enter(of(1)).unwrap();
        assert!(connections.enter(of(1)).is_none());
        drop((second, third));
        assert!(connections.open.0.lock().unwrap().is_empty());
    }
}
