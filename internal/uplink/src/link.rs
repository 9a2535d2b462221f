//! One agent's link, seen from the bus: opens streams for exchanges, carries
//! their frames both ways, and ends them all when the link ends.
//!
//! Everything here is called by others (the bus' reader, the link's own task) and
//! never waits. No lock is held while the bus is called: an envelope to the own
//! node is in the edge when `send` returns, and the edge may answer at once.

mod brake;
mod ending;
mod pace;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicBool};

use bus::{Bus, Content, Envelope, LinkId, Nack};
use messages::{
    Disconnect, DisconnectCode, Frame, NodeId, PolicyId, Reset, ResetCode, StreamId, Tag, TunnelId,
};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tunnel::{Outbox, PushError};

use self::brake::Brake;
pub(crate) use self::ending::used_up;
use crate::{
    admission::standing::Standing,
    config::Rate,
    stats::Counters,
    streams::{CannotOpen, Exchange, NeverOpened, StreamTable},
    throttle::Throttle,
};

/// A link and its streams.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) tunnel: TunnelId,
    pub(crate) outbox: Outbox,
    /// Unset until the directory has answered. Nobody learns of this link but
    /// through its announcement, so an opening that comes before was routed by
    /// the very generation we are waiting for.
    pub(crate) generation: OnceLock<u64>,
    /// What it was admitted by. Unset until it was, and before its announcement.
    pub(crate) standing: OnceLock<Box<Standing>>,
    /// Fired when the ids run out: what is open then has a while to end.
    retired: CancellationToken,
    /// The agent was asked to move. Asked twice, it would take it for the end.
    noticed: AtomicBool,
    around: Surroundings,
    pub(crate) bounds: Bounds,
    state: Mutex<State>,
}

/// What a link needs of its node.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) counters: Arc<Counters>,
    /// Owns what a link begins.
    pub(crate) tasks: TaskTracker,
}

/// How much a link may carry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) max_streams: usize,
    /// In each direction; `None`: not limited.
    pub(crate) messages: Option<Rate>,
    pub(crate) kib: Option<Rate>,
}

impl Bounds {
    /// A throttle of one direction.
    pub(crate) fn throttle(&self) -> Throttle {
        Throttle::new(self.messages, self.kib)
    }
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
    /// Made by the first frame to the agent: an idle link pays nothing for it.
    brake: Option<Box<Brake>>,
    told_at: Option<Instant>,
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
        around: Surroundings,
        bounds: Bounds,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            tunnel,
            outbox,
            generation: OnceLock::new(),
            standing: OnceLock::new(),
            retired: CancellationToken::new(),
            noticed: AtomicBool::new(false),
            around,
            bounds,
            state: Mutex::new(State {
                streams: StreamTable::new(bounds.max_streams),
                phase: Phase::Serving,
                brake: None,
                told_at: None,
            }),
        })
    }

    // ---- from the edge

    /// Begins an exchange with its first frame, or says why not.
    pub(crate) fn open(self: &Arc<Self>, exchange: Exchange, routed_by: RoutedBy, frame: Frame) {
        let content = match self.try_open(exchange, routed_by, frame) {
            Ok(Opened::Now { held }) => {
                self.slow_down(held);
                Content::Accepted
            }
            Ok(Opened::Before) => return self.around.counters.stray_frames.count(),
            Err(nack) => Content::Nack(nack),
        };
        // An edge that is gone will be reported lost; there is nobody to tell.
        let _told = self.send(exchange, content);
    }

    fn try_open(
        &self,
        exchange: Exchange,
        routed_by: RoutedBy,
        mut frame: Frame,
    ) -> Result<Opened, Nack> {
        if !self.is_meant_by(routed_by) {
            return Err(Nack::Stale);
        }
        let size = pace::size(&frame);
        let (spent, held) = {
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
            (state.streams.is_spent(), self.count(&mut state, size))
        };
        if spent {
            self.retire();
        }
        Ok(Opened::Now { held })
    }

    /// Whether the edge knew this very session, and applied the policy of this very
    /// link. Its standing is there before its announcement, so an opening that finds
    /// none was routed by what we wait for.
    fn is_meant_by(&self, routed_by: RoutedBy) -> bool {
        let RoutedBy { generation, policy } = routed_by;
        let standing = self.standing.get();
        self.generation.get().is_none_or(|ours| *ours == generation)
            && standing.is_none_or(|standing| standing.policy == policy)
    }

    /// Carries a further frame of an exchange to the agent.
    pub(crate) fn to_agent(self: &Arc<Self>, exchange: Exchange, mut frame: Frame) {
        let reset = frame.tag() == Some(Tag::Reset);
        let (found, held) = self.change(|state| {
            let found = state.streams.heard_edge(exchange, reset || frame.is_end());
            let counts = found
                .is_some()
                .then(|| self.count(state, pace::size(&frame)));
            (found, counts.flatten())
        });
        self.slow_down(held);
        match found {
            Some(id) => {
                frame.stream = id;
                // Where it is closed instead, every exchange is about to be cut.
                if self.outbox.push(frame) == Err(PushError::Full) {
                    self.overflow(exchange, id);
                }
            }
            None => {
                self.around.counters.stray_frames.count();
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
        self.around.counters.overflows.count();
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
        let heard = self.change(|state| {
            let exchange = state.streams.heard_agent(stream, reset || frame.is_end())?;
            Ok(match exchange {
                Some(_) if pace::keeps(state.brake.as_mut(), &frame) => Heard::Kept,
                _ => exchange.map_or(Heard::ByNobody, Heard::By),
            })
        });
        let exchange = match heard.map_err(|NeverOpened| Fault::NeverOpened(stream))? {
            Heard::By(exchange) => exchange,
            Heard::Kept => return Ok(()),
            Heard::ByNobody => {
                self.around.counters.stray_frames.count();
                return Ok(());
            }
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

    /// Streams that are open.
    pub(crate) fn streams(&self) -> usize {
        self.lock().streams.len()
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
        self.around.bus.send(
            exchange.node,
            Envelope {
                from: self.around.bus.node(),
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
        let State { streams, phase, .. } = &mut *state;
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

/// What the edge had seen of a link when it picked it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoutedBy {
    pub(crate) generation: u64,
    pub(crate) policy: PolicyId,
}

/// Who takes a frame of the agent.
enum Heard {
    By(Exchange),
    /// It is credit, and kept back for now.
    Kept,
    ByNobody,
}

enum Opened {
    Now {
        /// Until when visitors must wait, if the link is over its rate.
        held: Option<Instant>,
    },
    /// This exchange has a stream already: the opening came twice.
    Before,
}

/// A reset of our own making. The edge knows its exchange by the envelope; the
/// stream only has to be one that a reset may have.
fn reset_at_edge(reset: &Reset) -> Content {
    Content::ToVisitor(Frame::reset(StreamId(1), reset))
}

#[cfg(test)]
mod tests;
