//! How an exchange is opened, and the handle its table routes frames in with.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use messages::{DecodeError, Frame, INITIAL_WINDOW, Message, Reset, ResetCode, StreamId};

use crate::{Budget, Receiver, Sender, shared::Shared};

/// Frames leave with this stream id: which stream carries an exchange is known
/// to its outlet alone.
pub(crate) const UNASSIGNED: StreamId = StreamId(1);

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
    /// The request asks for a WebSocket.
    pub upgrading: bool,
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
            upgrading: false,
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
    let shared = Arc::new(Shared::new(outlet, opening));
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
            Ok(message) => self.0.accept(message, frame.cost()),
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
        self.0.stalled_for()
    }

    /// How long no content has moved in either direction, to the precision in
    /// which it is asked: activity is noticed by a call, not by a clock of its own.
    #[must_use]
    pub fn quiet_for(&self) -> Duration {
        self.0.quiet_for()
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
        self.0.poll_cut(cx)
    }
}
