//! A request body on its way to the agent, beside the wait for the response.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use exchange::{
    CutSignal, Sender,
    body::{Peeked, PumpError, PumpRules, pump},
};
use futures_util::FutureExt as _;
use messages::ResetCode;
use tokio::{sync::oneshot, time::timeout};

use crate::{config::Config, edge::Edge, failure::Failure, headers, source::Source};

/// A body being sent.
pub(crate) struct Upload {
    pub(crate) sender: Sender,
    pub(crate) body: Peeked<Source>,
    /// Resolves when the exchange needs no more of the body.
    pub(crate) cut: CutSignal,
    /// Bytes that went with the head.
    pub(crate) sent: u64,
    /// Do not touch the body before the agent gives credit: reading it is what
    /// makes hyper say `100 Continue`.
    pub(crate) expected: bool,
}

/// How an upload ended; `Ok` also when the agent wants no more of it.
pub(crate) type Outcome = Result<(), Failure>;

/// An upload under way.
pub(crate) struct Uploading {
    outcome: oneshot::Receiver<Outcome>,
    answered: Arc<AtomicBool>,
}

impl Uploading {
    /// Waits for its end. Cancel safe.
    pub(crate) async fn ended(&mut self) -> Outcome {
        // A task that is gone without a word was shut down with the edge.
        (&mut self.outcome).await.unwrap_or(Ok(()))
    }

    /// The response has begun. From now on both sides talk as they like: a visitor
    /// who listens may be silent for as long as the service lets him.
    pub(crate) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }
}

impl Upload {
    /// Sends what there is of the body, and the rest in a task of its own; the
    /// outcome comes out of the receiver. The task ends with the body, the exchange or the visitor.
    pub(crate) fn start(mut self, edge: &Arc<Edge>) -> Uploading {
        let (report, outcome) = oneshot::channel();
        let answered = Arc::new(AtomicBool::new(false));
        let uploading = Uploading {
            outcome,
            answered: answered.clone(),
        };
        let shared = edge.clone();
        let mut upload = Box::pin(async move {
            let stopped = self.run(&shared.config, &answered).await;
            let failure = stopped.as_ref().map(|stop| stop.failure(&shared.config));
            // The visitor's answer first, then the agent's reset: who waits for
            // the response must find the better reason. Nobody listens once the
            // response has begun.
            drop(report.send(failure.map_or(Ok(()), Err)));
            if let Some(stop) = stopped {
                let (code, reason) = stop.reset();
                self.sender.abort(code, reason);
            }
        });
        // What has come of the body leaves in one write with the head; a body that
        // has come whole needs no task. Measured with 100 KiB: a write, a wake-up
        // of the agent and a write to the target less.
        if upload.as_mut().now_or_never().is_none() {
            edge.tasks.spawn(upload);
        }
        uploading
    }

    async fn run(&mut self, config: &Config, answered: &AtomicBool) -> Option<Stop> {
        let mut rules = PumpRules {
            sent: self.sent,
            max: config.max_body,
            source_stall: Some(config.body_timeout),
            credit_stall: Some(config.body_timeout),
            clean_trailers: Some(headers::clean_trailers),
        };
        let Self {
            sender,
            body,
            cut,
            expected,
            ..
        } = self;
        let sending = async {
            if *expected {
                match timeout(config.head_timeout, sender.writable()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => return Some(Stop::AgentStalled),
                }
            }
            loop {
                match pump(body, sender, rules).await {
                    Err(PumpError::SourceStalled { sent }) if answered.load(Ordering::Relaxed) => {
                        rules.sent = sent;
                    }
                    ended => return Stop::of(&ended),
                }
            }
        };
        tokio::select! {
            stopped = sending => stopped,
            _ = cut => None,
        }
    }
}

/// Why an upload stopped before its end.
#[derive(Debug, Clone, Copy)]
enum Stop {
    VisitorStalled,
    VisitorLeft,
    AgentStalled,
    TooLarge,
}

impl Stop {
    fn of<E>(result: &Result<u64, PumpError<E>>) -> Option<Self> {
        match result {
            Ok(_) | Err(PumpError::Closed(_)) => None,
            Err(PumpError::SourceStalled { .. }) => Some(Self::VisitorStalled),
            Err(PumpError::CreditStalled) => Some(Self::AgentStalled),
            Err(PumpError::TooLarge) => Some(Self::TooLarge),
            Err(PumpError::Source(_)) => Some(Self::VisitorLeft),
        }
    }

    /// What the visitor hears if nothing has gone out to him yet.
    fn failure(self, config: &Config) -> Failure {
        match self {
            Self::VisitorStalled => Failure::RequestTimeout(config.body_timeout),
            Self::VisitorLeft => Failure::BadRequest("the body broke off or is malformed"),
            Self::AgentStalled => Failure::UploadStalled(config.body_timeout),
            Self::TooLarge => Failure::RequestTooLarge(config.max_body),
        }
    }

    /// What the agent hears.
    fn reset(self) -> (ResetCode, &'static str) {
        match self {
            Self::VisitorStalled => (ResetCode::Stalled, "the visitor stopped sending"),
            Self::VisitorLeft => (ResetCode::Cancelled, "the visitor left"),
            Self::AgentStalled => (ResetCode::Stalled, "the agent stopped reading"),
            Self::TooLarge => (ResetCode::TooLarge, "the request body exceeds the limit"),
        }
    }
}
