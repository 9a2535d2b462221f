//! What the receiver does to an exchange: events out of the mailbox, credit
//! given back.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use messages::{Frame, INITIAL_WINDOW, Reset, ResetCode};

use super::{Shared, no_more, remember};
use crate::{Event, Role, mailbox::UNASSIGNED, state::State};

impl Shared {
    pub(crate) fn poll_event(&self, cx: &Context<'_>) -> Poll<Result<Event, Reset>> {
        let mut state = self.lock();
        if let Some(event) = state.queue.pop_front() {
            state.waiting_since = (!state.queue.is_empty()).then(|| self.now());
            return Poll::Ready(Ok(event));
        }
        if let Some(reset) = &state.cut {
            return Poll::Ready(Err(reset.clone()));
        }
        if state.in_ended {
            return Poll::Ready(Ok(Event::End));
        }
        remember(&mut state.receive_waker, cx);
        Poll::Pending
    }

    /// Nothing is left to receive, and the peer's direction ended whole.
    pub(crate) fn is_finished(&self) -> bool {
        let state = self.lock();
        state.in_ended && state.cut.is_none() && state.queue.is_empty()
    }

    /// All that was announced is here; what the peer still says is of no
    /// interest, and no reason to cancel.
    pub(crate) fn satisfied(&self) {
        self.lock().unwanted = true;
    }

    /// `cost` bytes have been taken by the next hop: grants them again when
    /// enough have gathered and the peer may need them.
    pub(crate) fn consumed(&self, cost: u32, to_come: Option<u64>) {
        let now = self.now();
        self.update(|state, after| {
            if to_come.is_some_and(|to_come| state.window.suffices(cost, to_come)) {
                state.window.freed(cost);
            } else if let Some(increment) = self.grant_anew(state, cost, now)
                && !state.in_ended
                && state.cut.is_none()
            {
                after.send = Some(Frame::window(UNASSIGNED, increment));
            }
            if state.done {
                self.settle(state);
            }
        });
    }

    /// What to grant now that `cost` bytes are gone; the window grows as far as the budget lets it.
    fn grant_anew(&self, state: &mut State, cost: u32, now: Duration) -> Option<u32> {
        let mut grown = 0;
        let increment = state.window.consumed(cost, now, |extra| {
            let granted = self
                .budget
                .as_ref()
                .is_some_and(|budget| budget.take(extra));
            if granted {
                grown = extra;
            }
            granted
        });
        state.grown += grown;
        increment
    }

    /// Opens a window that started at zero: the request body that waited for
    /// `100 Continue` is wanted.
    pub(crate) fn open_window(&self) {
        self.update(|state, after| {
            let grant = state.window.open(INITIAL_WINDOW);
            if let (Some(grant), false, None) = (grant, state.in_ended, &state.cut) {
                after.send = Some(Frame::window(UNASSIGNED, grant));
            }
        });
    }

    /// The receiver went away.
    pub(crate) fn unwanted(&self) {
        let left = self.update(|state, after| {
            if std::mem::replace(&mut state.unwanted, true) {
                return false;
            }
            let whole = state.in_ended && !state.queue.iter().any(Event::is_content);
            state.queue.clear();
            if whole || state.cut.is_some() {
                return false;
            }
            if state.out_ended && !state.in_ended && self.role == Role::Agent {
                after.send = Some(no_more());
            }
            true
        });
        if left && self.role == Role::Edge {
            self.abort(Reset::new(ResetCode::Cancelled, "the visitor left"));
        }
    }
}
