//! The streams of one link, and the exchange that each one carries.
//!
//! Only the server opens streams, with ids that rise. A stream stays in the table, and counts against the limit, until
//! both directions are over and acknowledged: a visitor who cancels quickly buys no extra work at the target.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use exchange::{Budget, Opening, Outlet, Port, Role, open};
use futures_util::FutureExt as _;
use messages::{
    Disconnect, DisconnectCode, Frame, INITIAL_WINDOW, Message, Reset, ResetCode, StreamId, Tag,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tunnel::{FrameHandler, LinkFault, Outbox, PushError};

use crate::Target;
use crate::backoff::spread;
use crate::event::{Event, Events};
use crate::serve::{Exchange, expects_continue};

/// What the receive windows of one link may grow by, together, in bytes.
const GROWTH: u32 = 8 * 1024 * 1024;

/// Routes the frames of one link to their exchanges, and opens exchanges.
pub(crate) struct Streams {
    table: Arc<Table>,
    target: Arc<dyn Target>,
    events: Events,
    budget: Arc<Budget>,
    highest: StreamId,
    limit: usize,
    max_message: Option<u64>,
}

impl Streams {
    /// No streams yet, at most `limit` at a time, and WebSocket messages of at most `max_message` bytes.
    pub(crate) fn new(
        outbox: Outbox,
        target: Arc<dyn Target>,
        events: Events,
        limit: usize,
        max_message: Option<u64>,
    ) -> Self {
        let table = Arc::new(Table {
            live: Mutex::new(HashMap::new()),
            outbox,
            leaving: AtomicBool::new(false),
            begun: AtomicU32::new(0),
            notice: watch::Sender::new(None),
            tasks: TaskTracker::new(),
        });
        Self {
            table,
            target,
            events,
            budget: Arc::new(Budget::new(GROWTH)),
            highest: StreamId::LINK,
            limit,
            max_message,
        }
    }

    /// The part that outlives the link's driving.
    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.clone()
    }

    /// A stream's first frame.
    fn open(&mut self, frame: &Frame) {
        self.highest = frame.stream;
        self.table.begun.store(frame.stream.0, Ordering::Relaxed);
        if let Some(refusal) = self.refusal() {
            tracing::debug!(stream = %frame.stream, %refusal, "refused an exchange");
            self.table.send(Frame::reset(frame.stream, &refusal));
            return;
        }
        let line = Arc::new(Line {
            stream: frame.stream,
            table: self.table.clone(),
        });
        let opening = Opening {
            receive_credit: first_credit(frame),
            budget: Some(self.budget.clone()),
            ..Opening::of(Role::Agent)
        };
        let (port, sender, receiver) = open(line, opening);
        self.table.lock().insert(frame.stream, port.clone());
        if let Err(violation) = port.deliver(frame) {
            tracing::warn!(stream = %frame.stream, %violation, "the server opened a stream wrongly; the stream was reset");
            return;
        }
        let exchange = Exchange {
            sender,
            receiver,
            cut: port.cut_signal(),
            max_message: self.max_message,
            original: original(frame),
        };
        let serving = exchange.serve(self.target.clone(), self.events.clone());
        // In a box, because the runtime moves a task's future eight times on its way from here to its end.
        self.table.tasks.spawn(serving.boxed());
    }

    fn refusal(&self) -> Option<Reset> {
        if self.table.leaving.load(Ordering::Relaxed) {
            // Not yet acted on, so the edge may offer it to another link.
            return Some(Reset::new(ResetCode::LinkLost, "the agent is leaving"));
        }
        let full = self.table.lock().len() >= self.limit;
        full.then(|| Reset::new(ResetCode::Busy, "too many exchanges on this link"))
    }
}

impl FrameHandler for Streams {
    fn on_frame(&mut self, frame: Frame) -> Result<(), LinkFault> {
        let opens = matches!(frame.tag(), Some(Tag::HttpRequest | Tag::WsRequest));
        if frame.stream > self.highest {
            if !opens || frame.stream > StreamId::LAST {
                return Err(LinkFault::Protocol(format!(
                    "stream {} was never opened",
                    frame.stream
                )));
            }
            self.open(&frame);
            return Ok(());
        }
        let port = self.table.lock().get(&frame.stream).cloned();
        match port {
            Some(port) => {
                if let Err(violation) = port.deliver(&frame) {
                    tracing::warn!(stream = %frame.stream, %violation, "the server broke a rule; the stream was reset");
                }
            }
            // What was under way when the stream ended.
            None => {
                tracing::trace!(stream = %frame.stream, tag = frame.tag, "a frame for a stream that is over");
            }
        }
        Ok(())
    }

    fn on_draining(&mut self, notice: &Disconnect) -> bool {
        let pause = spread(Duration::from_millis(notice.spread_ms));
        let heard = Instant::now();
        self.table
            .notice
            .send_replace(Some(Notice { heard, pause }));
        true
    }

    fn on_notice(&mut self, notice: &messages::Notice) -> Result<(), LinkFault> {
        self.events.tell(Event::Notice(notice.clone()));
        Ok(())
    }
}

/// A server's word that it is going down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notice {
    /// When it came.
    pub(crate) heard: Instant,
    /// How long this agent waits before it moves: its random share of the time that all have.
    pub(crate) pause: Duration,
}

impl Notice {
    /// What is left of the pause.
    pub(crate) fn pause_left(&self) -> Duration {
        self.pause.saturating_sub(self.heard.elapsed())
    }
}

/// The server counts in the same way: nothing at first for a body that waits for `100 Continue`. The head is looked into
/// only where a body follows it.
fn first_credit(frame: &Frame) -> u32 {
    if frame.is_end() {
        return INITIAL_WINDOW;
    }
    match Message::decode(frame) {
        Ok(Message::HttpRequest { head, .. }) if expects_continue(&head.headers) => 0,
        _ => INITIAL_WINDOW,
    }
}

/// A request that is whole in this frame, kept because some may be sent to the target twice: 150 instructions, where a
/// copy of the decoded head took 3,100. It is a copy because the frame lies in what the link has read, and that is
/// needed for the next frames.
fn original(frame: &Frame) -> Option<Frame> {
    frame.is_end().then(|| Frame {
        payload: Bytes::copy_from_slice(&frame.payload),
        ..*frame
    })
}

/// The live streams of a link, and the tasks that work on them.
pub(crate) struct Table {
    live: Mutex<HashMap<StreamId, Port>>,
    outbox: Outbox,
    leaving: AtomicBool,
    /// The latest stream id: whoever finds it unchanged knows that nothing has begun.
    begun: AtomicU32,
    notice: watch::Sender<Option<Notice>>,
    tasks: TaskTracker,
}

impl Table {
    /// Takes no new exchanges from now on.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Exchanges that run.
    pub(crate) fn in_flight(&self) -> usize {
        self.tasks.len()
    }

    /// A number that changes when an exchange begins.
    pub(crate) fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether the server has said that it is going down.
    pub(crate) fn notice(&self) -> Option<Notice> {
        *self.notice.borrow()
    }

    /// Waits for the server to say so. Cancel safe.
    pub(crate) async fn noticed(&self) -> Notice {
        let mut notice = self.notice.subscribe();
        let said = notice.wait_for(Option::is_some).await;
        said.expect("the sender is in this table")
            .expect("it was waited for")
    }

    /// Ends every exchange: the link is gone.
    pub(crate) fn cut(&self, reset: &Reset) {
        let ports: Vec<Port> = self.lock().drain().map(|(_, port)| port).collect();
        for port in ports {
            port.cut(reset.clone());
        }
    }

    /// Waits until every exchange's task has ended. Cancel safe.
    pub(crate) async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn send(&self, frame: Frame) {
        match self.outbox.push(frame) {
            Ok(()) | Err(PushError::Closed) => {}
            Err(PushError::Full) => {
                tracing::warn!(
                    "more is waiting for the server than credit can explain; the link is given up"
                );
                let last =
                    Disconnect::new(DisconnectCode::Overloaded, "the agent's outbox is full");
                self.outbox.close(Some(last));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Port>> {
        // Nothing panics while it is held.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the frames of one exchange leave to.
struct Line {
    stream: StreamId,
    table: Arc<Table>,
}

impl Outlet for Line {
    fn send(&self, mut frame: Frame) {
        frame.stream = self.stream;
        self.table.send(frame);
    }

    fn done(&self) {
        self.table.lock().remove(&self.stream);
    }
}

#[cfg(test)]
mod tests;
