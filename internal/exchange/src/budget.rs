//! What the windows of one link may grow by, together.
//!
//! Every stream owns its initial window; the bound on those is the number of
//! streams. Growth beyond it is taken from this budget and given back when the
//! stream ends, so that a thousand fast streams cannot pin gigabytes.

use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of window growth left for the streams of one link.
#[derive(Debug)]
pub struct Budget(AtomicU32);

impl Budget {
    /// A budget of `bytes`.
    #[must_use]
    pub fn new(bytes: u32) -> Self {
        Self(AtomicU32::new(bytes))
    }

    /// Takes `bytes` when they are there; false, and nothing taken, otherwise.
    pub fn take(&self, bytes: u32) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    /// Gives back what [`Budget::take`] took.
    pub fn give(&self, bytes: u32) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes left.
    pub fn left(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
