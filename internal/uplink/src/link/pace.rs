//! What a link does when it carries more than its rate, in either direction.
//!
//! The agent gets no credit and no new exchanges until what was too much is paid
//! for, and visitors get no more of its credit; everything else flows. The agent
//! is told, so that its owner learns why it is slow.

use std::{sync::Arc, time::Duration};

use messages::{Frame, HEADER_LEN, MAX_CREDIT, Notice, NoticeCode, Tag};
use tokio::time::{Instant, sleep_until};

use super::{
    Link, State,
    brake::{Brake, Due},
};

/// An agent is told of a limit once in so long (SPEC.md, section 11).
const NOTICE_PERIOD: Duration = Duration::from_secs(10);

/// How often credit that is kept back looks whether its link is still there.
const LOOK: Duration = Duration::from_millis(250);

impl Link {
    /// The agent sent more than its rate: it gets no credit and no new work for so
    /// long.
    pub(crate) fn hold(&self, pause: Duration) {
        self.around.counters.throttled.count();
        self.outbox.hold_until(Instant::now() + pause);
        self.tell_rate(pause);
    }

    /// Counts a frame to the agent. Gives the time until which visitors must wait.
    pub(super) fn count(&self, state: &mut State, bytes: usize) -> Option<Instant> {
        let bounds = self.bounds;
        if bounds.messages.is_none() && bounds.kib.is_none() {
            return None;
        }
        let brake = state.brake.get_or_insert_with(|| {
            let brake = Brake::new(bounds.throttle(), bounds.max_streams, Instant::now());
            Box::new(brake)
        });
        brake.sent(bytes, Instant::now)
    }

    /// Visitors sent more than the link's rate: they get no credit until then, and
    /// new exchanges wait.
    pub(super) fn slow_down(self: &Arc<Self>, held: Option<Instant>) {
        let Some(until) = held else { return };
        self.around.counters.throttled.count();
        self.outbox.hold_until(until);
        self.tell_rate(until - Instant::now());
        let first = {
            let mut state = self.lock();
            let brake = state.brake.as_mut();
            brake.is_some_and(|brake| brake.hold_until(until))
        };
        if first {
            let link = self.clone();
            self.around
                .tasks
                .spawn(async move { link.give_back().await });
        }
    }

    /// Hands on what was kept back, when it is due. Ends with the link.
    async fn give_back(&self) {
        let credit = loop {
            let now = Instant::now();
            let due = match &mut self.lock().brake {
                Some(brake) => brake.due(now),
                None => return,
            };
            match due {
                Due::Now(credit) => break credit,
                Due::At(until) => sleep_until(until.min(now + LOOK)).await,
            }
            if self.is_gone() {
                return;
            }
        };
        for (stream, credit) in credit {
            // A stream that is over by now needs none.
            let carried = self.to_edge(Frame::window(stream, credit));
            debug_assert!(
                carried.is_ok(),
                "credit is kept for streams that were opened"
            );
        }
    }

    fn tell_rate(&self, pause: Duration) {
        self.tell(|| Notice {
            code: NoticeCode::LinkRate,
            message: format!(
                "this link carries more than the server lets it in one direction, {}: new exchanges and credit wait for {:.1} s",
                self.bounds.throttle().terms(),
                pause.as_secs_f32()
            ),
        });
    }

    /// Tells the agent's owner something, unless they were told something a moment
    /// ago.
    pub(crate) fn tell(&self, notice: impl FnOnce() -> Notice) {
        let now = Instant::now();
        {
            let mut state = self.lock();
            if state.told_at.is_some_and(|told| now - told < NOTICE_PERIOD) {
                return;
            }
            state.told_at = Some(now);
        }
        if self.outbox.push(notice().encode()).is_err() {
            tracing::debug!(tunnel = %self.tunnel, "an agent could not be told of a limit");
        }
    }
}

/// Whether this frame is credit, and is kept back.
pub(super) fn keeps(brake: Option<&mut Box<Brake>>, frame: &Frame) -> bool {
    let Some(brake) = brake else { return false };
    if frame.tag() != Some(Tag::Window) {
        return false;
    }
    // What is no credit is for the edge to judge.
    let credit = <[u8; 4]>::try_from(&*frame.payload).map(u32::from_be_bytes);
    let credit = credit
        .ok()
        .filter(|credit| (1..=MAX_CREDIT).contains(credit));
    credit.is_some_and(|credit| brake.keeps(frame.stream, credit))
}

/// What a frame counts.
pub(super) fn size(frame: &Frame) -> usize {
    HEADER_LEN + frame.payload.len()
}
