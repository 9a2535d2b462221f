//! One exchange: the request to the target, its answer back under credit.
//!
//! It runs as a task of its own. When the other side cuts the exchange the task drops what it is doing, and that ends
//! the work at the target too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use exchange::body::{Incoming, Peeked, PumpError, PumpRules, Rules, pump};
use exchange::hop;
use exchange::{CutSignal, Event as Heard, Receiver, Sender};
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use messages::{Frame, MAX_INLINE_BODY, RequestHead, Reset, ResetCode, ResponseHead};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::body::Expectation;
use crate::event::{Event, Events, Outcome, Report};
use crate::{BoxError, Context, RequestBody, Target, TargetBody, self_check, ws};

/// Turns of the scheduler a body gets to arrive whole before its head leaves without it: one for the connection's task to
/// read, one for it to notice the end.
const INLINE_TURNS: usize = 2;

/// The handles of one exchange whose opening frame has been taken.
pub(crate) struct Exchange {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) cut: CutSignal,
    /// The largest WebSocket message the server carries, in bytes.
    pub(crate) max_message: Option<u64>,
    /// The opening frame, when it holds a whole request.
    pub(crate) original: Option<Frame>,
}

impl Exchange {
    /// Runs the exchange to its end and reports it.
    pub(crate) async fn serve(self, target: Arc<dyn Target>, events: Events) {
        let Self {
            sender,
            mut receiver,
            cut,
            max_message,
            original,
        } = self;
        let (head, upgrade) = match receiver.recv().await {
            Ok(Heard::Request(head)) => (head, false),
            Ok(Heard::Upgrade(head)) => (head, true),
            // Cut before it began; the mailbox lets nothing else through first.
            Ok(_) | Err(_) => return,
        };
        let started = Instant::now();
        let mut report = Report {
            request_id: head.request_id,
            method: head.method.clone(),
            path: head.target.path().to_owned(),
            status: None,
            elapsed: Duration::ZERO,
            outcome: Outcome::Answered,
        };
        let status = &mut report.status;
        let answering = async {
            if upgrade {
                // In a box, or a request's future would be as large as a WebSocket's.
                let answering = ws::answer(&*target, *head, sender, receiver, max_message, status);
                Box::pin(answering).await
            } else {
                answer(&*target, head, original, sender, receiver, status).await
            }
        };
        report.outcome = tokio::select! {
            biased;
            reset = cut => Outcome::Cut(reset),
            outcome = answering => outcome,
        };
        report.elapsed = started.elapsed();
        tracing::debug!(
            request = %report.request_id,
            method = %report.method,
            path = report.path,
            status = report.status.map(|status| status.as_u16()),
            outcome = ?report.outcome,
            elapsed = ?report.elapsed,
            "exchange over"
        );
        if !self_check::is_question(&report.path) {
            events.tell(Event::Exchange(report));
        }
    }
}

/// Asks the target and sends what it says.
async fn answer(
    target: &dyn Target,
    head: Box<RequestHead>,
    original: Option<Frame>,
    mut sender: Sender,
    receiver: Receiver,
    status: &mut Option<StatusCode>,
) -> Outcome {
    let (expecting, expectation) = expectation(&head, &receiver);
    let body = match request_body(&head.headers, receiver, expectation) {
        Ok(body) => body,
        Err(reset) => return fail(&mut sender, reset),
    };
    let method = head.method.clone();
    let original = original.filter(|_| is_repeatable(&head, &body));
    let (context, answer) = Context::new(&head, sender, expecting, original);
    let answered = target.http(request(*head, body), context).await;
    let Some(mut sender) = answer.take() else {
        return Outcome::Answered;
    };
    let sent = match answered {
        Ok(response) => respond(&mut sender, response, &method, status).await,
        Err(error) => Err(error.reset()),
    };
    sent.map_or_else(|reset| fail(&mut sender, reset), |()| Outcome::Answered)
}

/// Only what can be sent twice without harm: no body, an idempotent method (RFC 9110 section 9.2.2), and no one before us
/// on the way who already repeated it.
fn is_repeatable(head: &RequestHead, body: &RequestBody) -> bool {
    body.is_empty() && head.method.is_idempotent() && head.attempt == 0
}

/// Tells the server what broke. Where the server itself has ended the exchange, this only reports it.
pub(crate) fn fail(sender: &mut Sender, reset: Reset) -> Outcome {
    sender.abort(reset.code, &reset.reason);
    Outcome::Failed(reset)
}

/// Both ends of the question whether the body is wanted, for a request that asks it.
fn expectation(
    head: &RequestHead,
    receiver: &Receiver,
) -> (
    Option<watch::Sender<Expectation>>,
    Option<watch::Receiver<Expectation>>,
) {
    if receiver.is_finished() || !expects_continue(&head.headers) {
        return (None, None);
    }
    let (said, heard) = watch::channel(Expectation::Open);
    (Some(said), Some(heard))
}

/// Whether the head asks for `100 Continue` (RFC 9110 section 10.1.1): then the body's credit starts at zero.
pub(crate) fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get_all(http::header::EXPECT)
        .iter()
        .any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The request's body, held to the length that its head announces: a target would take what follows for the next request.
fn request_body(
    headers: &HeaderMap,
    receiver: Receiver,
    expectation: Option<watch::Receiver<Expectation>>,
) -> Result<RequestBody, Reset> {
    let length = hop::content_length(headers)
        .map_err(|error| Reset::new(ResetCode::Protocol, error.to_string()))?;
    if receiver.is_finished() {
        return match length {
            None | Some(0) => Ok(RequestBody::empty()),
            Some(_) => Err(Reset::new(
                ResetCode::Protocol,
                "the request announces a body that it does not have",
            )),
        };
    }
    let rules = Rules {
        length,
        ..Rules::default()
    };
    Ok(RequestBody::following(
        Incoming::new(receiver, rules),
        expectation,
    ))
}

/// The request as a target gets it: origin form, and the public authority as its Host.
pub(crate) fn request(head: RequestHead, body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = Uri::from(head.target);
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = head.headers;
    let host =
        HeaderValue::try_from(head.authority).expect("an authority has only visible characters");
    request.headers_mut().insert(HOST, host);
    request
}

/// Sends the response; a small one in a single frame. An error is what the server is to be told.
pub(crate) async fn respond(
    sender: &mut Sender,
    response: Response<TargetBody>,
    method: &Method,
    status: &mut Option<StatusCode>,
) -> Result<(), Reset> {
    let (parts, body) = response.into_parts();
    if parts.status.is_informational() {
        return Err(bad_response("a final response has an interim status"));
    }
    let head = ResponseHead {
        status: parts.status,
        headers: parts.headers,
    };
    let mut body = Peeked::new(body);
    let (inline, whole) = if has_no_body(method, head.status) {
        (Bytes::new(), true)
    } else {
        body.take_ready(MAX_INLINE_BODY, INLINE_TURNS).await
    };
    let fits = sender.fits_inline(inline.len());
    let first = if fits { &inline[..] } else { &[] };
    sender
        .response(&head, first, whole && fits)
        .map_err(|error| bad_response(format!("the response head cannot be carried: {error}")))?;
    *status = Some(head.status);
    let sent = inline.len() as u64;
    if !fits {
        sender.data(inline, whole).await?;
    }
    if whole {
        return Ok(());
    }
    // Limits and stalls are the edge's to judge: it knows who waits, and it resets.
    let rules = PumpRules {
        sent,
        max: None,
        source_stall: None,
        credit_stall: None,
        // The edge cleans what it gets from anybody.
        clean_trailers: None,
    };
    Box::pin(pump(&mut body, sender, rules))
        .await
        .map(drop)
        .map_err(|error| broken_off(&error))
}

/// Responses that never have a body, whatever they say (RFC 9110 section 6.4.1).
fn has_no_body(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

fn broken_off(error: &PumpError<BoxError>) -> Reset {
    match error {
        PumpError::Closed(reset) => reset.clone(),
        PumpError::Source(source) => bad_response(format!(
            "the target broke off in the middle of its response: {source}"
        )),
        PumpError::SourceStalled { .. } | PumpError::CreditStalled | PumpError::TooLarge => {
            bad_response(error.to_string())
        }
    }
}

pub(crate) fn bad_response(why: impl Into<String>) -> Reset {
    Reset::new(ResetCode::BadResponse, why)
}
