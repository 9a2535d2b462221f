//! One HTTP exchange: from the visitor's request to the response he gets.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use exchange::{
    Event, Opening, Receiver, Role, Sender,
    body::{Incoming as AgentBody, Peeked, Rules},
    open,
};
use http::{Method, Request, Response, StatusCode, Version, header::CONNECTION};
use hyper::body::Incoming;
use messages::{
    INITIAL_WINDOW, MAX_INLINE_BODY, RequestHead, RequestId, ResetCode, ResponseHead, TunnelId,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::{
    body::Body,
    connection::Connection,
    edge::Edge,
    failure::Failure,
    headers,
    host::{self, Destination},
    page::{self, Asked},
    request::{BodyKind, Outgoing, is_close_delimited},
    response::{self, Checked},
    route::Offers,
    table::{Delivery, Line},
    upload::{Outcome, Upload},
};

/// Turns of the scheduler a small request body gets to arrive whole before its
/// head leaves without it.
const INLINE_TURNS: usize = 1;

/// Answers one request.
pub(crate) async fn serve(
    edge: &Arc<Edge>,
    connection: &Connection,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let started = Instant::now();
    let id = request_id();
    let asked = Asked::of(request.headers(), id);
    let facts = Facts::of(&request);
    let answered = match host::decide(&mut request, &edge.config.domain) {
        Ok((Destination::Own, _)) => return edge.reserved.call(request, connection.peer).await,
        Ok((Destination::Unknown, _)) => Err(Failure::UnknownHost),
        Ok((Destination::Tunnel(tunnel), authority)) => {
            let outgoing = Outgoing::prepare(request, &authority, connection, &edge.config, id);
            match outgoing {
                Ok(outgoing) => {
                    Relay {
                        edge,
                        connection,
                        tunnel,
                        facts: &facts,
                    }
                    .run(outgoing)
                    .await
                }
                Err(failure) => Err(failure),
            }
        }
        Err(failure) => Err(failure),
    };
    let mut response = answered.unwrap_or_else(|failure| {
        tracing::debug!(request = %id, ?failure, "answered by the edge");
        let mut response = page::render(&failure, asked);
        leave_nothing_unread(&failure, &mut response);
        response
    });
    if edge.leaving.is_cancelled() && facts.version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, http::HeaderValue::from_static("close"));
    }
    facts.log(id, response.status(), started.elapsed());
    response
}

/// After a failure in mid-body the rest of it is not read: the connection ends.
fn leave_nothing_unread(failure: &Failure, response: &mut Response<Body>) {
    let mid_body = matches!(
        failure,
        Failure::RequestTooLarge(_)
            | Failure::RequestTimeout(_)
            | Failure::UploadStalled(_)
            | Failure::BadRequest(_)
    );
    if mid_body {
        response
            .headers_mut()
            .insert(CONNECTION, http::HeaderValue::from_static("close"));
    }
}

/// What is left to say of a request once it is on its way.
struct Facts {
    method: Method,
    path: String,
    host: Option<http::HeaderValue>,
    version: Version,
}

impl Facts {
    fn of(request: &Request<Incoming>) -> Self {
        // The query may hold secrets; it is never logged.
        let path = if tracing::enabled!(target: "adit::access", tracing::Level::INFO) {
            request.uri().path().to_owned()
        } else {
            String::new()
        };
        Self {
            method: request.method().clone(),
            path,
            host: request.headers().get(http::header::HOST).cloned(),
            version: request.version(),
        }
    }

    fn log(&self, id: RequestId, status: StatusCode, elapsed: Duration) {
        tracing::info!(
            target: "adit::access",
            request = %id,
            host = ?self.host,
            method = %self.method,
            path = self.path,
            status = status.as_u16(),
            ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        );
    }
}

/// Unique enough to find a request in three logs, and not to be guessed.
fn request_id() -> RequestId {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the system has random bytes");
    RequestId(id)
}

struct Relay<'a> {
    edge: &'a Arc<Edge>,
    connection: &'a Connection,
    tunnel: TunnelId,
    facts: &'a Facts,
}

impl Relay<'_> {
    /// Runs the exchange up to the response head. A request that may be
    /// repeated is, once, when the link was lost before any answer.
    async fn run(&self, outgoing: Outgoing) -> Result<Response<Body>, Failure> {
        let Outgoing {
            mut head,
            mut body,
            kind,
        } = outgoing;
        let (inline, whole) = self.inline(&mut body, kind).await?;
        let repeatable = kind == BodyKind::None && head.method.is_idempotent();
        let (sender, receiver) = self.offer(&head, &inline, whole, kind).await?;
        let upload = (!whole).then(|| {
            let (cut, sent, expected) = (
                receiver.cut_signal(),
                inline.len() as u64,
                kind == BodyKind::Expected,
            );
            Upload {
                sender,
                body,
                cut,
                sent,
                expected,
            }
            .start(self.edge)
        });
        match self.response(receiver, upload).await {
            Err(Failure::LinkLost) if repeatable => {
                head.attempt += 1;
                let (_sender, receiver) = self.offer(&head, &inline, whole, kind).await?;
                self.response(receiver, None).await
            }
            answered => answered,
        }
    }

    /// What of the body can go with the head; true when that is all of it.
    async fn inline(
        &self,
        body: &mut Peeked<Incoming>,
        kind: BodyKind,
    ) -> Result<(Bytes, bool), Failure> {
        let (inline, whole) = match kind {
            BodyKind::None => (Bytes::new(), true),
            BodyKind::Expected => (Bytes::new(), false),
            BodyKind::Present => body.take_ready(MAX_INLINE_BODY, INLINE_TURNS).await,
        };
        match self.edge.config.max_body {
            Some(max) if inline.len() as u64 > max => Err(Failure::RequestTooLarge(Some(max))),
            _ => Ok((inline, whole)),
        }
    }

    /// Offers the request to one link after another until one takes it. Nothing
    /// has been acted on before that, whatever the method.
    async fn offer(
        &self,
        head: &RequestHead,
        inline: &Bytes,
        whole: bool,
        kind: BodyKind,
    ) -> Result<(Sender, Receiver), Failure> {
        let mut offers = Offers::default();
        loop {
            let route = offers.next(self.edge, self.tunnel).await?;
            let line = Line::new(
                &self.edge.table,
                self.edge.bus.clone(),
                self.tunnel,
                route,
                head.attempt,
            );
            let (port, mut sender, receiver) = open(line.clone(), self.opening(kind));
            self.edge.table.insert(port, line.clone());
            if !sender.fits_inline(inline.len()) || sender.request(head, inline, whole).is_err() {
                return Err(Failure::HeadTooLarge);
            }
            match timeout(self.edge.config.head_timeout, line.settled()).await {
                Ok(Delivery::Refused(nack)) => offers.refused(line.route.link, nack),
                Ok(Delivery::Accepted | Delivery::Pending) => return Ok((sender, receiver)),
                Err(_) => return Err(Failure::TargetTimeout(self.edge.config.head_timeout)),
            }
        }
    }

    fn opening(&self, kind: BodyKind) -> Opening {
        Opening {
            send_credit: if kind == BodyKind::Expected {
                0
            } else {
                INITIAL_WINDOW
            },
            budget: Some(self.edge.budget.clone()),
            ..Opening::of(Role::Edge)
        }
    }

    /// Waits for the final head: the clock starts with the last request byte.
    async fn response(
        &self,
        mut receiver: Receiver,
        mut upload: Option<oneshot::Receiver<Outcome>>,
    ) -> Result<Response<Body>, Failure> {
        let limit = self.edge.config.head_timeout;
        let mut deadline = pin!(sleep(limit));
        loop {
            tokio::select! {
                biased;
                outcome = ended(&mut upload) => {
                    outcome?;
                    upload = None;
                    deadline.as_mut().reset(Instant::now() + limit);
                }
                event = receiver.recv() => match event {
                    Ok(Event::Response(head)) if head.status.is_informational() => {}
                    Ok(Event::Response(head)) => return self.respond(*head, receiver),
                    Ok(_) => return Err(Failure::BadResponse),
                    Err(reset) => return Err(Failure::from_reset(&reset, self.edge.config.max_body, limit)),
                },
                () = deadline.as_mut(), if upload.is_none() => {
                    receiver.abort(ResetCode::TimedOut, "no response head in time");
                    return Err(Failure::TargetTimeout(limit));
                }
            }
        }
    }

    fn respond(
        &self,
        head: ResponseHead,
        mut receiver: Receiver,
    ) -> Result<Response<Body>, Failure> {
        let checked = response::check(head, &self.facts.method, &self.edge.config).inspect_err(
            |failure| {
                let code = match failure {
                    Failure::ResponseTooLarge(_) => ResetCode::TooLarge,
                    _ => ResetCode::BadResponse,
                };
                receiver.abort(code, "the response was refused by the edge");
            },
        )?;
        let Checked {
            response,
            has_body,
            length,
            max,
        } = checked;
        if !has_body {
            return Ok(response.map(|()| Body::empty()));
        }
        if receiver.is_finished() {
            // The head is all there is: a length it announces is a lie, and there is still time to say so.
            return if length.unwrap_or(0) == 0 {
                Ok(response.map(|()| Body::empty()))
            } else {
                Err(Failure::BadResponse)
            };
        }
        let close_delimited = length.is_none() && is_close_delimited(self.facts.version);
        let rules = Rules {
            length,
            max,
            clean_trailers: Some(headers::clean_trailers),
        };
        let incoming = AgentBody::new(receiver, rules);
        Ok(response
            .map(|()| Body::relayed(incoming, self.connection.state.clone(), close_delimited)))
    }
}

/// The upload's outcome; never, when there is none.
async fn ended(upload: &mut Option<oneshot::Receiver<Outcome>>) -> Outcome {
    match upload {
        // A task that is gone without a word was shut down with the edge.
        Some(outcome) => outcome.await.unwrap_or(Ok(())),
        None => std::future::pending().await,
    }
}
