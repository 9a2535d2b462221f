//! Buffers that links lend each other. Of the links on a thread one is polled at a time, so what they read into and write
//! from is needed once a thread, not once a link; an idle link holds neither.
//!
//! Kept rather than allocated anew, because the pages of a fresh large buffer are faulted in one by one: given back
//! and taken again, buffers of 64 KiB and more were a third of the cost of a body when that was measured.

use std::cell::RefCell;

/// Buffers that a thread keeps, of each kind. More are in use only while links are held up in the middle of something.
const KEPT: usize = 2;

/// A thread's spare buffers of one kind, for a `thread_local!`.
pub(super) struct Pool<T>(RefCell<Vec<T>>);

impl<T: Default> Pool<T> {
    pub(super) const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// A spare one, or a new one.
    pub(super) fn lend(&self) -> T {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes one back, which the caller has emptied.
    pub(super) fn give_back(&self, buffer: T) {
        let mut spare = self.0.borrow_mut();
        if spare.len() < KEPT {
            spare.push(buffer);
        }
    }
}
