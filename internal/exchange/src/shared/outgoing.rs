//! What the sender does to an exchange: frames out, credit taken.

use std::task::{Context, Poll};

use messages::{Frame, Reset, cost};

use super::{Shared, no_more, remember};

impl Shared {
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
}
