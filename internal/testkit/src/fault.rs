//! A bad network between any two parties: a TCP proxy that delays, stalls, cuts and refuses, as it is told.
//!
//! One connection to the proxy is one connection to its target, and bytes pass in order and whole until a switch says
//! otherwise. Switches are turned at run time and hold for connections that are open as well as for new ones, except
//! where they say that they do something once.
//!
//! What the proxy can not do is what TCP hides anyway: lose, repeat or reorder packets.

mod connection;
mod switches;
mod way;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{error::Elapsed, timeout},
};

pub use switches::Way;

use self::switches::Switches;
use crate::{port::Port, visitor::PATIENCE};

/// A proxy. When it is dropped, it ends and all its connections with it.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    switches: Arc<Switches>,
    listening: watch::Receiver<bool>,
    _accepting: JoinSet<()>,
}

impl FaultProxy {
    /// A proxy in front of `target`, without any fault.
    pub async fn to(target: SocketAddr) -> Self {
        Self::among(&[target]).await
    }

    /// A proxy that spreads its connections over `targets` by turns; one that refuses is passed over.
    pub async fn among(targets: &[SocketAddr]) -> Self {
        let switches = Arc::new(Switches::new(targets));
        let (tell, listening) = watch::channel(false);
        let port = Port::free();
        let addr = port.addr();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(port, switches.clone(), tell));
        let proxy = Self {
            addr,
            switches,
            listening,
            _accepting: accepting,
        };
        proxy.accept().await;
        proxy
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Holds every byte for so long, each way, from when it comes in to when it goes out. It costs no throughput up to
    /// 16 MiB on the way in one direction of a connection; beyond that the proxy reads no further.
    pub fn delay(&self, delay: Duration) {
        self.switches.turn(|state| state.delay = delay);
    }

    /// Swallows both ways: connections stay open, new ones open too, and nothing passes, neither bytes nor an end. What
    /// comes in (16 MiB a direction and connection) is held, as the sender's kernel holds it for a cable that is out.
    pub fn stall(&self) {
        self.switches.turn(|state| state.stalled = [true; 2]);
    }

    /// Swallows in one direction: a party that hears and is not heard.
    pub fn stall_way(&self, way: Way) {
        self.switches
            .turn(|state| state.stalled[way.index()] = true);
    }

    /// Ends a stall. What was held passes, and so do ends that came meanwhile.
    pub fn resume(&self) {
        self.switches.turn(|state| state.stalled = [false; 2]);
    }

    /// Resets the connections open now, on both sides.
    pub fn cut(&self) {
        self.switches.cut();
    }

    /// Lets so many bytes more pass, over all connections and both ways, and then cuts, once. The other side gets them
    /// before it sees the reset, if it reads fast enough that none is left in the sending kernel.
    pub fn cut_after(&self, bytes: u64) {
        self.switches.cut_after(bytes);
    }

    /// Tells one party of each open connection that the other has finished sending, and drops what it still sends. The
    /// other direction goes on.
    pub fn half_close(&self, way: Way) {
        self.switches.turn(|state| state.closes[way.index()] += 1);
    }

    /// Refuses new connections, from when this returns; those open are left alone.
    pub async fn refuse(&self) {
        self.switches.turn(|state| state.refusing = true);
        self.until_listening(false).await.expect("it refuses");
    }

    /// Takes new connections again, from when this returns.
    pub async fn accept(&self) {
        self.switches.turn(|state| state.refusing = false);
        self.until_listening(true).await.expect("it accepts");
    }

    /// Bytes that have passed in one direction, over all connections.
    pub fn passed(&self, way: Way) -> u64 {
        self.switches.passed(way)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.switches.open()
    }

    /// Connections that were ever opened.
    pub fn opened(&self) -> u64 {
        self.switches.opened()
    }

    async fn until_listening(&self, wanted: bool) -> Result<(), Elapsed> {
        let mut listening = self.listening.clone();
        let turned = listening.wait_for(|&is| is == wanted);
        timeout(PATIENCE, turned).await?.expect("the proxy runs");
        Ok(())
    }
}

/// Owns the listener and all connections.
async fn accept(port: Port, switches: Arc<Switches>, tell: watch::Sender<bool>) {
    let mut listener: Option<TcpListener> = None;
    let mut connections = JoinSet::new();
    let mut state = switches.watch();
    loop {
        let refusing = state.borrow_and_update().refusing;
        if refusing == listener.is_some() {
            listener = (!refusing).then(|| port.listen());
            tell.send_replace(!refusing);
        }
        let accepting = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok((near, _)) = accepting => {
                connections.spawn(connection::carry(near, switches.enter(), switches.clone()));
                while connections.try_join_next().is_some() {}
            }
            Ok(()) = state.changed() => {}
        }
    }
}
