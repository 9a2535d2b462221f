//! As much of HTTP/1.1 as a load needs, by hand: it must cost less than what it measures.

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What is said before a body.
#[derive(Debug)]
pub(crate) struct Head {
    text: Bytes,
}

impl Head {
    /// Takes a head off the front, once all of it is there.
    pub(crate) fn take(buffer: &mut BytesMut) -> Option<Self> {
        let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = buffer.split_to(end + 4).freeze();
        Some(Self { text })
    }

    /// The request or status line.
    pub(crate) fn line(&self) -> &str {
        self.lines().next().unwrap_or_default()
    }

    pub(crate) fn field(&self, wanted: &str) -> Option<&str> {
        self.lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    }

    pub(crate) fn length(&self) -> Option<u64> {
        let value = self.field("content-length")?;
        Some(value.parse().expect("a length is a number"))
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        let text = str::from_utf8(&self.text).unwrap_or_default();
        text.split("\r\n")
    }
}

/// The head of a GET.
pub(crate) fn get(host: &str, path: &str, keep: bool) -> String {
    let connection = if keep { "keep-alive" } else { "close" };
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n\r\n")
}

pub(crate) async fn open(addr: std::net::SocketAddr, head: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(addr).await.expect("it listens");
    tcp.set_nodelay(true).expect("TCP has the option");
    let head = head.as_bytes();
    tcp.write_all(head).await.expect("it takes a head");
    tcp
}

/// The body of an answer that said 200.
pub(crate) struct Body {
    pub(crate) tcp: TcpStream,
    buffer: BytesMut,
    got: u64,
    announced: Option<u64>,
}

impl Body {
    /// Reads to the end of the head.
    pub(crate) async fn of(mut tcp: TcpStream) -> Self {
        let mut buffer = BytesMut::with_capacity(1024);
        loop {
            if let Some(head) = Head::take(&mut buffer) {
                let announced = head.length();
                assert!(head.line().starts_with("HTTP/1.1 200"), "{:?}", head.text);
                let got = buffer.len() as u64;
                return Self {
                    tcp,
                    buffer,
                    got,
                    announced,
                };
            }
            let read = tcp.read_buf(&mut buffer).await;
            let read = read.expect("the connection holds");
            assert!(read > 0, "closed before the head was whole");
        }
    }

    /// How many bytes there are so far.
    pub(crate) const fn got(&self) -> u64 {
        self.got
    }

    /// Reads more; false at the announced end, or at the connection's where none was announced.
    pub(crate) async fn more(&mut self) -> bool {
        if self.announced.is_some_and(|length| self.got >= length) {
            return false;
        }
        self.buffer.clear();
        self.buffer.reserve(256 * 1024);
        let read = self.tcp.read_buf(&mut self.buffer).await;
        let read = read.expect("the connection holds");
        self.got += read as u64;
        assert!(
            read > 0 || self.announced.is_none(),
            "{} bytes of {:?}",
            self.got,
            self.announced
        );
        read > 0
    }
}
