//! One WebSocket and one exchange, spliced: what comes out of either goes into
//! the other.
//!
//! The edge splices the visitor's socket, the agent the target's. Both are the
//! same work, so it is written here once, over messages that name no WebSocket
//! library; the two crates adapt theirs. Fragments travel as they come under
//! credit, and a message is never collected on the way.

mod library;

use std::{future::pending, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use messages::{Reset, ResetCode, Teardown, cost};
use tokio::time::timeout;

use crate::{Event, Receiver, Sender};

pub use library::{MAX_MESSAGE, Socket, derive_accept_key, generate_key};

/// The largest piece a message is cut into: several streams share a link, and a
/// large message must not hold the others up.
pub const FRAGMENT: usize = 16 * 1024;

/// How long the other side of a socket may take to answer a close before the
/// connection is cut (RFC 6455, 7.1.1).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a WebSocket says, without naming a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A message; or a fragment of one, when `more` follow.
    Message {
        /// Its bytes; for text, valid UTF-8 over the whole message.
        data: Bytes,
        /// Text or binary; the same on every fragment.
        text: bool,
        /// Further fragments of this message follow.
        more: bool,
    },
    /// A close frame (RFC 6455, 5.5.1). No code stands for an empty one.
    Close {
        /// 1000–1015 as registered, 3000–4999.
        code: Option<u16>,
        /// At most 123 bytes.
        reason: String,
    },
}

/// Why a socket can no longer be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// The connection ended without a close frame.
    #[error("the connection was lost")]
    Lost,
    /// The peer broke a rule; this close code tells it which (RFC 6455, 7.4.1).
    #[error("{reason}")]
    Broken {
        /// 1002, 1007 or 1009.
        code: u16,
        /// For the close frame.
        reason: &'static str,
    },
}

/// How a splice ended, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spliced {
    /// The socket closed first.
    BySocket(Teardown),
    /// The other end of the exchange closed first.
    ByPeer(Teardown),
    /// The way between them was lost.
    Cut(Reset),
    /// This node is going: both sides were told 1001 (RFC 6455, 7.4.1).
    Parted,
}

/// Carries messages both ways until either side ends, and passes the end on.
/// Not cancel safe; dropping the future cuts both sides.
pub async fn splice<S>(socket: S, sender: Sender, receiver: Receiver) -> Spliced
where
    S: Stream<Item = Result<Said, SocketError>> + Sink<Said, Error = SocketError> + Unpin,
{
    splice_until(socket, sender, receiver, pending()).await
}

/// [`splice`], or until `parting`: then both sides are sent elsewhere.
/// Not cancel safe; dropping the future cuts both sides.
pub async fn splice_until<S>(
    socket: S,
    mut sender: Sender,
    mut receiver: Receiver,
    parting: impl Future<Output = ()>,
) -> Spliced
where
    S: Stream<Item = Result<Said, SocketError>> + Sink<Said, Error = SocketError> + Unpin,
{
    let (mut out, mut inp) = socket.split();
    let ended = tokio::select! {
        ended = read(&mut inp, &mut sender) => ended,
        ended = write(&mut out, &mut receiver) => ended,
        () = parting => Spliced::Parted,
    };
    match &ended {
        Spliced::BySocket(teardown) => {
            sender.teardown(teardown);
            receiver.satisfied();
            close(&mut out, &mut inp, answer(teardown)).await;
        }
        Spliced::ByPeer(teardown) => {
            sender.teardown(teardown);
            close(&mut out, &mut inp, answer(teardown)).await;
        }
        Spliced::Cut(reset) => close(&mut out, &mut inp, Some(cut(reset))).await,
        Spliced::Parted => {
            let going = Teardown::Close {
                code: Some(1001),
                reason: "the server is going down".to_owned(),
            };
            sender.teardown(&going);
            receiver.satisfied();
            close(&mut out, &mut inp, answer(&going)).await;
        }
    }
    ended
}

/// Socket to exchange, until the socket ends.
async fn read<S>(socket: &mut S, sender: &mut Sender) -> Spliced
where
    S: Stream<Item = Result<Said, SocketError>> + Unpin,
{
    loop {
        let teardown = match socket.next().await {
            Some(Ok(Said::Message { data, text, more })) => {
                match sender.message(data, text, more).await {
                    Ok(()) => continue,
                    Err(reset) => return Spliced::Cut(reset),
                }
            }
            Some(Ok(Said::Close { code, reason })) => Teardown::Close { code, reason },
            Some(Err(SocketError::Broken { code, reason })) => Teardown::Close {
                code: Some(code),
                reason: reason.to_owned(),
            },
            Some(Err(SocketError::Lost)) | None => Teardown::Lost,
        };
        return Spliced::BySocket(teardown);
    }
}

/// Messages up to this size leave as one frame, however many fragments they
/// came in: there are services that do not know fragments. Larger ones, which
/// only a lifted limit lets through, leave in fragments.
const WHOLE: usize = 2 * 1024 * 1024;

/// Exchange to socket, until the exchange ends. Credit is given back when the
/// socket has taken a message, or when a fragment has been put with the others
/// of its message: what is held is then bounded by [`WHOLE`].
async fn write<S>(socket: &mut S, receiver: &mut Receiver) -> Spliced
where
    S: Sink<Said, Error = SocketError> + Unpin,
{
    let mut parts = Parts::default();
    loop {
        match receiver.recv().await {
            Ok(Event::Message { data, text, more }) => {
                let cost = cost(data.len());
                if let Some(said) = parts.join(data, text, more)
                    && socket.send(said).await.is_err()
                {
                    return Spliced::BySocket(Teardown::Lost);
                }
                receiver.consumed(cost);
            }
            Ok(Event::Teardown(teardown)) => return Spliced::ByPeer(teardown),
            Ok(_) => return Spliced::ByPeer(Teardown::Lost),
            Err(reset) => return Spliced::Cut(reset),
        }
    }
}

/// The fragments of a message that is not whole yet.
#[derive(Default)]
struct Parts {
    held: BytesMut,
}

impl Parts {
    /// What may be sent now that this fragment has come.
    fn join(&mut self, data: Bytes, text: bool, more: bool) -> Option<Said> {
        if self.held.is_empty() && !more {
            return Some(Said::Message { data, text, more });
        }
        self.held.extend_from_slice(&data);
        if more && self.held.len() < WHOLE {
            return None;
        }
        let data = self.held.split().freeze();
        Some(Said::Message { data, text, more })
    }
}

/// The close frame that goes with a teardown. A connection that was lost without
/// one is passed on as lost: the other side sees 1006, as it would without a
/// tunnel.
fn answer(teardown: &Teardown) -> Option<Said> {
    match teardown {
        Teardown::Close { code, reason } => Some(Said::Close {
            code: *code,
            reason: reason.clone(),
        }),
        Teardown::Lost => None,
    }
}

/// RFC 6455's registry: an end point that goes away, or a gateway that got no
/// valid answer.
fn cut(reset: &Reset) -> Said {
    let (code, reason) = match reset.code {
        ResetCode::TimedOut => (1001, "idle for too long"),
        _ => (1014, "the tunnel was lost"),
    };
    Said::Close {
        code: Some(code),
        reason: reason.to_owned(),
    }
}

/// Sends a last frame and waits a bounded time for the other side to finish.
async fn close<S, R>(out: &mut S, inp: &mut R, last: Option<Said>)
where
    S: Sink<Said, Error = SocketError> + Unpin,
    R: Stream<Item = Result<Said, SocketError>> + Unpin,
{
    let Some(last) = last else { return };
    let closing = async {
        // The peer may have closed already; then there is nothing to wait for.
        if out.send(last).await.is_ok() {
            while let Some(Ok(_)) = inp.next().await {}
        }
        drop(out.close().await);
    };
    if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
        tracing::debug!("a WebSocket did not answer its close frame");
    }
}
