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
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// What the socket and the requests on it tell each other.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    /// Requests begun on this connection.
    begun: AtomicU32,
    /// Requests whose response is still on its way.
    busy: AtomicU32,
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

/// The socket.
pub(crate) struct VisitorIo {
    tcp: TcpStream,
    state: Arc<ConnectionState>,
    /// Requests whose head has been accounted for.
    seen: u32,
    header_timeout: Duration,
    write_stall: Duration,
    /// Runs while a head is incomplete.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while the visitor does not read.
    stall: Option<Pin<Box<Sleep>>>,
}

impl VisitorIo {
    /// The clock for the first request starts at once.
    pub(crate) fn new(
        tcp: TcpStream,
        state: Arc<ConnectionState>,
        header_timeout: Duration,
        write_stall: Duration,
    ) -> Self {
        let head = Some(Box::pin(sleep(header_timeout)));
        Self {
            tcp,
            state,
            seen: 0,
            header_timeout,
            write_stall,
            head,
            stall: None,
        }
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
        self.state.busy.load(Ordering::Relaxed) == 0
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
        let limit = self.write_stall;
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
        let before = buf.filled().len();
        let result = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if self.head_is_late(cx) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the request head did not come in time",
            )));
        }
        if buf.filled().len() > before && self.head.is_none() && self.idle() {
            self.head = Some(Box::pin(tokio::time::sleep_until(
                Instant::now() + self.header_timeout,
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
