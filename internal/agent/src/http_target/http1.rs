//! Requests to a target over HTTP/1.1, on connections that are kept.

use std::future::ready;
use std::net::SocketAddr;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either};
use http::header::HOST;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::Builder;
use tokio_util::task::TaskTracker;

use super::dial::Dial;
use super::pool::{Connection, Pool};
use super::{HttpTargetConfig, accept, deepest, headers};
use crate::{Context, RequestBody, TargetBody, TargetError};

/// A request without an answer.
type Lost = Box<TrySendError<Request<RequestBody>>>;

/// Most headers of a response, as many as the protocol carries.
const MAX_HEADERS: usize = messages::MAX_HEADERS;
/// The most bytes that a connection reads ahead, and that it holds back in writing. Reads start at 8 KiB and grow as far
/// as they are filled: after a few responses of 100 KiB each takes one read. An idle connection holds what the last
/// response needed.
const MAX_BUFFER: usize = 256 * 1024;

/// The connections to one authority.
pub(super) struct Http1 {
    dial: Dial,
    /// What stands for the public Host.
    host: Option<HeaderValue>,
    pool: Pool,
    builder: Builder,
    tasks: TaskTracker,
}

impl Http1 {
    pub(super) fn new(
        dial: Dial,
        host: Option<HeaderValue>,
        config: &HttpTargetConfig,
        tasks: &TaskTracker,
    ) -> Self {
        Self {
            dial,
            host,
            pool: Pool::new(config.max_idle, config.idle_timeout, tasks),
            builder: builder(),
            tasks: tasks.clone(),
        }
    }

    /// One request, in origin form and with its Host, and the head of its answer. What was lost with a kept connection
    /// is tried once more on a fresh one, if it may be.
    ///
    /// On a kept connection the request is sent before the future is polled, which is a third as large for it. Dropping
    /// the future closes the connection.
    pub(super) fn call(
        &self,
        request: Request<RequestBody>,
        context: Context,
    ) -> BoxFuture<'_, Result<Response<TargetBody>, TargetError>> {
        let visitor = context.visitor.addr;
        let request = self.prepare(request, &context);
        let Some(kept) = self.pool.take(self.dial.owner(visitor)) else {
            return self.ask_anew(request, visitor).boxed();
        };
        // Combinators, because an async block would hold the library's future three times.
        self.ask(kept, visitor, request)
            .then(|answered| match answered {
                Ok(response) => Either::Left(ready(accept(response))),
                Err(lost) => Either::Right(self.ask_once_more(lost, context).boxed()),
            })
            .boxed()
    }

    async fn ask_once_more(
        &self,
        mut lost: Lost,
        context: Context,
    ) -> Result<Response<TargetBody>, TargetError> {
        let again = match lost.take_message() {
            // The connection was found closed before a byte was written.
            Some(unsent) => Some(unsent),
            None if lost.error().is_parse() => None,
            // The target closed it in the same moment: nothing was asked of it yet.
            None => context.again().map(|again| self.prepare(again, &context)),
        };
        let again = again.ok_or_else(|| explain(lost.error()))?;
        tracing::debug!(request = %context.request_id, "the target closed a kept connection; trying once more");
        self.ask_anew(again, context.visitor.addr).await
    }

    async fn ask_anew(
        &self,
        request: Request<RequestBody>,
        visitor: SocketAddr,
    ) -> Result<Response<TargetBody>, TargetError> {
        let fresh = self.connect(visitor).await?;
        match self.ask(fresh, visitor, request).await {
            Ok(response) => accept(response),
            Err(lost) => Err(explain(lost.error())),
        }
    }

    fn ask(
        &self,
        mut connection: Connection,
        visitor: SocketAddr,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<TargetBody>, Lost>> + Send + use<'_> {
        let owner = self.dial.owner(visitor);
        connection.try_send_request(request).map(move |answered| {
            let response = answered.map_err(Box::new)?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                // What it speaks now is nobody's.
                return Ok(response.map(Into::into));
            }
            Ok(self.pool.lend(connection, owner, response).map(Into::into))
        })
    }

    async fn connect(&self, visitor: SocketAddr) -> Result<Connection, TargetError> {
        let io = self.dial.connect(visitor).await?;
        let shaken = self.builder.handshake(io).await;
        let (connection, driver) = shaken.map_err(|error| explain(&error))?;
        self.tasks.spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to the target ended");
            }
        });
        Ok(connection)
    }

    /// Makes a visitor's request one of this hop, whose interim heads are handed on as they come.
    fn prepare(
        &self,
        mut request: Request<RequestBody>,
        context: &Context,
    ) -> Request<RequestBody> {
        *request.version_mut() = Version::HTTP_11;
        headers::prepare_http1(&mut request);
        if let Some(host) = &self.host {
            request.headers_mut().insert(HOST, host.clone());
        }
        let context = context.clone();
        hyper::ext::on_informational(&mut request, move |interim| {
            let mut headers = interim.headers().clone();
            headers::strip(&mut headers);
            context.interim(interim.status(), headers);
        });
        request
    }
}

/// How a connection is made.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER)
        // A head and the body's first bytes leave in one write, none of them copied.
        .writev(true);
    builder
}

/// A sentence and a code for a failed call. The wire gets no addresses, only what happened.
fn explain(error: &hyper::Error) -> TargetError {
    let cause = deepest(error);
    if error.is_parse() {
        return TargetError::BadResponse(format!("the target's answer is no HTTP: {cause}"));
    }
    TargetError::Unreachable(format!(
        "the target closed the connection without an answer: {cause}"
    ))
}

#[cfg(test)]
mod tests;
