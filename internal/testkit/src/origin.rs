//! Local services for tests.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A response of an origin.
pub type OriginBody = UnsyncBoxBody<Bytes, std::io::Error>;
type Handler =
    Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<OriginBody>> + Send + Sync>;

/// A local service. It stops, connections and all, when dropped.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Origin {
    /// A hyper service that answers with `handler`.
    pub async fn serving<F, Fut>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<OriginBody>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        Self::accepting(move |tcp| {
            let handler = handler.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = handler(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                // A visitor who leaves is an error here, and often the point of the test.
                drop(
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(tcp), service)
                        .await,
                );
            }
        })
        .await
    }

    /// The same over HTTP/2 with prior knowledge.
    pub async fn serving_h2c<F, Fut>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<OriginBody>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        Self::accepting(move |tcp| {
            let handler = handler.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = handler(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                drop(
                    http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(tcp), service)
                        .await,
                );
            }
        })
        .await
    }

    /// Answers every request with what it received: method, target and headers as text lines, an empty line, the body.
    pub async fn echo() -> Self {
        Self::echo_into(Log::default()).await
    }

    /// The same, with the lines of each request written to `log`.
    pub async fn echo_into(log: Log) -> Self {
        Self::serving(move |request| {
            let log = log.clone();
            async move {
                let mut text = written(&request);
                log.write(text.clone());
                text.push('\n');
                match request.into_body().collect().await {
                    Ok(body) => {
                        let mut bytes = text.into_bytes();
                        bytes.extend_from_slice(&body.to_bytes());
                        Response::new(full(bytes))
                    }
                    Err(error) => {
                        let mut response = Response::new(full(error.to_string()));
                        *response.status_mut() = http::StatusCode::BAD_REQUEST;
                        response
                    }
                }
            }
        })
        .await
    }

    /// Reads each request head and answers with exactly these bytes, then closes.
    pub async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::accepting(move |mut tcp| {
            let answer = answer.clone();
            async move {
                read_head(&mut tcp).await;
                // The other side may close first.
                drop(tcp.write_all(&answer).await);
                drop(tcp.shutdown().await);
            }
        })
        .await
    }

    /// Accepts, and does what it is told with each connection.
    pub async fn accepting<F, Fut>(handler: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Self::accepting_on(listener.expect("loopback has a free port"), handler)
    }

    /// The same on a listener that there is, such as one of a [`Port`](crate::port::Port) that outlives the service.
    pub fn accepting_on<F, Fut>(listener: TcpListener, handler: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let open = connections.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connected = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let guard = Connected::new(&open);
                let serving = handler(tcp);
                connected.spawn(async move {
                    serving.await;
                    drop(guard);
                });
                while connected.try_join_next().is_some() {}
            }
        });
        Self {
            addr,
            connections,
            _tasks: tasks,
        }
    }

    /// The port, as a user gives it to `adit http`.
    pub fn port(&self) -> String {
        self.addr.port().to_string()
    }

    /// Connections open right now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

struct Connected(Arc<AtomicUsize>);

impl Connected {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The requests that a service has seen, in order: what never reached it is not there.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// One more.
    pub fn write(&self, request: impl Into<String>) {
        self.0
            .lock()
            .expect("no writer panics")
            .push(request.into());
    }

    /// All so far.
    pub fn requests(&self) -> Vec<String> {
        self.0.lock().expect("no writer panics").clone()
    }
}

/// Method, target and headers of a request as text lines.
pub fn written<B>(request: &Request<B>) -> String {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", value.as_bytes().escape_ascii()));
    }
    text
}

/// These bytes as a body.
pub fn full(bytes: impl Into<Bytes>) -> OriginBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Reads up to the empty line; what was read.
pub async fn read_head(tcp: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match tcp.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    head
}
