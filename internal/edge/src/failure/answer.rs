//! Every status that Adit answers by itself is decided here, and nowhere else.

use http::StatusCode;

use super::Failure;

/// What a preflight gets that the edge answers (Fetch, 4.8: any `ok` status).
pub(crate) const PREFLIGHT: StatusCode = StatusCode::NO_CONTENT;

/// The part of the way that failed, as a visitor understands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    Visitor,
    Server,
    Tunnel,
    Target,
}

impl Hop {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Visitor => "request",
            Self::Server => "server",
            Self::Tunnel => "tunnel",
            Self::Target => "service",
        }
    }
}

/// What a failure looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The stable `adit-error` code.
    pub(crate) code: &'static str,
    pub(crate) hop: Hop,
    pub(crate) title: &'static str,
    /// What happened and what to do, in sentences.
    pub(crate) detail: String,
    /// Seconds for Retry-After.
    pub(crate) retry_after: Option<u32>,
}

impl Failure {
    /// The error table of the design, section 6.
    pub(crate) fn answer(&self) -> Answer {
        use StatusCode as S;
        let plain = |status, code, hop, title, detail: &str| Answer {
            status,
            code,
            hop,
            title,
            detail: detail.to_owned(),
            retry_after: None,
        };
        match self {
            Self::BadRequest(rule) => plain(
                S::BAD_REQUEST,
                "bad-request",
                Hop::Visitor,
                "Bad request",
                &format!("The request breaks a rule of HTTP: {rule}."),
            ),
            Self::MethodNotAllowed => plain(
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                Hop::Visitor,
                "Method not allowed",
                "This method ends at the proxy and is not passed on.",
            ),
            Self::ExpectationFailed => plain(
                S::EXPECTATION_FAILED,
                "expectation-failed",
                Hop::Visitor,
                "Expectation failed",
                "The only expectation that can be met is 100-continue.",
            ),
            Self::WebSocketVersion => plain(
                S::UPGRADE_REQUIRED,
                "websocket-version",
                Hop::Visitor,
                "WebSocket version not supported",
                "The only WebSocket version that is carried is 13.",
            ),
            Self::HeadTooLarge => plain(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                Hop::Visitor,
                "Request head too large",
                "The request's headers are larger than a tunnel carries. Clearing cookies for this site may help.",
            ),
            Self::UnknownHost => plain(
                S::NOT_FOUND,
                "unknown-host",
                Hop::Server,
                "No such tunnel here",
                "This host name is not a tunnel of this server. Check the address for a typing error.",
            ),
            Self::TunnelOffline => plain(
                S::BAD_GATEWAY,
                "tunnel-offline",
                Hop::Tunnel,
                "The tunnel is offline",
                "No agent is connected for this address right now. If it is yours, start `adit` on the machine that runs the service.",
            ),
            Self::TargetUnreachable => plain(
                S::BAD_GATEWAY,
                "target-unreachable",
                Hop::Target,
                "The service cannot be reached",
                "The tunnel is up, but the agent could not connect to the service behind it. If it is yours, check that the service is running on the port the agent was given.",
            ),
            Self::LinkLost => plain(
                S::BAD_GATEWAY,
                "link-lost",
                Hop::Tunnel,
                "The tunnel was lost",
                "The connection to the agent broke while the request was under way. It is not known whether the service has acted on it.",
            ),
            Self::ResponseTooLarge(max) => plain(
                S::BAD_GATEWAY,
                "response-too-large",
                Hop::Target,
                "The response is too large",
                &limit("The response", *max),
            ),
            Self::BadResponse => plain(
                S::BAD_GATEWAY,
                "bad-response",
                Hop::Target,
                "The service answered nonsense",
                "What came back through the tunnel is not a valid HTTP response.",
            ),
            Self::TargetTimeout(after) => plain(
                S::GATEWAY_TIMEOUT,
                "target-timeout",
                Hop::Target,
                "The service did not answer in time",
                &format!(
                    "The service behind the tunnel sent no response within {} seconds.",
                    after.as_secs_f32()
                ),
            ),
            Self::UploadStalled(after) => plain(
                S::GATEWAY_TIMEOUT,
                "target-timeout",
                Hop::Target,
                "The service stopped reading",
                &format!(
                    "The service behind the tunnel took nothing of the request body for {} seconds.",
                    after.as_secs_f32()
                ),
            ),
            Self::RequestTooLarge(max) => plain(
                S::PAYLOAD_TOO_LARGE,
                "request-too-large",
                Hop::Visitor,
                "The request is too large",
                &limit("The request body", *max),
            ),
            Self::RequestTimeout(after) => plain(
                S::REQUEST_TIMEOUT,
                "request-timeout",
                Hop::Visitor,
                "The request stalled",
                &format!(
                    "Nothing of the request body arrived for {} seconds.",
                    after.as_secs_f32()
                ),
            ),
            Self::Loop => plain(
                S::LOOP_DETECTED,
                "loop",
                Hop::Server,
                "The request goes round in circles",
                "It has passed through more than 8 proxies. A tunnel probably points at its own public address.",
            ),
            Self::Forbidden => plain(
                S::FORBIDDEN,
                "forbidden",
                Hop::Server,
                "Your address is not let in",
                "The owner of this tunnel decides which network addresses may call it, and yours is not among them. If you should be let in, ask the owner to add it.",
            ),
            Self::HttpsOnly { keeps_method, .. } => plain(
                if *keeps_method {
                    S::PERMANENT_REDIRECT
                } else {
                    S::MOVED_PERMANENTLY
                },
                "https-only",
                Hop::Visitor,
                "Only over HTTPS",
                "This address answers over HTTPS alone. Use the same address with https:// in front.",
            ),
            Self::PasswordRequired => plain(
                S::UNAUTHORIZED,
                "password-required",
                Hop::Visitor,
                "A password is needed",
                "The owner of this tunnel protects it with a password, and the request had none or a wrong one. Nothing of it has reached the service.",
            ),
            Self::TooManyPasswords(seconds) => later(
                plain(
                    S::TOO_MANY_REQUESTS,
                    "too-many-passwords",
                    Hop::Server,
                    "Too many passwords tried",
                    "More passwords were tried for this tunnel than are checked. Wait before you try another; even the right one is not looked at until then.",
                ),
                *seconds,
            ),
            Self::PasswordsBusy => later(
                plain(
                    S::SERVICE_UNAVAILABLE,
                    "overloaded",
                    Hop::Server,
                    "The server is busy checking passwords",
                    "More passwords wait to be checked than this server checks at once. Try again in a moment.",
                ),
                1,
            ),
            Self::WebhookUnverified(rule) => plain(
                S::UNAUTHORIZED,
                "webhook-unverified",
                Hop::Visitor,
                "The signature does not hold",
                &format!(
                    "This tunnel takes only signed webhooks: {rule}. Nothing of the request has reached the service. Check that the sender and the agent have the same secret and provider."
                ),
            ),
            Self::PathNotPublished => plain(
                S::NOT_FOUND,
                "path-not-published",
                Hop::Server,
                "Nothing is published here",
                "The owner of this tunnel publishes only a part of the service, and this path is outside of it.",
            ),
            Self::PolicyUnavailable => later(
                plain(
                    S::SERVICE_UNAVAILABLE,
                    "policy-unavailable",
                    Hop::Server,
                    "The tunnel's rules are not known here yet",
                    "This server knows the tunnel but not, or no longer, the rules its owner set for it, and lets nobody in without them. Try again in a moment.",
                ),
                1,
            ),
            Self::OverRate(excess) => later(
                plain(
                    S::TOO_MANY_REQUESTS,
                    "rate-limited",
                    Hop::Server,
                    "Too many requests",
                    excess.sentence(),
                ),
                excess.retry_after,
            ),
            Self::RateLimited => later(
                plain(
                    S::TOO_MANY_REQUESTS,
                    "rate-limited",
                    Hop::Server,
                    "Too many requests",
                    "Requests come faster than this server allows. Try again in a moment.",
                ),
                1,
            ),
            Self::BusUnavailable => later(
                plain(
                    S::SERVICE_UNAVAILABLE,
                    "bus-unavailable",
                    Hop::Server,
                    "The servers cannot reach each other",
                    "The tunnel's agent is connected to another server of this fleet that cannot be reached right now.",
                ),
                2,
            ),
            Self::Overloaded => later(
                plain(
                    S::SERVICE_UNAVAILABLE,
                    "overloaded",
                    Hop::Tunnel,
                    "The tunnel is busy",
                    "The tunnel carries as many requests at once as it may. Try again in a moment.",
                ),
                1,
            ),
            Self::Draining => later(
                plain(
                    S::SERVICE_UNAVAILABLE,
                    "draining",
                    Hop::Server,
                    "This server is leaving",
                    "This server is shutting down. Try again: another one answers.",
                ),
                1,
            ),
        }
    }
}

fn later(mut answer: Answer, seconds: u32) -> Answer {
    answer.retry_after = Some(seconds);
    answer
}

fn limit(what: &str, max: Option<u64>) -> String {
    match max {
        Some(max) => format!(
            "{what} is larger than the {max} bytes that this server carries. Its operator can raise the limit (max_body)."
        ),
        None => format!("{what} is larger than the service or its agent allows."),
    }
}
