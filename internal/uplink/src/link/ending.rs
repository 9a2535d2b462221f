//! The ways in which a link ends, from a wish that the agent move to a cut.

use std::{sync::atomic::Ordering, time::Duration};

use messages::{Disconnect, DisconnectCode, Reset, ResetCode};
use tunnel::PushError;

use super::{Link, Phase, reset_at_edge};

/// How long the exchanges of a link without ids may keep it from being replaced.
pub(super) const RETIREMENT: Duration = Duration::from_secs(30);

impl Link {
    /// Tells the agent to go elsewhere while it can still be served here; once.
    pub(crate) fn notify(&self, leaving: &Disconnect) {
        if self.noticed.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.outbox.push(leaving.encode()) == Err(PushError::Full) {
            // It does not read; the end of the drain finds it.
            tracing::debug!(tunnel = %self.tunnel, "an agent could not be told to move");
        }
    }

    /// Lets what is open end, begins nothing, then closes with these last words.
    pub(crate) fn leave(&self, disconnect: Disconnect) {
        self.change(|state| {
            if matches!(state.phase, Phase::Serving) {
                state.phase = Phase::Leaving(disconnect);
            }
        });
    }

    /// Closes the link with these last words; every exchange on it is over at
    /// once. The link's task gives the agent a second to take them.
    pub(crate) fn close(&self, disconnect: Disconnect) {
        self.outbox.close(Some(disconnect));
        self.cut();
    }

    /// Resolves when a retired link has been given time enough. Cancel safe.
    pub(crate) async fn overstayed(&self) {
        self.retired.cancelled().await;
        tokio::time::sleep(RETIREMENT).await;
    }

    /// Whether the link is over, or about to be.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.lock().phase, Phase::Gone)
    }

    /// The link is gone: so is every exchange on it.
    pub(crate) fn cut(&self) {
        let cut = {
            let mut state = self.lock();
            state.phase = Phase::Gone;
            state.streams.clear()
        };
        let lost = Reset::new(ResetCode::LinkLost, "the agent's link was lost");
        for exchange in cut {
            let _told = self.send(exchange, reset_at_edge(&lost));
        }
    }

    /// Stream ids run out: the agent should come back on a new link.
    pub(super) fn retire(&self) {
        tracing::info!(tunnel = %self.tunnel, "stream ids are used up: the link is replaced");
        self.retired.cancel();
        self.leave(used_up());
    }
}

/// The last words to an agent that should come back at once, on a new link.
pub(crate) fn used_up() -> Disconnect {
    Disconnect::new(DisconnectCode::Draining, "stream ids are used up")
}
