//! What a target may know of an exchange beside its request, and what it may say before its answer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exchange::Sender;
use http::{HeaderMap, Request, StatusCode};
use messages::{Frame, Message, RequestHead, RequestId, ResponseHead, Scheme, VisitorFacts};
use tokio::sync::watch;

use crate::RequestBody;
use crate::body::Expectation;
use crate::serve::request;

/// Interim heads that are passed on; the server takes no more (RFC 9110 section 15.2 sets no limit, memory does).
const MAX_INTERIM: u8 = 8;

/// One exchange, as its target sees it. Clones speak of the same exchange.
#[derive(Clone)]
pub struct Context {
    /// What the logs of edge, server and agent call this request.
    pub request_id: RequestId,
    /// Who asked, and how.
    pub visitor: VisitorFacts,
    /// Of the visitor's connection.
    pub scheme: Scheme,
    /// 0 for the first delivery of this request; above it nothing may be tried a second time.
    pub attempt: u8,
    reply: Arc<Reply>,
}

struct Reply {
    state: Mutex<State>,
    /// The frame of a request that may be sent twice.
    original: Option<Frame>,
}

struct State {
    /// Gone once the final head is on its way.
    sender: Option<Sender>,
    interim: u8,
    /// For the body of a request that waits to be asked for. Gone when the exchange is over.
    expectation: Option<watch::Sender<Expectation>>,
}

impl Context {
    /// The context of this request, which came in the frame `original` if it may be sent twice, and the guard that keeps its right to answer.
    pub(crate) fn new(
        head: &RequestHead,
        sender: Sender,
        expectation: Option<watch::Sender<Expectation>>,
        original: Option<Frame>,
    ) -> (Self, Answer) {
        let state = State {
            sender: Some(sender),
            interim: 0,
            expectation,
        };
        let state = Mutex::new(state);
        let reply = Arc::new(Reply { state, original });
        let context = Self {
            request_id: head.request_id,
            visitor: head.visitor,
            scheme: head.scheme,
            attempt: head.attempt,
            reply: reply.clone(),
        };
        (context, Answer(reply))
    }

    /// Says an interim (1xx) head. `100 Continue` asks for the request's body and goes no further, the others are sent
    /// to the server, up to eight. After the final head this does nothing.
    pub fn interim(&self, status: StatusCode, headers: HeaderMap) {
        match status {
            StatusCode::CONTINUE => self.reply.expect(Expectation::Wanted),
            // An upgrade is no interim head, whatever its number.
            StatusCode::SWITCHING_PROTOCOLS => {}
            _ if status.is_informational() => self.reply.interim(&ResponseHead { status, headers }),
            _ => {}
        }
    }

    /// The request once more, read anew from the frame it came in. `None` when it may not be sent twice, or no longer:
    /// something of its answer has gone out.
    pub(crate) fn again(&self) -> Option<Request<RequestBody>> {
        let original = self.reply.original.as_ref()?;
        if self.reply.lock().has_answered() {
            return None;
        }
        match Message::decode(original) {
            Ok(Message::HttpRequest { head, .. }) => Some(request(head, RequestBody::empty())),
            _ => None,
        }
    }
}

impl State {
    fn has_answered(&self) -> bool {
        self.interim > 0 || self.sender.is_none()
    }
}

impl Reply {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and each field is whole at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first word about the expectation counts.
    fn expect(&self, word: Expectation) {
        if let Some(expectation) = &self.lock().expectation {
            expectation.send_if_modified(|state| {
                let first = *state == Expectation::Open;
                if first {
                    *state = word;
                }
                first
            });
        }
    }

    fn interim(&self, head: &ResponseHead) {
        let mut state = self.lock();
        if state.interim >= MAX_INTERIM {
            return;
        }
        let Some(sender) = &mut state.sender else {
            return;
        };
        match sender.response(head, &[], false) {
            Ok(()) => state.interim += 1,
            Err(error) => tracing::debug!(%error, "an interim head cannot be carried"),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("request_id", &self.request_id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The right to answer an exchange. Dropped without an answer it resets the exchange, even while a target still keeps
/// its context.
pub(crate) struct Answer(Arc<Reply>);

impl Answer {
    /// Takes the sender for the final head; what the target says from now on is not heard.
    pub(crate) fn take(&self) -> Option<Sender> {
        self.0.expect(Expectation::Answered);
        self.0.lock().sender.take()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        drop(self.take());
        self.0.lock().expectation = None;
    }
}
