//! The state both halves of an exchange and its table share, and the rules of
//! SPEC.md that decide what a frame may do to it.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use messages::{
    DecodeError, Frame, INITIAL_WINDOW, Message, ReceiveWindow, Reset, ResetCode, SendCredit,
    StreamId, cost,
};
use tokio::time::Instant;

use crate::{Budget, Event, Receiver, Sender};

/// Frames leave with this stream id: which stream carries an exchange is known
/// to its outlet alone.
pub(crate) const UNASSIGNED: StreamId = StreamId(1);

/// 1xx heads an agent may send before the final one (RFC 9110, 15.2).
const MAX_INTERIM_HEADS: u8 = 8;

/// Where an exchange's frames leave to. Called without any lock held; never
/// blocks.
pub trait Outlet: Send + Sync + 'static {
    /// Sends one frame. The stream id in it is the outlet's to fill in. A frame
    /// that cannot go any more (the link is gone) is dropped: whoever cut the
    /// link cuts the exchange too.
    fn send(&self, frame: Frame);

    /// Both directions are over and acknowledged: the table may forget the
    /// exchange. Called once.
    fn done(&self);
}

/// Which end of the stream this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends the request, receives the response. A receiver that is dropped
    /// early is a visitor who left: the exchange is cancelled.
    Edge,
    /// Receives the request, sends the response. A receiver that is dropped
    /// early is a target that does not want the rest of the body: the response
    /// goes on.
    Agent,
}

/// How an exchange starts.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Which end this is.
    pub role: Role,
    /// Payload credit this end may send at once. Zero for a request body whose
    /// head carries `Expect: 100-continue`.
    pub send_credit: u32,
    /// The same for the other end.
    pub receive_credit: u32,
    /// What the receive window may grow from; without it, it does not grow.
    pub budget: Option<Arc<Budget>>,
}

impl Opening {
    /// An exchange with the initial window both ways and no growth.
    #[must_use]
    pub fn of(role: Role) -> Self {
        Self {
            role,
            send_credit: INITIAL_WINDOW,
            receive_credit: INITIAL_WINDOW,
            budget: None,
        }
    }
}

/// A frame that broke a rule of its stream. The stream has been reset already;
/// the value is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The payload does not decode.
    #[error("the frame does not decode: {0}")]
    Malformed(DecodeError),
    /// More bytes than were granted.
    #[error("more body than credit was granted for")]
    Overrun,
    /// Window increments beyond 2³¹ − 1.
    #[error("the window grew past 2^31-1 bytes")]
    CreditOverflow,
    /// A frame after the end of its direction.
    #[error("a frame after the end of its direction")]
    AfterEnd,
    /// Body before the head, a second final head, or too many interim ones.
    #[error("{0}")]
    OutOfOrder(&'static str),
    /// A message that this end never receives on a stream.
    #[error("a message of this type does not belong here")]
    Unexpected,
}

/// What a delivery left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The exchange goes on.
    Open,
    /// Both directions are over; [`Outlet::done`] has been called.
    Done,
}

/// Makes the three handles of one exchange.
#[must_use]
pub fn open(outlet: Arc<dyn Outlet>, opening: Opening) -> (Port, Sender, Receiver) {
    let shared = Arc::new(Shared {
        outlet,
        role: opening.role,
        epoch: Instant::now(),
        budget: opening.budget,
        state: Mutex::new(State {
            queue: VecDeque::new(),
            window: ReceiveWindow::new(opening.receive_credit),
            credit: SendCredit::new(opening.send_credit),
            phase: Phase::Head { interim: 0 },
            in_ended: false,
            out_ended: false,
            refused: None,
            done: false,
            cut: None,
            unwanted: false,
            waiting_since: None,
            grown: 0,
            receive_waker: None,
            send_waker: None,
            cut_waker: None,
        }),
    });
    (
        Port(shared.clone()),
        Sender::new(shared.clone()),
        Receiver::new(shared),
    )
}

/// The table's handle: routes frames in.
#[derive(Clone)]
pub struct Port(Arc<Shared>);

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").finish_non_exhaustive()
    }
}

impl Port {
    /// Takes one frame of this stream. Never blocks; what is stored is bounded
    /// by the credit granted.
    ///
    /// # Errors
    /// A [`Violation`]; the stream has then been reset towards the peer and its
    /// halves see the cut.
    pub fn deliver(&self, frame: &Frame) -> Result<Delivered, Violation> {
        let result = match Message::decode(frame) {
            Ok(message) => self.0.accept(message),
            Err(error) => Err(Violation::Malformed(error)),
        };
        if let Err(violation) = &result {
            let code = match violation {
                Violation::Overrun | Violation::CreditOverflow => ResetCode::Overrun,
                Violation::Malformed(_)
                | Violation::AfterEnd
                | Violation::OutOfOrder(_)
                | Violation::Unexpected => ResetCode::Protocol,
            };
            self.0.abort(Reset::new(code, violation.to_string()));
        }
        result
    }

    /// Ends the exchange here and now without telling the peer: it is the peer,
    /// or the way to it, that is gone.
    pub fn cut(&self, reset: Reset) {
        self.0.sever(reset);
    }

    /// Ends the exchange and tells the peer.
    pub fn abort(&self, reset: Reset) {
        self.0.abort(reset);
    }

    /// How long received data has been waiting for the next hop to take any;
    /// zero when nothing waits.
    #[must_use]
    pub fn stalled_for(&self) -> Duration {
        let now = self.0.now();
        let state = self.0.lock();
        state
            .waiting_since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Resolves when the exchange is cut, from whichever side.
    #[must_use]
    pub fn cut_signal(&self) -> CutSignal {
        CutSignal(self.0.clone())
    }
}

/// A future that resolves with the reset when the exchange is cut, or when the
/// peer, its own direction ended, wants no more of ours. One an exchange. Cancel
/// safe.
pub struct CutSignal(Arc<Shared>);

impl CutSignal {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

impl fmt::Debug for CutSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CutSignal").finish_non_exhaustive()
    }
}

impl Future for CutSignal {
    type Output = Reset;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reset> {
        let mut state = self.0.lock();
        match state.cut.as_ref().or(state.refused.as_ref()) {
            Some(reset) => Poll::Ready(reset.clone()),
            None => {
                remember(&mut state.cut_waker, cx);
                Poll::Pending
            }
        }
    }
}

/// Where the incoming direction stands.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Head { interim: u8 },
    Body,
}

pub(crate) struct State {
    queue: VecDeque<Event>,
    window: ReceiveWindow,
    credit: SendCredit,
    phase: Phase,
    /// The peer's direction is over: its end, its reset, or its loss.
    in_ended: bool,
    /// Our direction is over.
    out_ended: bool,
    /// The peer reset us after its own end: it wants no more of ours.
    refused: Option<Reset>,
    done: bool,
    /// Why the exchange ended early.
    cut: Option<Reset>,
    /// The receiver is gone: what still arrives is dropped and earns no credit.
    unwanted: bool,
    /// Since when the head of the queue has been waiting, from the epoch.
    waiting_since: Option<Duration>,
    /// Bytes of growth taken from the budget.
    grown: u32,
    receive_waker: Option<Waker>,
    send_waker: Option<Waker>,
    cut_waker: Option<Waker>,
}

pub(crate) struct Shared {
    outlet: Arc<dyn Outlet>,
    role: Role,
    epoch: Instant,
    budget: Option<Arc<Budget>>,
    state: Mutex<State>,
}

/// What to do once the lock is released.
#[derive(Default)]
struct After {
    send: Option<Frame>,
    wake: [Option<Waker>; 3],
    done: bool,
}

impl Shared {
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

    fn accept(&self, message: Message) -> Result<Delivered, Violation> {
        match message {
            Message::Window(increment) => self.granted(increment),
            Message::Reset(reset) => Ok(self.reset_by_peer(reset)),
            other => self.content(other),
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

    fn content(&self, message: Message) -> Result<Delivered, Violation> {
        self.update(|state, after| {
            if state.in_ended {
                return Err(Violation::AfterEnd);
            }
            let end = state.store(self.role, message)?;
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

    fn sever(&self, reset: Reset) {
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

impl State {
    /// Checks one content message against phase and credit and queues it; true
    /// when it ends the direction.
    fn store(&mut self, role: Role, message: Message) -> Result<bool, Violation> {
        match message {
            Message::HttpRequest { head, body, end } if role == Role::Agent => {
                self.head(false)?;
                self.pay_inline(&body)?;
                self.push(Event::Request(Box::new(head)));
                self.push_data(body);
                Ok(end)
            }
            Message::HttpResponse { head, body, end } if role == Role::Edge => {
                let interim = head.status.is_informational();
                self.head(interim)?;
                self.pay_inline(&body)?;
                self.push(Event::Response(Box::new(head)));
                self.push_data(body);
                Ok(end && !interim)
            }
            Message::Body { data, end } => {
                self.body_may_come()?;
                self.pay(data.len())?;
                self.push_data(data);
                Ok(end)
            }
            Message::Trailers(trailers) => {
                self.body_may_come()?;
                self.push(Event::Trailers(trailers));
                Ok(true)
            }
            _ => Err(Violation::Unexpected),
        }
    }

    fn head(&mut self, interim: bool) -> Result<(), Violation> {
        match (&mut self.phase, interim) {
            (Phase::Body, _) => Err(Violation::OutOfOrder("a head after the final head")),
            (Phase::Head { interim }, true) if *interim >= MAX_INTERIM_HEADS => {
                Err(Violation::OutOfOrder("more than 8 interim heads"))
            }
            (Phase::Head { interim }, true) => {
                *interim += 1;
                Ok(())
            }
            (Phase::Head { .. }, false) => {
                self.phase = Phase::Body;
                Ok(())
            }
        }
    }

    fn body_may_come(&self) -> Result<(), Violation> {
        match self.phase {
            Phase::Body => Ok(()),
            Phase::Head { .. } => Err(Violation::OutOfOrder("body before the final head")),
        }
    }

    fn pay_inline(&mut self, body: &[u8]) -> Result<(), Violation> {
        if body.is_empty() {
            Ok(())
        } else {
            self.pay(body.len())
        }
    }

    fn pay(&mut self, len: usize) -> Result<(), Violation> {
        self.window
            .received(cost(len))
            .map_err(|_| Violation::Overrun)
    }

    fn push_data(&mut self, data: bytes::Bytes) {
        if !data.is_empty() {
            self.push(Event::Data(data));
        }
    }

    fn push(&mut self, event: Event) {
        if !self.unwanted && self.cut.is_none() {
            self.queue.push_back(event);
        }
    }

    fn closed_for_sending(&self) -> Option<Reset> {
        if let Some(reset) = &self.cut {
            return Some(reset.clone());
        }
        if let Some(reset) = &self.refused {
            return Some(reset.clone());
        }
        self.out_ended
            .then(|| Reset::new(ResetCode::Done, "this direction has ended"))
    }
}

/// The peer has said all it had to say and wants no more of ours.
fn refuse(state: &mut State, after: &mut After, reset: Reset) {
    state.refused = Some(reset);
    after.wake = [None, state.send_waker.take(), state.cut_waker.take()];
}

fn end_early(state: &mut State, after: &mut After, reset: Reset) {
    if state.cut.is_none() {
        state.cut = Some(reset);
    }
    after.wake = [
        state.receive_waker.take(),
        state.send_waker.take(),
        state.cut_waker.take(),
    ];
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
