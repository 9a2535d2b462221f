//! Request ids: what finds one request in the logs of edge, uplink and agent.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use messages::RequestId;

/// Makes ids that do not repeat within a process and tell nobody how many
/// requests there are: a counter under two keyed hashes, without a system call.
#[derive(Debug, Default)]
pub(crate) struct RequestIds {
    keys: [RandomState; 2],
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let [high, low] = self
            .keys
            .each_ref()
            .map(|key| u128::from(key.hash_one(number)));
        RequestId((high << 64 | low).to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_and_do_not_count() {
        let ids = RequestIds::default();
        let made: Vec<RequestId> = (0..1000).map(|_| ids.next()).collect();
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), 1000);
        let other = RequestIds::default().next();
        assert_ne!(other, made[0], "each process has its own");
    }
}
