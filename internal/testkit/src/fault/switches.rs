//! What a proxy is told, and what it counts.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::watch,
};

/// A direction through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From who connected to the target.
    There,
    /// From the target to who connected.
    Back,
}

impl Way {
    pub(super) fn index(self) -> usize {
        match self {
            Self::There => 0,
            Self::Back => 1,
        }
    }
}

/// The switches' positions. Pairs are by [`Way::index`].
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) delay: Duration,
    pub(super) stalled: [bool; 2],
    pub(super) refusing: bool,
    /// How often all was cut: a connection ends when this grows.
    pub(super) cuts: u64,
    /// How often a direction was half closed, likewise.
    pub(super) closes: [u64; 2],
}

/// What all connections of a proxy share.
#[derive(Debug)]
pub(super) struct Switches {
    targets: Vec<SocketAddr>,
    turn: AtomicUsize,
    state: watch::Sender<State>,
    /// Bytes that may pass before the next cut.
    left: Mutex<Option<u64>>,
    passed: [AtomicU64; 2],
    open: Arc<AtomicUsize>,
    opened: AtomicU64,
}

impl Switches {
    pub(super) fn new(targets: &[SocketAddr]) -> Self {
        let state = State {
            refusing: true,
            ..State::default()
        };
        Self {
            targets: targets.to_vec(),
            turn: AtomicUsize::new(0),
            state: watch::Sender::new(state),
            left: Mutex::default(),
            passed: [const { AtomicU64::new(0) }; 2],
            open: Arc::default(),
            opened: AtomicU64::new(0),
        }
    }

    pub(super) fn turn(&self, turn: impl FnOnce(&mut State)) {
        self.state.send_modify(turn);
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(super) fn cut(&self) {
        self.turn(|state| state.cuts += 1);
    }

    pub(super) fn cut_after(&self, bytes: u64) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = Some(bytes);
        drop(left);
        // With nothing left, the cut must not wait for a byte.
        let cuts = self.state.borrow().cuts;
        self.pass(Way::There, cuts, &[], |_| Ok(0)).ok();
    }

    /// Writes what may pass of `bytes`, counts it, and cuts when that was the last that may.
    ///
    /// # Errors
    /// Those of `write`, and a reset when there were more than so many `cuts`.
    pub(super) fn pass(
        &self,
        way: Way,
        cuts: u64,
        bytes: &[u8],
        write: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // Held while writing, which does not wait: so no other connection passes what is counted here.
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if self.state.borrow().cuts > cuts {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let most = left.map_or(bytes.len(), |left| {
            bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))
        });
        let written = write(bytes.get(..most).unwrap_or(bytes))?;
        let count = u64::try_from(written).expect("a length fits");
        self.passed[way.index()].fetch_add(count, Ordering::SeqCst);
        *left = left.map(|left| left.saturating_sub(count));
        if *left == Some(0) {
            *left = None;
            self.cut();
        }
        Ok(written)
    }

    /// A connection to the next target that takes one.
    ///
    /// # Errors
    /// When none does: what the last one said.
    pub(super) async fn dial(&self) -> io::Result<TcpStream> {
        let first = self.turn.fetch_add(1, Ordering::SeqCst);
        let mut last = io::Error::other("no target");
        for step in 0..self.targets.len() {
            let target = self.targets[(first + step) % self.targets.len()];
            match dial(target).await {
                Ok(tcp) => return Ok(tcp),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Counts a connection, for as long as the guard lives.
    pub(super) fn enter(&self) -> Entered {
        self.opened.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
        Entered {
            open: self.open.clone(),
            watch: self.watch(),
        }
    }

    pub(super) fn passed(&self, way: Way) -> u64 {
        self.passed[way.index()].load(Ordering::SeqCst)
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }
}

/// A cut may come when the target has accepted and we do not know it yet: that too must be a reset for the target.
async fn dial(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_zero_linger()?;
    let tcp = socket.connect(target).await?;
    SockRef::from(&tcp).set_linger(None)?;
    Ok(tcp)
}

/// A connection that counts, and the switches as they were when it came in.
#[derive(Debug)]
pub(super) struct Entered {
    open: Arc<AtomicUsize>,
    pub(super) watch: watch::Receiver<State>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}
