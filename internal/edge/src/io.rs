//! A visitor's socket with the clocks hyper does not have: a head must be whole
//! in time, a visitor must read, and a cut body must not look like a whole one.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// What the socket and the requests on it tell each other.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    /// Requests begun on this connection.
    begun: AtomicU32,
    /// Requests whose response is still on its way.
    busy: AtomicU32,
    /// No more HTTP: a WebSocket or a link has its own rules for silence.
    upgraded: AtomicBool,
    /// End with a TCP reset: the visitor would take a clean end for the end of
    /// the body.
    cut: AtomicBool,
}

impl ConnectionState {
    /// A request head is whole; the connection is busy until the guard is gone.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    pub(crate) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Busy(Arc<ConnectionState>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a visitor speaks, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// HTTP/2 with prior knowledge (RFC 9113, 3.3).
    Http2,
}

/// The client connection preface (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The clocks of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    /// From the first byte of a head to its end.
    pub(crate) header: Duration,
    /// Without a request.
    pub(crate) idle: Duration,
    /// With bytes to write and nobody reading.
    pub(crate) write_stall: Duration,
}

/// The socket.
pub(crate) struct VisitorIo {
    tcp: TcpStream,
    state: Arc<ConnectionState>,
    /// Requests whose head has been accounted for.
    seen: u32,
    clocks: Clocks,
    /// Bytes read to find out the protocol, not yet handed on.
    sniffed: Vec<u8>,
    protocol: Protocol,
    /// Runs while a head is incomplete; on HTTP/2, where pings and settings come
    /// between requests too, while there is no request.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while the visitor does not read.
    stall: Option<Pin<Box<Sleep>>>,
}

impl VisitorIo {
    /// The clock for the first request starts at once.
    pub(crate) fn new(tcp: TcpStream, state: Arc<ConnectionState>, clocks: Clocks) -> Self {
        let head = Some(Box::pin(sleep(clocks.header)));
        Self {
            tcp,
            state,
            seen: 0,
            clocks,
            sniffed: Vec::new(),
            protocol: Protocol::Http1,
            head,
            stall: None,
        }
    }

    /// Reads until the protocol is sure. The clock of the first request runs
    /// already: a client that says nothing, or half a preface, is dropped by it.
    pub(crate) async fn sniff(&mut self) -> io::Result<Protocol> {
        let mut first = [0; PREFACE.len()];
        let mut len = 0;
        while len < PREFACE.len() {
            let got = self.read(&mut first[len..]).await?;
            len += got;
            if got == 0 || first[..len] != PREFACE[..len] {
                break;
            }
        }
        if len == PREFACE.len() && first == *PREFACE {
            self.protocol = Protocol::Http2;
        }
        self.sniffed = first[..len].to_vec();
        Ok(self.protocol)
    }

    fn take_sniffed(&mut self, buf: &mut ReadBuf<'_>) {
        let len = self.sniffed.len().min(buf.remaining());
        buf.put_slice(&self.sniffed[..len]);
        self.sniffed.drain(..len);
    }

    /// A head has begun, or on HTTP/2 the time without a request.
    fn start_clock(&mut self) {
        let limit = match self.protocol {
            Protocol::Http1 => self.clocks.header,
            Protocol::Http2 => self.clocks.idle,
        };
        self.head = Some(Box::pin(sleep(limit)));
    }

    /// Stops the head's clock when the head has come.
    fn note_requests(&mut self) {
        let begun = self.state.begun.load(Ordering::Relaxed);
        if begun != self.seen {
            self.seen = begun;
            self.head = None;
        }
    }

    fn head_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.head
            .as_mut()
            .is_some_and(|head| head.as_mut().poll(cx).is_ready())
    }

    fn idle(&self) -> bool {
        self.state.busy.load(Ordering::Relaxed) == 0 && !self.state.upgraded.load(Ordering::Relaxed)
    }

    /// Passes a write's result on, with the stall clock around it.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stall = None;
            return result;
        }
        let limit = self.clocks.write_stall;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(limit)));
        if stall.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the visitor does not read",
            )));
        }
        Poll::Pending
    }
}

impl AsyncRead for VisitorIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.note_requests();
        if !self.sniffed.is_empty() {
            self.take_sniffed(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.tcp).poll_read(cx, buf);
        let heard = buf.filled().len() > before;
        if self.head.is_none() && self.idle() && (heard || self.protocol == Protocol::Http2) {
            self.start_clock();
        }
        if self.head_is_late(cx) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no whole request in time",
            )));
        }
        result
    }
}

impl AsyncWrite for VisitorIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.watch(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.cut.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl Drop for VisitorIo {
    fn drop(&mut self) {
        if self.state.cut.load(Ordering::Relaxed) {
            // A zero linger time turns the close into a reset (RFC 9293, 3.6).
            if let Err(error) = self.tcp.set_zero_linger() {
                tracing::debug!(%error, "a cut connection could not be reset");
            }
        }
    }
}
