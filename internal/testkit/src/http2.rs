//! Visitors who speak HTTP/2 from the first byte.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{task::JoinSet, time::timeout};

use crate::visitor::{Answer, PATIENCE, Visitor};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One HTTP/2 connection of a visitor. It closes when dropped.
#[derive(Debug)]
pub struct Http2 {
    sender: SendRequest<UnsyncBoxBody<Bytes, BoxError>>,
    host: String,
    driver: JoinSet<hyper::Result<()>>,
}

impl Visitor {
    /// The same visitor on an HTTP/2 connection of his own, by prior knowledge (RFC 9113, 3.3).
    pub async fn http2(&self) -> Http2 {
        let tcp = self.connect().await;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .handshake(TokioIo::new(tcp))
            .await
            .expect("an HTTP/2 connection starts");
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Http2 {
            sender,
            host: self.host().to_owned(),
            driver,
        }
    }
}

impl Http2 {
    /// A request for that path of the visitor's host.
    pub fn asking(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.host))
    }

    /// GET, to its end.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Any method, to its end.
    pub async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = self.asking(method, path).body(Full::new(body.into()));
        self.request(request.expect("a valid request")).await
    }

    /// Any request, to the end of its response.
    pub async fn request<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = self.open(request).await.into_parts();
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

    /// The response as soon as its head is there.
    pub async fn open<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.try_open(request).await.expect("a response")
    }

    /// The response, or why there is none. Dropped before that, it resets the stream.
    pub async fn try_open<B>(&self, request: Request<B>) -> hyper::Result<Response<Incoming>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let mut sender = self.sender.clone();
        timeout(PATIENCE, sender.send_request(request))
            .await
            .expect("the response begins")
    }

    /// Waits until the server has closed the connection.
    pub async fn closed(mut self) -> hyper::Result<()> {
        timeout(PATIENCE, self.driver.join_next())
            .await
            .expect("the server closes")
            .expect("the connection is driven once")
            .expect("the driver does not panic")
    }
}
