//! One HTTP exchange: from the visitor's request to the response he gets.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use exchange::{
    Event, Opening, Receiver, Role, Sender,
    body::{Incoming as AgentBody, Peeked, Rules},
    open,
};
use http::{Method, Response, Version};
use messages::{
    INITIAL_WINDOW, MAX_INLINE_BODY, RequestHead, Reset, ResetCode, ResponseHead, TunnelId,
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    body::Body,
    connection::Connection,
    edge::Edge,
    failure::Failure,
    headers,
    host::Addressed,
    request::{self, BodyKind, Call, Payload, is_close_delimited},
    response::{self, Checked},
    route::Offers,
    source::Source,
    table::{Delivery, Line},
    upload::{Outcome, Upload, Uploading},
    ws,
};

/// Turns of the scheduler a small request body gets to arrive whole before its
/// head leaves without it.
const INLINE_TURNS: usize = 1;

/// One request's way to its tunnel and back.
pub(crate) struct Relay<'a> {
    pub(crate) edge: &'a Arc<Edge>,
    pub(crate) connection: &'a Connection,
    pub(crate) addressed: &'a Addressed,
    pub(crate) tunnel: TunnelId,
    /// The visitor's method and version decide how a response may look.
    pub(crate) method: Method,
    pub(crate) version: Version,
}

/// What opens an exchange.
pub(crate) enum Opener<'a> {
    /// A request, with as much of its body as goes along.
    Http {
        inline: &'a Bytes,
        whole: bool,
        kind: BodyKind,
    },
    /// A WebSocket.
    Socket,
}

impl Relay<'_> {
    /// Runs the exchange up to the response head. A request that may be
    /// repeated is, once, over another link, when the first was lost before any
    /// answer.
    pub(crate) async fn run(
        &self,
        call: Call,
        offers: &mut Offers,
    ) -> Result<Response<Body>, Failure> {
        let (mut head, payload) = request::head(call, self.addressed)?;
        let Payload {
            mut body,
            kind,
            socket,
            ..
        } = payload;
        if let Some(upgrade) = socket {
            return ws::relay(self, head, *upgrade, offers).await;
        }
        let (inline, whole) = self.inline(&mut body, kind).await?;
        let opener = Opener::Http {
            inline: &inline,
            whole,
            kind,
        };
        let (sender, receiver) = self.offer(offers, &head, &opener).await?;
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
        let repeatable = kind == BodyKind::None && head.method.is_idempotent();
        match self.response(receiver, upload).await {
            Err(Failure::LinkLost) if repeatable => {
                offers.lost(self.edge, self.tunnel);
                head.attempt += 1;
                self.repeat(offers, &head, &opener).await
            }
            answered => answered,
        }
    }

    /// The second and last attempt of a request.
    async fn repeat(
        &self,
        offers: &mut Offers,
        head: &RequestHead,
        opener: &Opener<'_>,
    ) -> Result<Response<Body>, Failure> {
        match self.offer(offers, head, opener).await {
            Ok((_sender, receiver)) => self.response(receiver, None).await,
            // There is no other link: what happened is that the only one was lost.
            Err(Failure::TunnelOffline) => Err(Failure::LinkLost),
            Err(failure) => Err(failure),
        }
    }

    /// What of the body can go with the head; true when that is all of it.
    async fn inline(
        &self,
        body: &mut Peeked<Source>,
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
    pub(crate) async fn offer(
        &self,
        offers: &mut Offers,
        head: &RequestHead,
        opener: &Opener<'_>,
    ) -> Result<(Sender, Receiver), Failure> {
        let limit = self.edge.config.head_timeout;
        loop {
            let route = offers.next(self.edge, self.tunnel).await?;
            let line = Line::new(
                &self.edge.table,
                self.edge.bus.clone(),
                self.tunnel,
                route,
                head.attempt,
            );
            let (port, mut sender, receiver) = open(line.clone(), self.opening(opener));
            self.edge.table.insert(port.clone(), line.clone());
            send(opener, head, &mut sender)?;
            match timeout(limit, line.settled()).await {
                Ok(Delivery::Refused(nack)) => {
                    // Nobody has it, so nobody would acknowledge its reset.
                    port.cut(Reset::new(ResetCode::Busy, "not taken by this link"));
                    offers.refused(self.edge, self.tunnel, line.route.link, nack);
                }
                Ok(Delivery::Accepted | Delivery::Pending) => {
                    offers.taken_by(line.route.link);
                    return Ok((sender, receiver));
                }
                Err(_) => return Err(Failure::TargetTimeout(limit)),
            }
        }
    }

    fn opening(&self, opener: &Opener<'_>) -> Opening {
        let waits = matches!(
            opener,
            Opener::Http {
                kind: BodyKind::Expected,
                ..
            }
        );
        Opening {
            send_credit: if waits { 0 } else { INITIAL_WINDOW },
            upgrading: matches!(opener, Opener::Socket),
            budget: Some(self.edge.budget.clone()),
            ..Opening::of(Role::Edge)
        }
    }

    /// Waits for the final head: the clock starts with the last request byte.
    async fn response(
        &self,
        mut receiver: Receiver,
        mut upload: Option<Uploading>,
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
                    Ok(Event::Response(head)) => {
                        if let Some(upload) = &upload {
                            upload.answered();
                        }
                        return self.respond(*head, receiver);
                    }
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

    /// The final response, its body still on its way.
    pub(crate) fn respond(
        &self,
        head: ResponseHead,
        mut receiver: Receiver,
    ) -> Result<Response<Body>, Failure> {
        let checked =
            response::check(head, &self.method, &self.edge.config).inspect_err(|failure| {
                let code = match failure {
                    Failure::ResponseTooLarge(_) => ResetCode::TooLarge,
                    _ => ResetCode::BadResponse,
                };
                receiver.abort(code, "the response was refused by the edge");
            })?;
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
        let close_delimited = length.is_none() && is_close_delimited(self.version);
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

fn send(opener: &Opener<'_>, head: &RequestHead, sender: &mut Sender) -> Result<(), Failure> {
    let sent = match opener {
        Opener::Http { inline, whole, .. } => {
            // A fresh window always covers what goes inline.
            if !sender.fits_inline(inline.len()) {
                return Err(Failure::Overloaded);
            }
            sender.request(head, inline, *whole)
        }
        Opener::Socket => sender.upgrade(head),
    };
    sent.map_err(|_| Failure::HeadTooLarge)
}

/// The upload's outcome; never, when there is none.
async fn ended(upload: &mut Option<Uploading>) -> Outcome {
    match upload {
        Some(upload) => upload.ended().await,
        None => std::future::pending().await,
    }
}
