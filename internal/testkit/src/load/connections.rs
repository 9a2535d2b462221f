//! One request of a load, on a connection that was kept or on a new one.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

/// The body of each POST.
const BODY: &[u8] = &[b'p'; 1000];

/// What kind of request a load sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visit {
    /// On a connection that was kept, if there is one, and kept again.
    kept: bool,
    post: bool,
}

impl Visit {
    /// Every other one is kept, and every fourth a POST, of either half of them.
    pub(super) fn number(number: u64) -> Self {
        Self {
            kept: number.is_multiple_of(2),
            post: matches!(number % 8, 3 | 6),
        }
    }
}

impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.post { "POST" } else { "GET" };
        let connection = if self.kept { "kept" } else { "new" };
        write!(f, "{method} on a {connection} connection")
    }
}

/// The connections kept between requests, and where new ones lead.
#[derive(Debug)]
pub(super) struct Connections {
    addr: SocketAddr,
    host: String,
    path: String,
    idle: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _task: JoinSet<()>,
}

impl Connections {
    pub(super) fn new(addr: SocketAddr, host: &str, path: &str) -> Self {
        Self {
            addr,
            host: host.to_owned(),
            path: path.to_owned(),
            idle: Mutex::default(),
        }
    }

    /// Sends one and reads its answer to the end. True when the request had to be sent on a second connection.
    ///
    /// # Errors
    /// Anything but a whole 200, as a few words.
    pub(super) async fn send(&self, visit: Visit) -> Result<bool, String> {
        let mut request = self.request(visit);
        let mut again = false;
        while let Some(mut connection) = visit.kept.then(|| self.take()).flatten() {
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    self.finish(visit, connection, response).await?;
                    return Ok(again);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(format!("no answer: {}", said(error.error()))),
                },
            }
            again = true;
        }
        let mut connection = self.open().await?;
        let response = connection.sender.send_request(request).await;
        let response = response.map_err(|error| format!("no answer: {}", said(&error)))?;
        self.finish(visit, connection, response).await?;
        Ok(again)
    }

    fn request(&self, visit: Visit) -> Request<Full<Bytes>> {
        let (method, body) = match visit.post {
            true => (Method::POST, BODY),
            false => (Method::GET, &[][..]),
        };
        Request::builder()
            .method(method)
            .uri(&self.path)
            .header(HOST, &self.host)
            .body(Full::new(Bytes::from_static(body)))
            .expect("a valid request")
    }

    async fn open(&self) -> Result<Connection, String> {
        let tcp = TcpStream::connect(self.addr).await;
        let tcp = tcp.map_err(|error| format!("no connection: {error}"))?;
        let (sender, driver) = http1::handshake(TokioIo::new(tcp))
            .await
            .map_err(|error| said(&error))?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // An error here is the request's too, which tells it.
            drop(driver.await);
        });
        Ok(Connection {
            sender,
            _task: task,
        })
    }

    async fn finish(
        &self,
        visit: Visit,
        mut connection: Connection,
        response: Response<Incoming>,
    ) -> Result<(), String> {
        let (head, body) = response.into_parts();
        let whole = body.collect().await;
        whole.map_err(|error| format!("{} and a broken body: {}", head.status, said(&error)))?;
        if head.status != StatusCode::OK {
            let code = head.headers.get("adit-error");
            let code = code.map_or_else(String::new, |code| {
                format!(" ({})", code.as_bytes().escape_ascii())
            });
            return Err(format!("{}{code}", head.status));
        }
        // It can take another request, unless the server is about to close it.
        if visit.kept && connection.sender.ready().await.is_ok() {
            self.idle().push(connection);
        }
        Ok(())
    }

    fn take(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its cause, which hyper leaves out.
fn said(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
