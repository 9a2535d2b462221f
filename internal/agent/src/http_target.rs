//! The target that most people publish: one local HTTP service.
//!
//! Kept connections to one authority, over HTTP/1.1 or HTTP/2. Where it dials is decided when it is made; nothing in a
//! request can change that: method, path, query and headers of a request are copied into it part by part, never
//! resolved.

mod dial;
mod h2c;
mod headers;
mod host;
mod http1;
mod pool;
mod protocol;
mod proxy;
mod upgrade;
mod url;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use messages::RequestHead;
use tokio_util::task::TaskTracker;

use crate::{Context, RequestBody, SocketAnswer, Target, TargetBody, TargetError};
use dial::Dial;
use h2c::H2c;
use http1::Http1;

pub use host::{HostHeader, HostHeaderError};
pub(crate) use pool::LeasedBody;
pub use protocol::{TargetProtocol, TargetProtocolError};
pub use proxy::{ProxyProtocol, ProxyProtocolError};
pub use url::{TargetUrl, TargetUrlError};

/// How a local service is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTargetConfig {
    /// What the service speaks. Default HTTP/1.1.
    pub protocol: TargetProtocol,
    /// The Host that the service is told. Default the public one.
    pub host: HostHeader,
    /// Whether and how connections begin with the visitor's address. Default not.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The longest wait for a TCP connection, over all addresses of the host. Default 5 s.
    pub connect_timeout: Duration,
    /// How long an idle HTTP/1.1 connection is kept. Default 4 s: below the 5 s after which Node closes one, in the very moment
    /// in which a request may be on its way.
    pub idle_timeout: Duration,
    /// Most idle HTTP/1.1 connections that are kept. Default 128.
    pub max_idle: usize,
}

impl Default for HttpTargetConfig {
    fn default() -> Self {
        Self {
            protocol: TargetProtocol::default(),
            host: HostHeader::default(),
            proxy_protocol: None,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(4),
            max_idle: 128,
        }
    }
}

/// One local HTTP service.
pub struct HttpTarget {
    url: TargetUrl,
    /// What stands for the public Host.
    host: Option<HeaderValue>,
    wire: Wire,
    dial: Dial,
}

/// How requests reach it.
enum Wire {
    Http1(Http1),
    H2c(H2c),
}

impl HttpTarget {
    /// A target at `url`. Nothing is dialled before the first request. Connections are tasks on `tasks`; they end when
    /// the target is dropped.
    #[must_use]
    pub fn new(url: &TargetUrl, config: &HttpTargetConfig, tasks: &TaskTracker) -> Self {
        let dial = Dial::new(url, config.connect_timeout, config.proxy_protocol);
        let host = config.host.value(url);
        let wire = match config.protocol {
            TargetProtocol::Http1 => {
                Wire::Http1(Http1::new(dial.clone(), host.clone(), config, tasks))
            }
            TargetProtocol::H2c => Wire::H2c(H2c::new(dial.clone(), host.clone(), tasks)),
        };
        Self {
            url: url.clone(),
            host,
            wire,
            dial,
        }
    }
}

impl Target for HttpTarget {
    fn http(
        &self,
        mut request: Request<RequestBody>,
        context: Context,
    ) -> BoxFuture<'_, Result<Response<TargetBody>, TargetError>> {
        make_origin_form(request.uri_mut());
        match &self.wire {
            Wire::Http1(http1) => http1.call(request, context),
            Wire::H2c(h2c) => async move { accept(h2c.call(request, &context).await?) }.boxed(),
        }
    }

    fn socket(
        &self,
        head: RequestHead,
        context: Context,
    ) -> BoxFuture<'_, Result<SocketAnswer, TargetError>> {
        // The upgrade has a connection of its own; nothing of it goes to the visitor before its answer.
        drop(context);
        upgrade::open(self.dial.clone(), self.host.clone(), head).boxed()
    }
}

impl fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTarget")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A path is all that a request may say about where it goes: `//host/x` is a path here, not a host.
fn make_origin_form(uri: &mut Uri) {
    if uri.authority().is_some() {
        let path = std::mem::take(uri).into_parts().path_and_query;
        *uri = path.map_or_else(Uri::default, Uri::from);
    }
}

/// Checks and cleans what the target answered.
fn accept(response: Response<TargetBody>) -> Result<Response<TargetBody>, TargetError> {
    let (mut parts, body) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let why = "the target switched protocols without being asked".to_owned();
        return Err(TargetError::BadResponse(why));
    }
    headers::clean_response(&mut parts.headers, body.size_hint().exact())?;
    // What the library notes for itself is nobody's business.
    parts.extensions.clear();
    Ok(Response::from_parts(parts, body))
}

/// The first cause of an error: what the system or the library said.
fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
