//! Routes, and what all of them have in common: the directory, the key, the limits of a visitor, CORS, the access log.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue,
};
use http::{Method, Request, Response, StatusCode, Uri};
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::body::{Body, empty, full};
use crate::config::Config;
use crate::error::BareError;
use crate::limits::{Limits, too_many};
use crate::meta::Store;
use crate::remote::Remotes;
use crate::{manifest, v1, v2, v3};

/// A byte stream both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// What serves an accepted WebSocket. It ends when either side has left.
pub type Run = Box<dyn FnOnce(Pin<Box<dyn Stream>>) -> BoxFuture<'static, ()> + Send>;

/// The answer to a WebSocket upgrade.
pub enum Upgrade {
    /// It is accepted.
    Accepted {
        /// 101, the subprotocol, and extensions that the remote and the client agreed on. `Upgrade`, `Connection` and
        /// `Sec-WebSocket-Accept` are the caller's to add.
        head: Response<()>,
        /// What to do with the connection after the handshake: frames as RFC 6455 has them.
        run: Run,
    },
    /// It is not.
    Refused(Response<Body>),
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted { .. } => "Accepted",
            Self::Refused(_) => "Refused",
        })
    }
}

/// A Bare server. Clones are the same one.
#[derive(Clone)]
pub struct Bare(Arc<Shared>);

/// What requests share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) remotes: Remotes,
    pub(crate) store: Store,
    limits: Limits,
}

/// One request of a client, as far as every version handles it alike.
pub(crate) struct Visit {
    pub(crate) bare: Arc<Shared>,
    pub(crate) visitor: IpAddr,
    /// The access log's line.
    pub(crate) access: Access,
    begun: Instant,
}

/// What is asked for, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Manifest,
    Request(u8),
    NewMeta(u8),
    Meta(u8),
}

impl Route {
    /// The route of a path under the directory, and under the key.
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "" => Self::Manifest,
            "v1/" => Self::Request(1),
            "v2/" => Self::Request(2),
            "v3/" => Self::Request(3),
            "v1/ws-new-meta" => Self::NewMeta(1),
            "v2/ws-new-meta" => Self::NewMeta(2),
            "v1/ws-meta" => Self::Meta(1),
            "v2/ws-meta" => Self::Meta(2),
            _ => return None,
        })
    }
}

impl Bare {
    /// A server with these settings. Connections to remotes are tasks on `tasks`; each ends with what it is for.
    #[must_use]
    pub fn new(config: Config, tasks: &TaskTracker) -> Self {
        Self(Arc::new(Shared {
            remotes: Remotes::new(&config, tasks),
            limits: Limits::new(config.visitor),
            store: Store::default(),
            config,
        }))
    }

    /// Answers one request of `visitor`. Dropping the future, or later the response's body, ends the request at the remote.
    pub async fn http(&self, request: Request<Body>, visitor: IpAddr) -> Response<Body> {
        let Some(path) = self.0.path_of(request.uri()) else {
            return outside();
        };
        let mut response = if request.method() == Method::OPTIONS {
            // Browsers ask before each request of a page; it costs nothing.
            Response::new(empty())
        } else if let Err(excess) = self.0.limits.count(visitor) {
            excess.response()
        } else {
            let route = self.0.past_key(path).and_then(Route::of);
            let answered = match route {
                Some(route) => self.answer(route, request, visitor).await,
                None => Err(BareError::not_found()),
            };
            answered.unwrap_or_else(|error| error.response())
        };
        allow_every_origin(response.headers_mut());
        response
    }

    async fn answer(
        &self,
        route: Route,
        request: Request<Body>,
        visitor: IpAddr,
    ) -> Result<Response<Body>, BareError> {
        let store = &self.0.store;
        let headers = request.headers();
        match route {
            Route::Manifest => Ok(manifest::response(&self.0.config)),
            Route::NewMeta(1) => v1::new_meta(store),
            Route::NewMeta(_) => v2::new_meta(&self.0, headers, request.uri()),
            Route::Meta(1) => v1::meta(store, headers),
            Route::Meta(_) => v2::meta(store, headers),
            Route::Request(version) => {
                let mut visit = Visit::new(&self.0, visitor, version, request.method(), false);
                let answered = match version {
                    1 => v1::http(&mut visit, request).await,
                    2 => v2::http(&mut visit, request).await,
                    _ => v3::http(&mut visit, request).await,
                };
                visit.log(answered.as_ref().map(|(status, _)| *status));
                answered.map(|(_, response)| response)
            }
        }
    }

    /// Answers one WebSocket upgrade of `visitor`, whose handshake is the caller's matter. Where the caller takes
    /// `Sec-WebSocket-Extensions` away, none are negotiated.
    pub async fn socket(&self, request: Request<()>, visitor: IpAddr) -> Upgrade {
        let Some(path) = self.0.path_of(request.uri()) else {
            return Upgrade::Refused(outside());
        };
        let mut refusal = match self.open(path, request.headers(), visitor).await {
            Ok(upgrade) => return upgrade,
            Err(refusal) => *refusal,
        };
        allow_every_origin(refusal.headers_mut());
        Upgrade::Refused(refusal)
    }

    async fn open(
        &self,
        path: &str,
        headers: &HeaderMap,
        visitor: IpAddr,
    ) -> Result<Upgrade, Box<Response<Body>>> {
        let refuse = |error: BareError| Box::new(error.response());
        self.0
            .limits
            .count(visitor)
            .map_err(|excess| Box::new(excess.response()))?;
        let Some(Route::Request(version)) = self.0.past_key(path).and_then(Route::of) else {
            return Err(refuse(BareError::not_found()));
        };
        let place = self.0.limits.socket(visitor);
        let place = place.ok_or_else(|| refuse(too_many()))?;
        let mut visit = Visit::new(&self.0, visitor, version, &Method::GET, true);
        if version == 3 {
            return Ok(v3::socket(visit, headers.clone(), place));
        }
        let opened = match version {
            1 => v1::socket(&mut visit, headers, place).await,
            _ => v2::socket(&mut visit, headers, place).await,
        };
        visit.log(opened.as_ref().map(|_| 101));
        opened.map_err(refuse)
    }
}

impl fmt::Debug for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bare")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The path under the directory.
    fn path_of<'a>(&self, uri: &'a Uri) -> Option<&'a str> {
        uri.path().strip_prefix(&*self.config.directory)
    }

    /// The path under the key, where one is asked for. Without the right key there is nothing to be seen.
    fn past_key<'a>(&self, path: &'a str) -> Option<&'a str> {
        let Some(key) = &self.config.key else {
            return Some(path);
        };
        let (given, path) = path.split_once('/')?;
        let right: bool = given.as_bytes().ct_eq(key.as_bytes()).into();
        right.then_some(path)
    }
}

impl Visit {
    fn new(
        bare: &Arc<Shared>,
        visitor: IpAddr,
        version: u8,
        method: &Method,
        socket: bool,
    ) -> Self {
        Self {
            bare: bare.clone(),
            visitor,
            access: Access {
                visitor,
                version,
                method: method.clone(),
                socket,
                remote: None,
                outcome: Ok(0),
                elapsed: std::time::Duration::ZERO,
            },
            begun: Instant::now(),
        }
    }

    /// Tells the access log.
    pub(crate) fn log(&mut self, outcome: Result<u16, &BareError>) {
        if let Some(log) = &self.bare.config.log {
            self.access.outcome = outcome.map_err(|error| error.code.as_str());
            self.access.elapsed = self.begun.elapsed();
            log(&self.access);
        }
    }
}

/// What is not under the directory is not ours to explain.
fn outside() -> Response<Body> {
    let mut response = Response::new(full("Not found."));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// Lets pages of every origin read the response, and keeps search engines away.
fn allow_every_origin(headers: &mut HeaderMap) {
    const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
    let any = HeaderValue::from_static("*");
    for name in [
        ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_EXPOSE_HEADERS,
    ] {
        headers.insert(name, any.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
}
