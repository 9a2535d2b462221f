//! A visitor's socket with the clocks hyper does not have: a head must be whole
//! in time, a visitor must read, and a cut body must not look like a whole one.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};

use crate::{
    clock::Clock,
    limits::Place,
    proxy_protocol::{self, Opening},
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
    /// What the connection takes of the room for connections.
    room: Mutex<Room>,
}

/// A connection's part of the room for connections. A WebSocket keeps it.
#[derive(Debug, Default)]
pub(crate) struct Room {
    _of_all: Option<OwnedSemaphorePermit>,
    of_address: Option<Place>,
}

impl Room {
    /// Of the room for all, and of that for one address where it is counted.
    pub(crate) fn new(of_all: OwnedSemaphorePermit, of_address: Option<Place>) -> Self {
        Self {
            _of_all: Some(of_all),
            of_address,
        }
    }
}

impl ConnectionState {
    pub(crate) fn in_room(room: Room) -> Arc<Self> {
        Arc::new(Self {
            room: Mutex::new(room),
            ..Self::default()
        })
    }

    /// A place of an address that was not known at first.
    pub(crate) fn take_place(&self, place: Place) {
        self.room().of_address = Some(place);
    }

    /// The connection is an agent's, and counted as such from now on.
    pub(crate) fn leave_room(&self) {
        *self.room() = Room::default();
    }

    fn room(&self) -> std::sync::MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

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

/// Bytes read at once to find out the protocol: a whole small request, so that
/// the first one of a connection costs no read more than the others.
const SNIFF: usize = 2048;

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
    /// Runs while there is no request, and from its first byte on with the limit
    /// of a head; on HTTP/2, where pings and settings come between requests too,
    /// all that time with the limit of silence.
    waiting: Clock,
    /// The clock runs for a head that has begun.
    in_head: bool,
    /// Runs while the visitor does not read.
    stall: Clock,
}

impl VisitorIo {
    /// The clock for the first request starts at once.
    pub(crate) fn new(tcp: TcpStream, state: Arc<ConnectionState>, clocks: Clocks) -> Self {
        let mut waiting = Clock::default();
        waiting.start(clocks.header);
        Self {
            tcp,
            state,
            seen: 0,
            clocks,
            sniffed: Vec::new(),
            protocol: Protocol::Http1,
            waiting,
            in_head: true,
            stall: Clock::default(),
        }
    }

    /// Reads the header by which a proxy begins a connection, if there is one, and
    /// nothing beyond it; whom it names. The clock of the first request runs.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for a header that breaks the rules, and for
    /// none where it is `required`.
    pub(crate) async fn introduction(&mut self, required: bool) -> io::Result<Option<SocketAddr>> {
        let mut first = Vec::with_capacity(SNIFF);
        let opening = loop {
            let got = self.read_buf(&mut first).await?;
            match proxy_protocol::read(&first) {
                Opening::Unknown if got > 0 => {}
                opening => break opening,
            }
        };
        let source = match opening {
            Opening::Header { len, source } => {
                first.drain(..len);
                source
            }
            Opening::Other | Opening::Unknown if !required => None,
            Opening::Other | Opening::Unknown | Opening::Malformed => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "no valid PROXY protocol header",
                ));
            }
        };
        self.sniffed = first;
        Ok(source)
    }

    /// Writes the last words of a connection that is not served.
    pub(crate) async fn refuse(&mut self, words: &[u8]) -> io::Result<()> {
        self.write_all(words).await?;
        self.shutdown().await
    }

    /// Reads until the protocol is sure. The clock of the first request runs
    /// already: a client that says nothing, or half a preface, is dropped by it.
    pub(crate) async fn sniff(&mut self) -> io::Result<Protocol> {
        let mut first = Vec::with_capacity(SNIFF);
        loop {
            let got = self.read_buf(&mut first).await?;
            let known = first.len().min(PREFACE.len());
            if got == 0 || first[..known] != PREFACE[..known] {
                break;
            }
            if known == PREFACE.len() {
                self.protocol = Protocol::Http2;
                break;
            }
        }
        self.sniffed = first;
        Ok(self.protocol)
    }

    fn take_sniffed(&mut self, buf: &mut ReadBuf<'_>) {
        let len = self.sniffed.len().min(buf.remaining());
        buf.put_slice(&self.sniffed[..len]);
        self.sniffed.drain(..len);
        if self.sniffed.is_empty() {
            // A connection may live long, above all an agent's.
            self.sniffed = Vec::new();
        }
    }

    /// A head that is whole is no longer waited for, and after an upgrade no other
    /// ever will be.
    fn note_requests(&mut self) {
        if self.state.upgraded.load(Ordering::Relaxed) {
            self.waiting.retire();
        }
        let begun = self.state.begun.load(Ordering::Relaxed);
        if begun != self.seen {
            self.seen = begun;
            self.waiting.stop();
            self.in_head = false;
        }
    }

    /// Starts the clock that belongs to what has, or has not, just been heard.
    fn wait(&mut self, heard: bool) {
        if !self.idle() {
            return;
        }
        if heard && self.protocol == Protocol::Http1 {
            if !self.in_head {
                self.in_head = true;
                self.waiting.start(self.clocks.header);
            }
        } else if !self.waiting.is_running() {
            self.waiting.start(self.clocks.idle);
        }
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
            self.stall.stop();
            return result;
        }
        if !self.stall.is_running() {
            self.stall.start(self.clocks.write_stall);
        }
        if self.stall.poll_late(cx).is_ready() {
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
        self.wait(buf.filled().len() > before);
        // What has come in time is taken, however late this is looked at.
        if result.is_pending() && self.waiting.poll_late(cx).is_ready() {
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
