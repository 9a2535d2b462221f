//! Whoever calls the public hostname.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// The longest any single step of a test may take; a test that hits it has found a hang.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A visitor of one hostname on one server. Each request opens a connection of its own.
#[derive(Debug, Clone)]
pub struct Visitor {
    server: SocketAddr,
    host: String,
}

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The `adit-error` code, when Adit itself answered.
    pub fn error(&self) -> Option<&str> {
        self.headers
            .get("adit-error")
            .map(|code| code.to_str().expect("adit-error is ASCII"))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

impl Visitor {
    /// A visitor who connects to `server` and asks for `host`.
    pub fn new(server: SocketAddr, host: impl Into<String>) -> Self {
        Self {
            server,
            host: host.into(),
        }
    }

    /// The same visitor asking for another host.
    #[must_use]
    pub fn asking_for(&self, host: impl Into<String>) -> Self {
        Self {
            server: self.server,
            host: host.into(),
        }
    }

    /// The host asked for.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// GET, to its end.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// POST with Content-Length, to its end.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Method::POST, path, body.into()).await
    }

    /// Any method, to its end.
    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Full::new(body))
            .expect("a valid request");
        self.request(request).await
    }

    /// GET with these fields, to its end.
    pub async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send_with(Method::GET, path, fields, "").await
    }

    /// Any method with these fields, to its end.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = fields.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let request = request.body(Full::new(body.into()));
        self.request(request.expect("a valid request")).await
    }

    /// Any request, to the end of its response. A Host is added when it has none.
    pub async fn request<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (response, _connection) = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = timeout(PATIENCE, body.collect())
            .await
            .expect("the body ends")
            .expect("the body is whole")
            .to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// The response as soon as its head is there. The connection lives as long as the second value.
    pub async fn open<B>(&self, mut request: Request<B>) -> (Response<Incoming>, JoinSet<()>)
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        request
            .headers_mut()
            .entry(HOST)
            .or_insert_with(|| self.host.parse().expect("a host is a header value"));
        let tcp = self.connect().await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp))
            .await
            .expect("a client connection starts");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // An error here shows up in the response or its body.
            drop(connection.await);
        });
        let response = timeout(PATIENCE, sender.send_request(request.map(Box::pin)))
            .await
            .expect("the response begins")
            .expect("a response");
        (response, tasks)
    }

    /// A connection to the server on which nothing has been said.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server)
            .await
            .expect("the server accepts")
    }

    /// A connection for raw bytes.
    pub async fn raw(&self) -> Raw {
        Raw {
            tcp: self.connect().await,
            host: self.host.clone(),
        }
    }
}

/// A connection on which a test says exactly what it wants.
#[derive(Debug)]
pub struct Raw {
    tcp: TcpStream,
    host: String,
}

impl Raw {
    /// Sends `text`; `{host}` in it stands for the hostname.
    pub async fn say(&mut self, text: &str) -> &mut Self {
        let text = text.replace("{host}", &self.host);
        self.tcp
            .write_all(text.as_bytes())
            .await
            .expect("the server reads");
        self
    }

    /// Sends bytes; false when the server has closed.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.tcp.write_all(bytes).await.is_ok()
    }

    /// Everything until the server closes, and whether it did so by a TCP reset.
    pub async fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut got = Vec::new();
        let end = timeout(PATIENCE, self.tcp.read_to_end(&mut got))
            .await
            .expect("the server closes");
        (got, end.is_err())
    }

    /// Bytes until they contain `what`.
    pub async fn until(&mut self, what: &str) -> Vec<u8> {
        let mut got = Vec::new();
        let reading = async {
            while !got
                .windows(what.len())
                .any(|window| window == what.as_bytes())
            {
                let byte = self.tcp.read_u8().await;
                got.push(byte.unwrap_or_else(|error| {
                    panic!(
                        "closed ({error}) before {what:?}; got {:?}",
                        String::from_utf8_lossy(&got)
                    )
                }));
            }
        };
        timeout(PATIENCE, reading)
            .await
            .unwrap_or_else(|_| panic!("no {what:?} in time"));
        got
    }

    /// Closes our direction.
    pub async fn half_close(&mut self) {
        self.tcp.shutdown().await.expect("the connection is open");
    }
}
