//! Requests to a target over HTTP/1.1, on connections that are kept.

use http::{Request, Response, StatusCode, Version};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::Builder;
use tokio_util::task::TaskTracker;

use super::dial::Dial;
use super::pool::{Connection, Pool};
use super::{HttpTargetConfig, copy, deepest, headers, is_repeatable};
use crate::{Context, RequestBody, TargetBody, TargetError};

/// Most headers of a response, as many as the protocol carries.
const MAX_HEADERS: usize = messages::MAX_HEADERS;
/// The most bytes that a connection reads ahead, and that it holds back in writing. Reads start at 8 KiB and grow as far
/// as they are filled: after a few responses of 100 KiB each takes one read. An idle connection holds what the last
/// response needed.
const MAX_BUFFER: usize = 256 * 1024;

/// The connections to one authority.
pub(super) struct Http1 {
    dial: Dial,
    pool: Pool,
    builder: Builder,
    tasks: TaskTracker,
}

impl Http1 {
    pub(super) fn new(dial: Dial, config: &HttpTargetConfig, tasks: &TaskTracker) -> Self {
        Self {
            dial,
            pool: Pool::new(config.max_idle, config.idle_timeout, tasks),
            builder: builder(),
            tasks: tasks.clone(),
        }
    }

    /// One request, in origin form and with its Host, and the head of its answer. What was lost with a kept connection
    /// is tried once more on a fresh one, if it may be.
    ///
    /// Dropping the future closes the connection.
    pub(super) async fn call(
        &self,
        mut request: Request<RequestBody>,
        context: &Context,
    ) -> Result<Response<TargetBody>, TargetError> {
        *request.version_mut() = Version::HTTP_11;
        headers::prepare_http1(&mut request);
        pass_interim(&mut request, context);
        if let Some(kept) = self.pool.take() {
            let again = is_repeatable(&request, context).then(|| copy(&request));
            let mut lost = match self.ask(kept, request).await {
                Ok(response) => return Ok(response),
                Err(lost) => lost,
            };
            request = match (lost.take_message(), again) {
                // The connection was found closed before a byte was written.
                (Some(unsent), _) => unsent,
                // The target closed it in the same moment: nothing was asked of it yet.
                (None, Some(mut again)) if !lost.error().is_parse() && !context.has_answered() => {
                    pass_interim(&mut again, context);
                    again
                }
                _ => return Err(explain(lost.error())),
            };
            tracing::debug!(request = %context.request_id, "the target closed a kept connection; trying once more");
        }
        let fresh = self.connect().await?;
        let answered = self.ask(fresh, request).await;
        answered.map_err(|lost| explain(lost.error()))
    }

    async fn ask(
        &self,
        mut connection: Connection,
        request: Request<RequestBody>,
    ) -> Result<Response<TargetBody>, TrySendError<Request<RequestBody>>> {
        let response = connection.try_send_request(request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // What it speaks now is nobody's.
            return Ok(response.map(Into::into));
        }
        Ok(self.pool.lend(connection, response).map(Into::into))
    }

    async fn connect(&self) -> Result<Connection, TargetError> {
        let io = self.dial.connect().await?;
        let shaken = self.builder.handshake(io).await;
        let (connection, driver) = shaken.map_err(|error| explain(&error))?;
        self.tasks.spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to the target ended");
            }
        });
        Ok(connection)
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

/// Hands the target's interim heads on as they come.
fn pass_interim(request: &mut Request<RequestBody>, context: &Context) {
    let context = context.clone();
    hyper::ext::on_informational(request, move |interim| {
        let mut headers = interim.headers().clone();
        headers::strip(&mut headers);
        context.interim(interim.status(), headers);
    });
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
