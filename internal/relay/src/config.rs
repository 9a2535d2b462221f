//! What a relay does, checked.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;

use crate::pipeline::Pipeline;
use crate::rules::Pointer;
use crate::upstream::Upstream;

/// The longest line, bytes, as the reference has it.
const LINE: usize = 4096;

/// The largest message, bytes: what a tunnel carries.
const MESSAGE: usize = 512_000;

/// How long an answer may take where one is waited for.
const ANSWER: Duration = Duration::from_secs(30);

/// How long connecting may take: name, TCP, TLS and handshake.
const CONNECT: Duration = Duration::from_secs(10);

/// An upstream that says nothing for so long is asked for a sign of life, and lost when none comes in as long again.
const SILENCE: Duration = Duration::from_secs(30);

/// How many visitors there are at the same time: each is a connection to the upstream.
const VISITORS: usize = 1024;

/// How visitors learn of what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Errors {
    /// Their WebSocket is closed, with a code that says why (RFC 6455, 7.4.1).
    #[default]
    Close,
    /// By a JSON message; the WebSocket stays open.
    Message,
}

impl FromStr for Errors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "close" => Ok(Self::Close),
            "message" => Ok(Self::Message),
            _ => Err(format!("{text:?} is neither close nor message")),
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Close => "close",
            Self::Message => "message",
        })
    }
}

/// What bounds the memory of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest line, bytes, without its line feed.
    pub line: usize,
    /// The largest message either side may send, and what one may become on its way, bytes.
    pub message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: LINE,
            message: MESSAGE,
        }
    }
}

/// What a relay does.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where messages go.
    pub upstream: Upstream,
    /// How visitors learn of errors.
    pub errors: Errors,
    /// The field by which answers find back where all visitors share one connection to the upstream; `None` where each
    /// has their own.
    pub shared: Option<Pointer>,
    /// What visitors say, on its way to the upstream.
    pub incoming: Pipeline,
    /// What the upstream says, on its way to visitors.
    pub outgoing: Pipeline,
    /// Where in the JSON of a request the value is that its answer and errors are to have too.
    pub correlate: Option<Pointer>,
    /// How long the upstream may take for an answer; `None` where not every message is answered by one.
    pub answer: Option<Duration>,
    /// The bounds that the pipelines were made with.
    pub limits: Limits,
    /// How long connecting may take.
    pub connect: Duration,
    /// After how long a silent upstream is asked for a sign of life.
    pub silence: Duration,
    /// How many visitors there may be at the same time.
    pub visitors: usize,
    /// Whom to trust behind `wss://`.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Config {
    /// Passthrough to this upstream, with the defaults.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            errors: Errors::default(),
            shared: None,
            incoming: Pipeline::default(),
            outgoing: Pipeline::default(),
            correlate: None,
            answer: None,
            limits: Limits::default(),
            connect: CONNECT,
            silence: SILENCE,
            visitors: VISITORS,
            tls: None,
        }
    }

    /// Copies the value at `pointer` of each request to its answer, which then has 30 s to come.
    #[must_use]
    pub fn correlated(mut self, pointer: Pointer) -> Self {
        self.correlate = Some(pointer);
        self.answer = Some(self.answer_time());
        self
    }

    /// All visitors share one connection to the upstream, and answers find back by this field.
    #[must_use]
    pub fn shared(mut self, field: Pointer) -> Self {
        self.shared = Some(field.clone());
        self.correlated(field)
    }

    /// How long an answer may take, where one is waited for.
    pub(crate) fn answer_time(&self) -> Duration {
        self.answer.unwrap_or(ANSWER)
    }
}
