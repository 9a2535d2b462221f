//! One agent's link, seen from the bus: opens streams for exchanges, carries
//! their frames both ways, and ends them all when the link ends.
//!
//! Everything here is called by others (the bus' reader, the link's own task) and
//! never waits. No lock is held while the bus is called: an envelope to the own
//! node is in the edge when `send` returns, and the edge may answer at once.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use bus::{Bus, Content, Envelope, LinkId, Nack};
use messages::{
    Disconnect, DisconnectCode, Frame, NodeId, Reset, ResetCode, StreamId, Tag, TunnelId,
};
use tokio_util::sync::CancellationToken;
use tunnel::{Outbox, PushError};

use crate::{
    stats::Counters,
    streams::{CannotOpen, Exchange, StreamTable},
};

/// How long the exchanges of a link without ids may keep it from being replaced.
const RETIREMENT: Duration = Duration::from_secs(30);

/// A link and its streams.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) tunnel: TunnelId,
    pub(crate) outbox: Outbox,
    /// Unset until the directory has answered. Nobody learns of this link but
    /// through its announcement, so an opening that comes before was routed by
    /// the very generation we are waiting for.
    pub(crate) generation: OnceLock<u64>,
    /// Fired when the ids run out: what is open then has [`RETIREMENT`] to end.
    retired: CancellationToken,
    bus: Arc<dyn Bus>,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("id", &self.id)
            .field("tunnel", &self.tunnel)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    streams: StreamTable,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Serving,
    /// What is open goes on, nothing begins; then these are the last words. Not
    /// before: an agent ends its link when it hears them.
    Leaving(Disconnect),
    /// Over, or about to be: an opening that still finds us must be told so.
    Gone,
}

/// What an agent did that ends its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("stream {0} was never opened")]
    NeverOpened(StreamId),
    #[error("{0:?} does not come from an agent on a link that is up")]
    Misplaced(Tag),
}

impl Link {
    pub(crate) fn new(
        (id, tunnel): (LinkId, TunnelId),
        outbox: Outbox,
        bus: Arc<dyn Bus>,
        counters: Arc<Counters>,
        max_streams: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            tunnel,
            outbox,
            generation: OnceLock::new(),
            retired: CancellationToken::new(),
            bus,
            counters,
            state: Mutex::new(State {
                streams: StreamTable::new(max_streams),
                phase: Phase::Serving,
            }),
        })
    }

    // ---- from the edge

    /// Begins an exchange with its first frame, or says why not.
    pub(crate) fn open(&self, exchange: Exchange, generation: u64, frame: Frame) {
        let content = match self.try_open(exchange, generation, frame) {
            Ok(Opened::Now) => Content::Accepted,
            Ok(Opened::Before) => return self.counters.stray_frames.count(),
            Err(nack) => Content::Nack(nack),
        };
        // An edge that is gone will be reported lost; there is nobody to tell.
        let _told = self.send(exchange, content);
    }

    fn try_open(
        &self,
        exchange: Exchange,
        generation: u64,
        mut frame: Frame,
    ) -> Result<Opened, Nack> {
        if self
            .generation
            .get()
            .is_some_and(|ours| *ours != generation)
        {
            return Err(Nack::Stale);
        }
        let spent = {
            let mut state = self.lock();
            match state.phase {
                Phase::Serving => {}
                Phase::Leaving(_) => return Err(Nack::Draining),
                Phase::Gone => return Err(Nack::NotHere),
            }
            let id = match state.streams.open(exchange, frame.is_end()) {
                Ok(id) => id,
                Err(CannotOpen::Duplicate) => return Ok(Opened::Before),
                Err(CannotOpen::Full | CannotOpen::Exhausted) => return Err(Nack::Busy),
            };
            frame.stream = id;
            // Under the lock: openings must be queued in the order of their ids.
            if let Err(error) = self.outbox.push(frame) {
                state.streams.forget(id);
                return Err(match error {
                    PushError::Full => Nack::Busy,
                    PushError::Closed => Nack::NotHere,
                });
            }
            state.streams.is_spent()
        };
        if spent {
            self.retire();
        }
        Ok(Opened::Now)
    }

    /// Carries a further frame of an exchange to the agent.
    pub(crate) fn to_agent(&self, exchange: Exchange, mut frame: Frame) {
        let reset = frame.tag() == Some(Tag::Reset);
        let found =
            self.change(|state| state.streams.heard_edge(exchange, reset || frame.is_end()));
        match found {
            Some(id) => {
                frame.stream = id;
                // Where it is closed instead, every exchange is about to be cut.
                if self.outbox.push(frame) == Err(PushError::Full) {
                    self.overflow(exchange, id);
                }
            }
            None => {
                self.counters.stray_frames.count();
                if reset {
                    // The agent has said all it will: without this the edge
                    // would wait for an acknowledgement for ever.
                    let over = Reset::new(ResetCode::Done, "the stream is over");
                    let _told = self.send(exchange, reset_at_edge(&over));
                }
            }
        }
    }

    /// The queue to the agent is full although its bound is the credit that was
    /// granted: this exchange ends, the link goes on.
    fn overflow(&self, exchange: Exchange, id: StreamId) {
        self.counters.overflows.count();
        tracing::warn!(tunnel = %self.tunnel, stream = %id, "the link's queue is full: an exchange was reset");
        let busy = Reset::new(ResetCode::Busy, "the link's queue is full");
        self.change(|state| state.streams.abandon(exchange));
        self.reset(id, &busy);
        let _told = self.send(exchange, reset_at_edge(&busy));
    }

    /// A node is gone, or envelopes from it were lost: its exchanges are over.
    pub(crate) fn node_lost(&self, node: NodeId) {
        let lost = self.change(|state| state.streams.abandon_node(node));
        let reset = Reset::new(ResetCode::LinkLost, "the visitor's node was lost");
        for id in lost {
            self.reset(id, &reset);
        }
    }

    // ---- from the agent

    /// Carries a frame of the agent to the edge that asked.
    pub(crate) fn to_edge(&self, frame: Frame) -> Result<(), Fault> {
        let reset = match frame.tag() {
            Some(Tag::Reset) => true,
            Some(
                Tag::HttpResponse
                | Tag::Body
                | Tag::Window
                | Tag::WsResponse
                | Tag::WsMessage
                | Tag::WsTeardown,
            ) => false,
            Some(tag) => return Err(Fault::Misplaced(tag)),
            // Not critical, or the link would not have passed it on.
            None => return Ok(()),
        };
        let stream = frame.stream;
        let found = self
            .change(|state| state.streams.heard_agent(stream, reset || frame.is_end()))
            .map_err(|_| Fault::NeverOpened(stream))?;
        let Some(exchange) = found else {
            self.counters.stray_frames.count();
            return Ok(());
        };
        if let Err(error) = self.send(exchange, Content::ToVisitor(frame)) {
            tracing::debug!(tunnel = %self.tunnel, %stream, %error, "the visitor's node cannot be reached");
            if self
                .change(|state| state.streams.abandon(exchange))
                .is_some()
            {
                self.reset(
                    stream,
                    &Reset::new(ResetCode::LinkLost, "the visitor's node was lost"),
                );
            }
        }
        Ok(())
    }

    // ---- the end

    /// Tells the agent to go elsewhere while it can still be served here.
    pub(crate) fn notify(&self, leaving: &Disconnect) {
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

    /// Streams that are open.
    pub(crate) fn streams(&self) -> usize {
        self.lock().streams.len()
    }

    /// Stream ids run out: the agent should come back on a new link.
    fn retire(&self) {
        tracing::info!(tunnel = %self.tunnel, "stream ids are used up: the link is replaced");
        self.retired.cancel();
        self.leave(used_up());
    }

    fn reset(&self, stream: StreamId, reset: &Reset) {
        if self.outbox.push(Frame::reset(stream, reset)) == Err(PushError::Full) {
            // The reserved lane is full: the agent does not read, or we are mad.
            self.close(Disconnect::new(
                DisconnectCode::Overloaded,
                "the link's queue is full",
            ));
        }
    }

    fn send(&self, exchange: Exchange, content: Content) -> Result<(), bus::SendError> {
        self.bus.send(
            exchange.node,
            Envelope {
                from: self.bus.node(),
                exchange: exchange.id,
                // Never what the agent says: an edge drops a reply that bears
                // another tunnel than it asked.
                tunnel: self.tunnel,
                content,
            },
        )
    }

    /// Changes the state, and closes a leaving link that has become idle.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let State { streams, phase } = &mut *state;
        if let Phase::Leaving(disconnect) = phase
            && streams.is_empty()
        {
            self.outbox.close(Some(disconnect.clone()));
            *phase = Phase::Gone;
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock; a poisoned one still holds good state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Opened {
    Now,
    /// This exchange has a stream already: the opening came twice.
    Before,
}

/// The last words to an agent that should come back at once, on a new link.
pub(crate) fn used_up() -> Disconnect {
    Disconnect::new(DisconnectCode::Draining, "stream ids are used up")
}

/// A reset of our own making. The edge knows its exchange by the envelope; the
/// stream only has to be one that a reset may have.
fn reset_at_edge(reset: &Reset) -> Content {
    Content::ToVisitor(Frame::reset(StreamId(1), reset))
}

#[cfg(test)]
mod tests;
