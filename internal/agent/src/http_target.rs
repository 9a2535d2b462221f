//! The target that most people publish: one local HTTP/1.1 service.
//!
//! A pool of kept connections to one authority. Where it dials is decided when it is made; nothing in a request can
//! change that: method, path, query and headers of a request are copied into it part by part, never resolved.

mod dial;
mod headers;
mod upgrade;
mod url;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioTimer;
use messages::RequestHead;
use tokio_util::task::TaskTracker;

use crate::{Context, RequestBody, SocketAnswer, Target, TargetBody, TargetError};
use dial::{Dial, Kept};

pub use url::{TargetUrl, TargetUrlError};

/// Most headers of a response, as many as the protocol carries.
const MAX_HEADERS: usize = messages::MAX_HEADERS;

/// How a local service is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTargetConfig {
    /// The longest wait for a TCP connection, over all addresses of the host. Default 5 s.
    pub connect_timeout: Duration,
    /// How long an idle connection is kept. Default 4 s: below the 5 s after which Node closes one, in the very moment
    /// in which a request may be on its way.
    pub idle_timeout: Duration,
    /// Most idle connections that are kept. Default 128.
    pub max_idle: usize,
}

impl Default for HttpTargetConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(4),
            max_idle: 128,
        }
    }
}

/// One local HTTP/1.1 service.
pub struct HttpTarget {
    authority: Authority,
    client: Client<Dial, RequestBody>,
    dial: Dial,
}

impl HttpTarget {
    /// A target at `url`. Nothing is dialled before the first request. Connections are tasks on `tasks`; they end when
    /// the target is dropped.
    #[must_use]
    pub fn new(url: &TargetUrl, config: &HttpTargetConfig, tasks: &TaskTracker) -> Self {
        let authority = url.authority().clone();
        let dial = Dial::new(authority.clone(), config.connect_timeout);
        let client = Client::builder(Owned(tasks.clone()))
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.max_idle)
            // Without a timer an idle connection would only be looked at when the next request wants it.
            .pool_timer(TokioTimer::new())
            .http1_max_headers(MAX_HEADERS)
            // The Host is the public one; the library would write the authority that is dialled.
            .set_host(false)
            .build(dial.clone());
        Self {
            authority,
            client,
            dial,
        }
    }

    async fn call(
        &self,
        request: Request<RequestBody>,
        context: Context,
    ) -> Result<Response<TargetBody>, TargetError> {
        let (head, body) = self.outgoing(request)?;
        let again = is_repeatable(&head, &body, &context).then(|| head.clone());
        let failure = match self.send(head, body, &context).await {
            Ok(response) => return accept(response),
            Err(failure) => failure,
        };
        match again {
            // A kept connection that the target closed in the same moment: nothing was asked of it yet.
            Some(head) if was_stale(&failure) && !context.has_answered() => {
                tracing::debug!(request = %context.request_id, "the target closed a kept connection; trying once more");
                let response = self.send(head, RequestBody::empty(), &context).await;
                accept(response.map_err(|failure| explain(&failure))?)
            }
            _ => Err(explain(&failure)),
        }
    }

    /// The request as the target gets it, without its body.
    fn outgoing(
        &self,
        request: Request<RequestBody>,
    ) -> Result<(Outgoing, RequestBody), TargetError> {
        let (mut parts, body) = request.into_parts();
        headers::prepare_request(&mut parts.headers, &body);
        let path = parts.uri.into_parts().path_and_query;
        let head = Outgoing {
            method: parts.method,
            uri: self.uri(path.unwrap_or_else(|| PathAndQuery::from_static("/")))?,
            headers: parts.headers,
        };
        Ok((head, body))
    }

    /// Our authority and the visitor's path, put together as parts: `//host/x` is a path here, not a host.
    fn uri(&self, path: PathAndQuery) -> Result<Uri, TargetError> {
        let mut parts = Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        // With all three parts there is nothing to refuse; a later version of the library may differ.
        Uri::from_parts(parts)
            .map_err(|error| TargetError::BadResponse(format!("the path cannot be sent: {error}")))
    }

    async fn send(
        &self,
        head: Outgoing,
        body: RequestBody,
        context: &Context,
    ) -> Result<Response<Incoming>, Error> {
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.headers_mut() = head.headers;
        *request.version_mut() = Version::HTTP_11;
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

impl Target for HttpTarget {
    fn http(
        &self,
        request: Request<RequestBody>,
        context: Context,
    ) -> BoxFuture<'_, Result<Response<TargetBody>, TargetError>> {
        self.call(request, context).boxed()
    }

    fn socket(
        &self,
        head: RequestHead,
        context: Context,
    ) -> BoxFuture<'_, Result<SocketAnswer, TargetError>> {
        // The upgrade has a connection of its own; nothing of it goes to the visitor before its answer.
        drop(context);
        upgrade::open(self.dial.clone(), head).boxed()
    }
}

impl fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTarget")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

/// A request's head, in a form that can be kept for a second try.
#[derive(Clone)]
struct Outgoing {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// Only what can be sent twice without harm: no body, an idempotent method (RFC 9110 section 9.2.2), and no one before
/// us on the way who already repeated it.
fn is_repeatable(head: &Outgoing, body: &RequestBody, context: &Context) -> bool {
    body.is_empty() && head.method.is_idempotent() && context.attempt == 0
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

/// Checks and cleans what the target answered.
fn accept(response: Response<Incoming>) -> Result<Response<TargetBody>, TargetError> {
    let (mut parts, body) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let why = "the target switched protocols without being asked".to_owned();
        return Err(TargetError::BadResponse(why));
    }
    headers::clean_response(&mut parts.headers, body.size_hint().exact())?;
    // What the library notes for itself, such as our pool's mark, is nobody's business.
    parts.extensions.clear();
    Ok(Response::from_parts(parts, body.into()))
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

fn deepest(error: &Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Runs the library's connection tasks where their owner can wait for them.
#[derive(Clone)]
struct Owned(TaskTracker);

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

#[cfg(test)]
mod tests;
