//! What happens to an agent, for whoever shows it to a person or counts it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use messages::{Granted, RequestId, Reset};

/// Something that happened. Events come from the agent's own tasks, in order, and whoever takes them must be quick.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A connection to the server is being made.
    Connecting {
        /// The server, as a URL.
        server: String,
    },
    /// The tunnel is up: visitors of its URL reach the target from now on.
    Registered(Granted),
    /// The link that was up is gone. [`Event::Retrying`] or the agent's end follows.
    Lost {
        /// What happened, as a sentence.
        why: String,
    },
    /// There is no link; another attempt follows.
    Retrying {
        /// What went wrong at the last attempt, as a sentence; nothing after [`Event::Lost`], which said it.
        why: Option<String>,
        /// How long until then.
        wait: Duration,
    },
    /// The agent was told to leave and waits for so many exchanges to end.
    Leaving {
        /// Exchanges that still run.
        in_flight: usize,
    },
    /// An exchange is over.
    Exchange(Report),
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
