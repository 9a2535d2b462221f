//! Where one exchange stands, and what a message may do to it (SPEC.md, streams).

use std::{collections::VecDeque, task::Waker, time::Duration};

use http::StatusCode;
use messages::{Frame, Message, ReceiveWindow, Reset, ResetCode, SendCredit};

use crate::{Event, Opening, Role, Violation, mailbox::UNASSIGNED, shared::After};

/// 1xx heads an agent may send before the final one (RFC 9110, 15.2).
const MAX_INTERIM_HEADS: u8 = 8;

/// Where the incoming direction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Head { interim: u8 },
    Body,
    Socket,
}

/// Where one exchange stands.
pub(crate) struct State {
    pub(crate) queue: VecDeque<Event>,
    pub(crate) window: ReceiveWindow,
    pub(crate) credit: SendCredit,
    pub(crate) phase: Phase,
    /// We asked for a WebSocket: only then may one be accepted.
    pub(crate) upgrading: bool,
    /// The peer's direction is over: its end, its reset, or its loss.
    pub(crate) in_ended: bool,
    /// Our direction is over.
    pub(crate) out_ended: bool,
    /// The peer reset us after its own end: it wants no more of ours.
    pub(crate) refused: Option<Reset>,
    pub(crate) done: bool,
    /// Why the exchange ended early.
    pub(crate) cut: Option<Reset>,
    /// The receiver is gone: what still arrives is dropped and earns no credit.
    pub(crate) unwanted: bool,
    /// Since when the head of the queue has been waiting, from the epoch.
    pub(crate) waiting_since: Option<Duration>,
    /// Frames of either direction so far.
    pub(crate) moved: u64,
    /// What `moved` was when it was last looked at, and when that was seen first.
    pub(crate) seen: (u64, Duration),
    /// Bytes of growth taken from the budget.
    pub(crate) grown: u32,
    pub(crate) receive_waker: Option<Waker>,
    pub(crate) send_waker: Option<Waker>,
    pub(crate) cut_waker: Option<Waker>,
}

impl State {
    pub(crate) fn new(opening: &Opening) -> Self {
        Self {
            queue: VecDeque::new(),
            window: ReceiveWindow::new(opening.receive_credit),
            credit: SendCredit::new(opening.send_credit),
            phase: Phase::Head { interim: 0 },
            upgrading: opening.upgrading,
            in_ended: false,
            out_ended: false,
            refused: None,
            done: false,
            cut: None,
            unwanted: false,
            waiting_since: None,
            moved: 0,
            seen: (0, Duration::ZERO),
            grown: 0,
            receive_waker: None,
            send_waker: None,
            cut_waker: None,
        }
    }

    /// Checks one content message against phase and credit and queues it; true
    /// when it ends the direction.
    pub(crate) fn store(&mut self, role: Role, message: Message) -> Result<bool, Violation> {
        match message {
            Message::HttpRequest { head, body, end } if role == Role::Agent => {
                self.head(false, Phase::Body)?;
                self.push(Event::Request(Box::new(head)));
                self.push_data(body);
                Ok(end)
            }
            Message::WsRequest(head) if role == Role::Agent => {
                self.head(false, Phase::Socket)?;
                self.push(Event::Upgrade(Box::new(head)));
                Ok(false)
            }
            // 101 is said by WsResponse alone: no other frame can turn a
            // request into something else.
            Message::HttpResponse { head, .. }
                if head.status == StatusCode::SWITCHING_PROTOCOLS =>
            {
                Err(Violation::Unexpected)
            }
            Message::HttpResponse { head, body, end } if role == Role::Edge => {
                let interim = head.status.is_informational();
                self.head(interim, Phase::Body)?;
                self.push(Event::Response(Box::new(head)));
                self.push_data(body);
                Ok(end && !interim)
            }
            Message::WsResponse(head) if role == Role::Edge && self.upgrading => {
                self.head(false, Phase::Socket)?;
                self.push(Event::Upgraded(Box::new(head)));
                Ok(false)
            }
            Message::Body { data, end } => {
                self.expect(Phase::Body)?;
                self.push_data(data);
                Ok(end)
            }
            Message::Trailers(trailers) => {
                self.expect(Phase::Body)?;
                self.push(Event::Trailers(trailers));
                Ok(true)
            }
            Message::WsMessage { data, text, more } => {
                self.expect(Phase::Socket)?;
                self.push(Event::Message { data, text, more });
                Ok(false)
            }
            Message::WsTeardown(teardown) => {
                self.expect(Phase::Socket)?;
                self.push(Event::Teardown(teardown));
                Ok(true)
            }
            _ => Err(Violation::Unexpected),
        }
    }

    /// Grants again what a frame cost that carried nothing; the window does not
    /// grow by it.
    pub(crate) fn give_back(&mut self, cost: u32, now: Duration) -> Option<Frame> {
        let grant = self.window.consumed(cost, now, |_| false)?;
        (!self.in_ended).then(|| Frame::window(UNASSIGNED, grant))
    }

    fn head(&mut self, interim: bool, then: Phase) -> Result<(), Violation> {
        match (&mut self.phase, interim) {
            (Phase::Body | Phase::Socket, _) => {
                Err(Violation::OutOfOrder("a head after the final head"))
            }
            (Phase::Head { interim }, true) if *interim >= MAX_INTERIM_HEADS => {
                Err(Violation::OutOfOrder("more than 8 interim heads"))
            }
            (Phase::Head { interim }, true) => {
                *interim += 1;
                Ok(())
            }
            (Phase::Head { .. }, false) => {
                self.phase = then;
                Ok(())
            }
        }
    }

    fn expect(&self, phase: Phase) -> Result<(), Violation> {
        match self.phase {
            Phase::Head { .. } => Err(Violation::OutOfOrder("content before the final head")),
            now if now == phase => Ok(()),
            _ => Err(Violation::OutOfOrder(
                "body and WebSocket content do not mix",
            )),
        }
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

    pub(crate) fn closed_for_sending(&self) -> Option<Reset> {
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
pub(crate) fn refuse(state: &mut State, after: &mut After, reset: Reset) {
    state.refused = Some(reset);
    after.wake = [None, state.send_waker.take(), state.cut_waker.take()];
}

pub(crate) fn end_early(state: &mut State, after: &mut After, reset: Reset) {
    if state.cut.is_none() {
        state.cut = Some(reset);
    }
    after.wake = [
        state.receive_waker.take(),
        state.send_waker.take(),
        state.cut_waker.take(),
    ];
}
