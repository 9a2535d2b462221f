//! Why Adit answers a visitor by itself.
//!
//! Below this file errors know nothing of HTTP; above it there are only pages.
//! Which status stands for which failure is decided in `answer`, and nowhere else.

mod answer;

use std::time::Duration;

use http::HeaderValue;
use messages::{Reset, ResetCode};

use crate::limits::Excess;

pub(crate) use answer::{Answer, PREFLIGHT};

/// Why a visitor gets an answer from Adit instead of from the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request itself is malformed; the text names the rule.
    BadRequest(&'static str),
    /// A method that ends at this hop.
    MethodNotAllowed,
    /// An expectation other than `100-continue` (RFC 9110, 10.1.1).
    ExpectationFailed,
    /// A WebSocket of another version than 13 (RFC 6455, 4.4).
    WebSocketVersion,
    /// The head exceeds what a link carries.
    HeadTooLarge,
    /// The host is no tunnel of this server.
    UnknownHost,
    /// No link anywhere serves the tunnel.
    TunnelOffline,
    /// The agent cannot reach its target.
    TargetUnreachable,
    /// Link or node lost before the response head.
    LinkLost,
    /// The response is larger than the limit, in bytes.
    ResponseTooLarge(Option<u64>),
    /// The agent or its target answered something that is no valid response.
    BadResponse,
    /// No response head in time.
    TargetTimeout(Duration),
    /// The agent takes no more of the request body.
    UploadStalled(Duration),
    /// The request body is larger than the limit, in bytes.
    RequestTooLarge(Option<u64>),
    /// The visitor sends no more of the request body.
    RequestTimeout(Duration),
    /// The request passed through too many tunnels.
    Loop,
    /// The tunnel's policy lets this address not in.
    Forbidden,
    /// The tunnel's policy wants TLS: the same URL with it.
    HttpsOnly {
        /// Where to go.
        location: HeaderValue,
        /// A method that must not become GET on the way (RFC 9110, 15.4.9).
        keeps_method: bool,
    },
    /// The tunnel's policy wants a password that the request does not have.
    PasswordRequired,
    /// Too many passwords were tried; seconds until the next may be.
    TooManyPasswords(u32),
    /// As many passwords wait to be checked as may.
    PasswordsBusy,
    /// The tunnel's policy wants a signature; the text names the rule that the
    /// request breaks.
    WebhookUnverified(&'static str),
    /// The tunnel's policy publishes another part of the service.
    PathNotPublished,
    /// The rules of the tunnel are not known here, or have changed meanwhile.
    PolicyUnavailable,
    /// Over a rate of this server.
    OverRate(Excess),
    /// Over a rate of the agent's.
    RateLimited,
    /// The bus is down and the tunnel elsewhere.
    BusUnavailable,
    /// Too many streams.
    Overloaded,
    /// This node is leaving.
    Draining,
}

impl Failure {
    /// True for a failure in the middle of a request, whose rest nobody reads.
    pub(crate) fn leaves_body_unread(&self) -> bool {
        matches!(
            self,
            Self::HeadTooLarge
                | Self::RequestTooLarge(_)
                | Self::RequestTimeout(_)
                | Self::UploadStalled(_)
                | Self::BadRequest(_)
        )
    }

    /// What a reset before the response head means for the visitor.
    pub(crate) fn from_reset(reset: &Reset, max_body: Option<u64>, head_timeout: Duration) -> Self {
        match reset.code {
            ResetCode::TargetUnreachable => Self::TargetUnreachable,
            ResetCode::TimedOut | ResetCode::Stalled => Self::TargetTimeout(head_timeout),
            ResetCode::TooLarge => Self::ResponseTooLarge(max_body),
            ResetCode::LinkLost => Self::LinkLost,
            ResetCode::Busy => Self::Overloaded,
            ResetCode::RateLimited => Self::RateLimited,
            ResetCode::Done
            | ResetCode::Cancelled
            | ResetCode::Overrun
            | ResetCode::Protocol
            | ResetCode::BadResponse
            | ResetCode::Internal
            | ResetCode::Unknown(_) => Self::BadResponse,
        }
    }
}
