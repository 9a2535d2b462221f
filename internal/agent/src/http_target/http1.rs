//! Requests to a target over HTTP/1.1: a pool of kept connections.

use std::error::Error as StdError;

use http::uri::Authority;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioTimer;
use tokio_util::task::TaskTracker;

use super::dial::{Dial, Kept};
use super::{HttpTargetConfig, Outgoing, Owned, deepest, headers};
use crate::{Context, RequestBody, TargetError};

/// Most headers of a response, as many as the protocol carries.
const MAX_HEADERS: usize = messages::MAX_HEADERS;

/// The connections to one authority.
pub(super) struct Http1 {
    authority: Authority,
    client: Client<Dial, RequestBody>,
}

impl Http1 {
    pub(super) fn new(
        dial: Dial,
        authority: Authority,
        config: &HttpTargetConfig,
        tasks: &TaskTracker,
    ) -> Self {
        let client = Client::builder(Owned(tasks.clone()))
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.max_idle)
            // Without a timer an idle connection would only be looked at when the next request wants it.
            .pool_timer(TokioTimer::new())
            .http1_max_headers(MAX_HEADERS)
            // The Host is the public one; the library would write the authority that is dialled.
            .set_host(false)
            .build(dial);
        Self { authority, client }
    }

    /// One request and the head of its answer. What was lost with a kept connection is tried once more, if it may be.
    pub(super) async fn call(
        &self,
        mut head: Outgoing,
        body: RequestBody,
        context: Context,
    ) -> Result<Response<Incoming>, TargetError> {
        headers::prepare_http1(&mut head.headers, &body);
        let again = head.is_repeatable(&body, &context).then(|| head.clone());
        let failure = match self.send(self.request(head, body)?, &context).await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        match again {
            // A kept connection that the target closed in the same moment: nothing was asked of it yet.
            Some(head) if was_stale(&failure) && !context.has_answered() => {
                tracing::debug!(request = %context.request_id, "the target closed a kept connection; trying once more");
                let request = self.request(head, RequestBody::empty())?;
                let response = self.send(request, &context).await;
                response.map_err(|failure| explain(&failure))
            }
            _ => Err(explain(&failure)),
        }
    }

    fn request(
        &self,
        head: Outgoing,
        body: RequestBody,
    ) -> Result<Request<RequestBody>, TargetError> {
        head.request(self.authority.clone(), Version::HTTP_11, body)
    }

    async fn send(
        &self,
        mut request: Request<RequestBody>,
        context: &Context,
    ) -> Result<Response<Incoming>, Error> {
        let context = context.clone();
        hyper::ext::on_informational(&mut request, move |interim| {
            let mut headers = interim.headers().clone();
            headers::strip(&mut headers);
            context.interim(interim.status(), headers);
        });
        let response = self.client.request(request).await?;
        if let Some(kept) = response.extensions().get::<Kept>() {
            kept.mark();
        }
        Ok(response)
    }
}

/// Whether the request was lost with a connection that had served others before, and not for what it said.
fn was_stale(error: &Error) -> bool {
    let mut extensions = http::Extensions::new();
    if let Some(info) = error.connect_info() {
        info.get_extras(&mut extensions);
    }
    let reused = extensions.get::<Kept>().is_some_and(Kept::is_marked);
    reused && !protocol_error(error).is_some_and(hyper::Error::is_parse)
}

/// A sentence and a code for a failed call. The wire gets no addresses, only what happened.
fn explain(error: &Error) -> TargetError {
    let cause = deepest(error);
    if error.is_connect() {
        return TargetError::Unreachable(format!("cannot connect to the target: {cause}"));
    }
    match protocol_error(error) {
        Some(error) if error.is_parse() => {
            TargetError::BadResponse(format!("the target's answer is no HTTP: {cause}"))
        }
        _ => TargetError::Unreachable(format!(
            "the target closed the connection without an answer: {cause}"
        )),
    }
}

fn protocol_error(error: &Error) -> Option<&hyper::Error> {
    error.source()?.downcast_ref()
}
