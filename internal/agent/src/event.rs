//! What happens to an agent, for whoever shows it to a person or counts it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use messages::{Granted, Notice, RequestId, Reset};

use crate::{SelfCheck, Via};

/// Something that happened. Events come from the agent's own tasks, in order, and whoever takes them must be quick.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A connection to the server is being made.
    Connecting {
        /// The server, as a URL.
        server: String,
    },
    /// Links run over this from now on. It comes ahead of the first [`Event::Registered`], and again when it changes.
    Via(Via),
    /// The tunnel is up: visitors of its URL reach the target from now on.
    Registered(Granted),
    /// No link is up any more. [`Event::Retrying`] or the agent's end follows.
    Lost {
        /// What happened, as a sentence.
        why: String,
    },
    /// A further link came, or one of several went: the tunnel was up all the time.
    Pool {
        /// What happened.
        change: PoolChange,
        /// What there is now.
        size: PoolSize,
    },
    /// There is no link; another attempt follows.
    Retrying {
        /// What went wrong at the last attempt, as a sentence; nothing after [`Event::Lost`], which said it, and nothing
        /// when a fleet that was there is only being restarted.
        why: Option<String>,
        /// How long until then.
        wait: Duration,
    },
    /// The agent was told to leave and waits for so many exchanges to end.
    Leaving {
        /// Exchanges that still run.
        in_flight: usize,
    },
    /// The server says that a limit was reached; at most once a second and link.
    Notice(Notice),
    /// The agent has asked its own public URL, and found what it had not found before.
    SelfCheck(SelfCheck),
    /// An exchange is over.
    Exchange(Report),
}

/// What happened to one link of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolChange {
    /// It is up.
    Up,
    /// It is gone, and will be made again.
    Lost {
        /// What happened, as a sentence.
        why: String,
    },
    /// It has taken the place of one to another node: that one is going down, or had two.
    Moved,
    /// It has taken the place of one under which visitors did not get through.
    Renewed,
}

/// The links of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    /// Links that are up.
    pub links: usize,
    /// Nodes that they go to.
    pub nodes: usize,
    /// Links that there should be.
    pub wanted: usize,
}

/// One exchange, when it is over.
#[derive(Debug, Clone)]
pub struct Report {
    /// What the logs of edge, server and agent call this request.
    pub request_id: RequestId,
    /// The request's method.
    pub method: Method,
    /// The request's path, without its query: that may hold secrets.
    pub path: String,
    /// The status of the final head, if there was one.
    pub status: Option<StatusCode>,
    /// From the arrival of the request to the end of the response.
    pub elapsed: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The response was sent whole.
    Answered,
    /// It broke on our side; the server was told this.
    Failed(Reset),
    /// The other side cut it: the visitor left, a limit was passed, the link is gone.
    Cut(Reset),
}

/// Where events go.
#[derive(Clone)]
pub(crate) struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    pub(crate) fn new(to: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(to))
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
