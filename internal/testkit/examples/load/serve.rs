//! The upstream behind every way that is measured. It leaves as much of the machine as it can to them.
//!
//!   GET /1k /100k          bodies in one write with their head
//!   GET /100m /5g          so many megabytes or gigabytes
//!   POST anything          reads the body, says ok
//!   GET /ws                a WebSocket echo
//!   GET /events            ten events a second to everybody at once, each with the time it was sent at
//!   GET /quiet             an event stream on which nothing is said

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::interval,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

use crate::{monotonic, wire::Head};

const CHUNK: usize = 256 * 1024;

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";

pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    println!("{}", listener.local_addr().expect("it is bound"));
    let (send, events) = watch::channel(Duration::ZERO);
    let pages = Arc::new(Pages::new());
    let mut running = JoinSet::new();
    running.spawn(tick(send));
    while let Ok((tcp, _)) = listener.accept().await {
        let connection = Connection {
            tcp,
            buffer: BytesMut::new(),
            events: events.clone(),
            pages: Arc::clone(&pages),
        };
        running.spawn(async { drop(connection.run().await) });
        while running.try_join_next().is_some() {}
    }
}

/// One event for everybody, ten times a second.
async fn tick(events: watch::Sender<Duration>) {
    let mut clock = interval(Duration::from_millis(100));
    loop {
        clock.tick().await;
        events.send_replace(monotonic::now());
    }
}

/// Whole answers, made once.
struct Pages {
    small: Vec<(&'static str, Vec<u8>)>,
    chunk: Vec<u8>,
}

impl Pages {
    fn new() -> Self {
        let whole = |path, length: usize| {
            let mut page = head(length as u64, true).into_bytes();
            page.resize(page.len() + length, b'x');
            (path, page)
        };
        Self {
            small: vec![whole("/1k", 1024), whole("/100k", 102_400)],
            chunk: vec![b'x'; CHUNK],
        }
    }
}

/// `/100m` and its like.
fn large(path: &str) -> Option<u64> {
    let size = path.strip_prefix('/')?;
    let (count, unit) = match size.strip_suffix('g') {
        Some(count) => (count, 1_000_000_000),
        None => (size.strip_suffix('m')?, 1_000_000),
    };
    count.parse::<u64>().ok()?.checked_mul(unit)
}

fn head(length: u64, keep: bool) -> String {
    let connection = if keep { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 200 OK\r\nServer: load\r\nDate: Tue, 06 Jan 2026 10:00:00 GMT\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {length}\r\nETag: \"5e2f-400\"\r\n\
         Connection: {connection}\r\n\r\n"
    )
}

struct Connection {
    tcp: TcpStream,
    buffer: BytesMut,
    events: watch::Receiver<Duration>,
    pages: Arc<Pages>,
}

impl Connection {
    async fn run(mut self) -> io::Result<()> {
        self.tcp.set_nodelay(true)?;
        while let Some(request) = self.request().await? {
            let mut words = request.line().split(' ');
            let (method, path) = (words.next(), words.next().unwrap_or_default());
            match (method, path) {
                (Some("POST"), _) => self.take(&request).await?,
                (Some("GET"), "/ws") => return self.echo(&request).await,
                (Some("GET"), "/events") => return self.tell().await,
                (Some("GET"), "/quiet") => return self.say_nothing().await,
                (Some("GET"), _) => self.page(path, !request.closes()).await?,
                _ => return Ok(()),
            }
            if request.closes() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn request(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = Head::take(&mut self.buffer) {
                return Ok(Some(head));
            }
            self.buffer.reserve(4096);
            if self.tcp.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn page(&mut self, wanted: &str, keep: bool) -> io::Result<()> {
        let found = self.pages.small.iter().find(|(path, _)| *path == wanted);
        let Some((_, page)) = found else {
            if let Some(length) = large(wanted) {
                return self.large(length, keep).await;
            }
            let nothing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            return self.tcp.write_all(nothing).await;
        };
        if keep {
            return self.tcp.write_all(page).await;
        }
        let body = page.len()
            - page
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .expect("a head")
            - 4;
        let mut page = head(body as u64, false).into_bytes();
        page.resize(page.len() + body, b'x');
        self.tcp.write_all(&page).await
    }

    async fn large(&mut self, length: u64, keep: bool) -> io::Result<()> {
        self.tcp.write_all(head(length, keep).as_bytes()).await?;
        let mut left = length;
        while left > 0 {
            let next = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            self.tcp.write_all(&self.pages.chunk[..next]).await?;
            left -= next as u64;
        }
        Ok(())
    }

    /// Reads the body of an upload. One without an announced length has no place in a bench, and is hung up on.
    async fn take(&mut self, request: &Head) -> io::Result<()> {
        let Some(mut left) = request.length() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        loop {
            let here = self
                .buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            self.buffer.advance(here);
            left -= here as u64;
            if left == 0 {
                break;
            }
            self.buffer.reserve(CHUNK);
            if self.tcp.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let keep = !request.closes();
        let answer = head(2, keep) + "ok";
        self.tcp.write_all(answer.as_bytes()).await
    }

    async fn tell(mut self) -> io::Result<()> {
        self.tcp.write_all(STREAM.as_bytes()).await?;
        self.events.mark_unchanged();
        while self.events.changed().await.is_ok() {
            let event = format!("data: {}\n\n", self.events.borrow_and_update().as_nanos());
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            self.tcp.write_all(chunk.as_bytes()).await?;
        }
        Ok(())
    }

    async fn say_nothing(mut self) -> io::Result<()> {
        self.tcp.write_all(STREAM.as_bytes()).await?;
        self.tcp.read_buf(&mut self.buffer).await.map(drop)
    }

    async fn echo(mut self, request: &Head) -> io::Result<()> {
        let Some(key) = request.field("sec-websocket-key") else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.tcp.write_all(answer.as_bytes()).await?;
        let mut socket = WebSocketStream::from_raw_socket(self.tcp, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let asks = message.is_text() || message.is_binary();
            if asks && socket.send(message).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}
