//! What a test may break from inside. Without the `conformance` feature there is nothing here to break.

use messages::NodeId;

#[cfg(feature = "conformance")]
#[derive(Debug, Default)]
pub(super) struct Faults {
    lose: std::sync::Mutex<std::collections::HashSet<NodeId>>,
    notices: std::sync::atomic::AtomicBool,
}

#[cfg(feature = "conformance")]
impl Faults {
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// The next batch for `to` is counted as sent, and lost on the way.
    pub(super) fn lose_next_batch(&self, to: NodeId) {
        super::locked(&self.lose).insert(to);
    }

    /// No notice of a takeover arrives from now on.
    pub(super) fn lose_notices(&self) {
        self.notices
            .store(true, std::sync::atomic::Ordering::Relaxed);
    }

    pub(super) fn loses_batch(&self, to: NodeId) -> bool {
        super::locked(&self.lose).remove(&to)
    }

    pub(super) fn loses_notices(&self) -> bool {
        self.notices.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(not(feature = "conformance"))]
#[derive(Debug)]
pub(super) struct Faults;

#[cfg(not(feature = "conformance"))]
#[expect(clippy::unused_self, reason = "the same face as the one above")]
impl Faults {
    pub(super) fn none() -> Self {
        Self
    }

    pub(super) fn loses_batch(&self, _: NodeId) -> bool {
        false
    }

    pub(super) fn loses_notices(&self) -> bool {
        false
    }
}
