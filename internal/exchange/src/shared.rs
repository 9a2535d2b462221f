//! The state of one exchange behind its lock: frames in from the table, frames
//! out through the outlet, and who is woken by what.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use messages::{Frame, INITIAL_WINDOW, Message, Reset, ResetCode, cost};
use tokio::time::Instant;

use crate::{
    Budget, Delivered, Event, Opening, Outlet, Role, Violation,
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

    // ---- what the sender does

    /// A frame of our direction; `end` closes it. The caller has paid for it.
    pub(crate) fn emit(&self, frame: Frame, end: bool) {
        let closes = self.update(|state, _| {
            if state.out_ended {
                return None;
            }
            state.moved += 1;
            Some(end)
        });
        let Some(end) = closes else { return };
        self.outlet.send(frame);
        if end {
            self.update(|state, after| {
                state.out_ended = true;
                if state.unwanted && !state.in_ended {
                    after.send = Some(no_more());
                }
            });
        }
    }

    /// Takes credit for up to `wanted` payload bytes; how many may go now.
    pub(crate) fn poll_credit(
        &self,
        wanted: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, Reset>> {
        let mut state = self.lock();
        if let Some(reset) = state.closed_for_sending() {
            return Poll::Ready(Err(reset));
        }
        match state.credit.chunk(wanted) {
            Some(chunk) if state.credit.take(cost(chunk)) => Poll::Ready(Ok(chunk)),
            _ => {
                remember(&mut state.send_waker, cx);
                Poll::Pending
            }
        }
    }

    /// Takes exactly `cost` bytes of credit.
    pub(crate) fn poll_pay(&self, cost: u32, cx: &Context<'_>) -> Poll<Result<(), Reset>> {
        let mut state = self.lock();
        if let Some(reset) = state.closed_for_sending() {
            return Poll::Ready(Err(reset));
        }
        if state.credit.take(cost) {
            return Poll::Ready(Ok(()));
        }
        remember(&mut state.send_waker, cx);
        Poll::Pending
    }

    /// Ready when there is credit for anything at all.
    pub(crate) fn poll_writable(&self, cx: &Context<'_>) -> Poll<Result<(), Reset>> {
        let mut state = self.lock();
        if let Some(reset) = state.closed_for_sending() {
            return Poll::Ready(Err(reset));
        }
        if state.credit.available() > 0 {
            return Poll::Ready(Ok(()));
        }
        remember(&mut state.send_waker, cx);
        Poll::Pending
    }

    /// Credit for an inline body that goes with the head; false when it does
    /// not fit.
    pub(crate) fn take_inline(&self, len: usize) -> bool {
        len == 0 || self.lock().credit.take(cost(len))
    }

    pub(crate) fn is_sending(&self) -> bool {
        !self.lock().out_ended
    }

    // ---- what the receiver does

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
    /// enough have gathered.
    pub(crate) fn consumed(&self, cost: u32) {
        let now = self.now();
        self.update(|state, after| {
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
            if let (Some(increment), false, None) = (increment, state.in_ended, &state.cut) {
                after.send = Some(Frame::window(UNASSIGNED, increment));
            }
            if state.done {
                self.settle(state);
            }
        });
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
