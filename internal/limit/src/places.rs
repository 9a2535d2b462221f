//! So many at a time, while they last.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::{HashMap, HashMapExt as _};

/// Counts what each key holds. There is one entry for a key that holds anything, so it is bounded by what is held at all.
#[derive(Debug)]
pub struct Places<K: Hash + Eq + Clone> {
    most: NonZeroU32,
    held: Arc<Held<K>>,
}

#[derive(Debug)]
struct Held<K>(Mutex<HashMap<K, u32>>);

/// One place of a key, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Place<K: Hash + Eq> {
    held: Arc<Held<K>>,
    of: K,
}

impl<K: Hash + Eq + Clone> Places<K> {
    /// So many for each key.
    #[must_use]
    pub fn new(most: NonZeroU32) -> Self {
        Self {
            most,
            held: Arc::new(Held(Mutex::new(HashMap::new()))),
        }
    }

    /// `None` when the key has as many as it may.
    pub fn enter(&self, of: K) -> Option<Place<K>> {
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(of.clone()).or_default();
        if *count >= self.most.get() {
            return None;
        }
        *count += 1;
        Some(Place {
            held: self.held.clone(),
            of,
        })
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(&self.of) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(&self.of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_at_a_time_and_nothing_is_kept_of_it_afterwards() {
        let places = Places::new(NonZeroU32::new(2).unwrap());
        let first = places.enter(1).unwrap();
        let second = places.enter(1).unwrap();
        assert!(places.enter(1).is_none());
        assert!(places.enter(2).is_some());
        drop(first);
        let third = places.enter(1).unwrap();
        assert!(places.enter(1).is_none());
        drop((second, third));
        assert!(places.held.0.lock().unwrap().is_empty());
    }
}
