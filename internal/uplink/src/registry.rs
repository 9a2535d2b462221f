//! The links of this node, by their id.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bus::LinkId;
use foldhash::HashMap;

use crate::link::Link;

/// Read for every envelope, written when a link comes or goes.
#[derive(Debug, Default)]
pub(crate) struct Registry(RwLock<HashMap<LinkId, Arc<Link>>>);

impl Registry {
    /// Enters a link for as long as the guard lives.
    pub(crate) fn insert(self: &Arc<Self>, link: Arc<Link>) -> Entered {
        self.write().insert(link.id, link.clone());
        Entered {
            registry: self.clone(),
            link,
        }
    }

    pub(crate) fn get(&self, id: LinkId) -> Option<Arc<Link>> {
        self.read().get(&id).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    /// Every link at this moment, so that nothing is called under the lock.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.read().values().cloned().collect()
    }

    // Nothing panics under these locks; a poisoned one still holds a good map.

    fn read(&self) -> RwLockReadGuard<'_, HashMap<LinkId, Arc<Link>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<LinkId, Arc<Link>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link's place in the registry. Dropped, the link can no longer be found and
/// every exchange on it has been told that it is lost.
#[derive(Debug)]
pub(crate) struct Entered {
    registry: Arc<Registry>,
    link: Arc<Link>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let removed = self.registry.write().remove(&self.link.id);
        // After the removal, and without its lock: cutting calls the bus.
        self.link.cut();
        drop(removed);
    }
}
