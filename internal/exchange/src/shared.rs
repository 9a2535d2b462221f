//! The state of one exchange behind its lock: frames in from the table, frames
//! out through the outlet, and who is woken by what.

mod incoming;
mod outgoing;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use messages::{Frame, Message, Reset, ResetCode};
use tokio::time::Instant;

use crate::{
    Budget, Delivered, Opening, Outlet, Role, Violation,
    mailbox::UNASSIGNED,
    state::{State, end_early, refuse},
};

pub(crate) struct Shared {
    outlet: Arc<dyn Outlet>,
    role: Role,
    epoch: Instant,
    budget: Option<Arc<Budget>>,
    state: Mutex<State>,
}

/// What to do once the lock is released.
#[derive(Default)]
pub(crate) struct After {
    send: Option<Frame>,
    pub(crate) wake: [Option<Waker>; 3],
    done: bool,
}

impl Shared {
    pub(crate) fn new(outlet: Arc<dyn Outlet>, opening: Opening) -> Self {
        Self {
            outlet,
            role: opening.role,
            epoch: Instant::now(),
            state: Mutex::new(State::new(&opening)),
            budget: opening.budget,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock; a poisoned one still holds good state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` under the lock, then wakes, sends and reports without it.
    fn update<T>(&self, change: impl FnOnce(&mut State, &mut After) -> T) -> T {
        let mut after = After::default();
        let result = {
            let mut state = self.lock();
            let result = change(&mut state, &mut after);
            if state.in_ended && state.out_ended && !state.done {
                state.done = true;
                after.done = true;
                self.settle(&mut state);
            }
            result
        };
        if let Some(frame) = after.send {
            self.outlet.send(frame);
        }
        after.wake.into_iter().flatten().for_each(Waker::wake);
        if after.done {
            self.outlet.done();
        }
        result
    }

    fn settle(&self, state: &mut State) {
        if let Some(budget) = &self.budget {
            budget.give(std::mem::take(&mut state.grown));
        }
    }

    pub(crate) fn accept(&self, message: Message, cost: u32) -> Result<Delivered, Violation> {
        match message {
            Message::Window(increment) => self.granted(increment),
            Message::Reset(reset) => Ok(self.reset_by_peer(reset)),
            other => self.content(other, cost),
        }
    }

    fn granted(&self, increment: u32) -> Result<Delivered, Violation> {
        self.update(|state, after| {
            after.wake[0] = state.send_waker.take();
            state
                .credit
                .add(increment)
                .map_err(|_| Violation::CreditOverflow)?;
            Ok(Delivered::Open)
        })
    }

    fn reset_by_peer(&self, reset: Reset) -> Delivered {
        self.update(|state, after| {
            if !state.out_ended {
                // The acknowledgement: our direction is over too.
                state.out_ended = true;
                after.send = Some(Frame::reset(UNASSIGNED, &reset));
            }
            if state.in_ended {
                // Its own direction had ended whole: only ours is refused.
                refuse(state, after, reset);
            } else {
                state.in_ended = true;
                end_early(state, after, reset);
            }
            Delivered::Done
        })
    }

    fn content(&self, message: Message, cost: u32) -> Result<Delivered, Violation> {
        self.update(|state, after| {
            if state.in_ended {
                return Err(Violation::AfterEnd);
            }
            state
                .window
                .received(cost)
                .map_err(|_| Violation::Overrun)?;
            state.moved += 1;
            let empty = matches!(&message, Message::Body { data, .. } if data.is_empty());
            let end = state.store(self.role, message)?;
            if empty {
                // Nobody will take it, so nobody would give its credit back.
                after.send = state.give_back(cost, self.now());
            }
            if !state.queue.is_empty() {
                let now = self.now();
                state.waiting_since.get_or_insert(now);
            }
            if end {
                state.in_ended = true;
            }
            after.wake[0] = state.receive_waker.take();
            Ok(if state.in_ended && state.out_ended {
                Delivered::Done
            } else {
                Delivered::Open
            })
        })
    }

    /// Ends the exchange from our side: the peer is told, and acknowledges.
    pub(crate) fn abort(&self, reset: Reset) {
        self.update(|state, after| {
            if state.cut.is_some() {
                return;
            }
            if !state.out_ended || !state.in_ended {
                after.send = Some(Frame::reset(UNASSIGNED, &reset));
                state.out_ended = true;
            }
            end_early(state, after, reset);
        });
    }

    pub(crate) fn sever(&self, reset: Reset) {
        self.update(|state, after| {
            let whole = state.in_ended;
            state.in_ended = true;
            state.out_ended = true;
            if !whole {
                end_early(state, after, reset);
            } else if state.cut.is_none() {
                // Everything the peer had to say is here; only ours is lost.
                refuse(state, after, reset);
            }
        });
    }

    /// Ready when the exchange is cut, or our direction refused.
    pub(crate) fn poll_cut(&self, cx: &Context<'_>) -> Poll<Reset> {
        let mut state = self.lock();
        if let Some(reset) = state.cut.as_ref().or(state.refused.as_ref()) {
            return Poll::Ready(reset.clone());
        }
        remember(&mut state.cut_waker, cx);
        Poll::Pending
    }

    /// How long the head of the queue has been waiting.
    pub(crate) fn stalled_for(&self) -> Duration {
        let now = self.now();
        let since = self.lock().waiting_since;
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// How long nothing has moved, as far as those who ask can tell: the time
    /// since the first call that found what this one finds.
    pub(crate) fn quiet_for(&self) -> Duration {
        let now = self.now();
        let mut state = self.lock();
        if state.seen.0 != state.moved {
            state.seen = (state.moved, now);
        }
        now.saturating_sub(state.seen.1)
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let grown = self
            .state
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .grown;
        if let Some(budget) = &self.budget {
            budget.give(grown);
        }
    }
}

fn no_more() -> Frame {
    Frame::reset(
        UNASSIGNED,
        &Reset::new(
            ResetCode::Done,
            "the response is complete; the rest of the request is not wanted",
        ),
    )
}

fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
}
