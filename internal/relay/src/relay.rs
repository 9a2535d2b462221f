//! The relay as its caller sees it: a visitor's handshake comes in, a visit goes out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::dial::{Dialer, passed_on};
use crate::intake::Intake;
use crate::own::Own;
use crate::shared::{self, Shared};
use crate::socket::{self, Io, Socket};
use crate::speaker::Speaker;

/// Relays WebSockets to one upstream.
#[derive(Debug)]
pub struct Relay {
    inner: Arc<Inner>,
    visitors: Arc<Semaphore>,
    count: AtomicU64,
    shared: Option<Shared>,
}

/// What every visit needs.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) dialer: Dialer,
    pub(crate) closing: CancellationToken,
}

/// What a visitor's handshake is answered with, and the visit that begins then.
#[derive(Debug)]
pub struct Opened {
    /// `Sec-WebSocket-Protocol` of the answer, where the upstream chose one.
    pub protocol: Option<HeaderValue>,
    /// What follows the answer.
    pub visit: Visit,
}

/// Why a visitor's handshake is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// 502 or 503.
    pub status: StatusCode,
    /// For the visitor.
    pub why: &'static str,
}

/// One visitor's WebSocket, once its handshake is answered.
pub struct Visit {
    relay: Arc<Inner>,
    number: u64,
    fields: HeaderMap,
    link: Option<Socket>,
    shared: Option<Shared>,
    /// One of so many visitors.
    _counted: OwnedSemaphorePermit,
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay. Where visitors share a connection, its task is on `tasks` and ends with the relay and its visits.
    #[must_use]
    pub fn new(config: Config, tasks: &TaskTracker) -> Self {
        let visitors = Arc::new(Semaphore::new(config.visitors));
        let inner = Arc::new(Inner {
            dialer: Dialer::new(&config),
            config,
            closing: CancellationToken::new(),
        });
        let field = inner.config.shared.clone();
        let shared = field.map(|field| shared::start(&inner, field, tasks));
        Self {
            inner,
            visitors,
            count: AtomicU64::new(0),
            shared,
        }
    }

    /// Begins a visit, by the header fields of its handshake.
    ///
    /// Where the visitor offers subprotocols, the upstream is dialled first, because it is the one to choose; else the
    /// answer waits for nothing. Cancel safe.
    ///
    /// # Errors
    /// There are too many visitors (503), or the upstream that is to choose cannot be reached (502).
    pub async fn open(&self, headers: &HeaderMap) -> Result<Opened, Refused> {
        let counted = self.visitors.clone().try_acquire_owned();
        let counted = counted.map_err(|_| Refused {
            status: StatusCode::SERVICE_UNAVAILABLE,
            why: "there are too many visitors; try again later",
        })?;
        let fields = passed_on(headers);
        let chooses = self.shared.is_none() && fields.contains_key(SEC_WEBSOCKET_PROTOCOL);
        let dialled = if chooses {
            Some(self.dial(&fields).await?)
        } else {
            None
        };
        let (link, protocol) = dialled.unzip();
        Ok(Opened {
            protocol: protocol.flatten(),
            visit: Visit {
                relay: self.inner.clone(),
                number: self.count.fetch_add(1, Ordering::Relaxed),
                fields,
                link,
                shared: self.shared.clone(),
                _counted: counted,
            },
        })
    }

    async fn dial(&self, fields: &HeaderMap) -> Result<(Socket, Option<HeaderValue>), Refused> {
        self.inner.dialer.dial(fields).await.map_err(|error| {
            tracing::debug!(upstream = %self.inner.config.upstream, %error, "the upstream cannot be reached");
            Refused {
                status: StatusCode::BAD_GATEWAY,
                why: "the upstream cannot be reached, or chose no subprotocol",
            }
        })
    }

    /// Ends all visits: visitors and upstream are told that the relay is going down (1001).
    pub fn close(&self) {
        self.inner.closing.cancel();
    }
}

impl Visit {
    /// Serves the visitor on the byte stream behind the handshake, until either side ends. Dropping the future cuts
    /// both.
    pub async fn run<IO>(self, io: IO)
    where
        IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let config = &self.relay.config;
        let io: Box<dyn Io> = Box::new(io);
        let (out, from) = socket::server(io, &config.limits).await.split();
        let to = Speaker::new(out, config);
        let intake = Intake::new(config, self.number);
        match self.shared {
            Some(shared) => shared::visit(&self.relay, shared, from, to, intake).await,
            None => {
                let own = Own::new(self.relay, self.fields, from, to, intake);
                own.run(self.link).await;
            }
        }
    }
}
