//! One direction of one connection: what comes in is dated, held, and let go when it is due.

use std::{io, sync::Arc};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{ReadHalf, WriteHalf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, sleep_until},
};

use super::switches::{Entered, State, Switches, Way};

/// Bytes on the way in one direction of a connection: 100 ms at 160 MB/s.
const ROOM: usize = 16 << 20;

/// Read at a time.
const CHUNK: usize = 64 << 10;

/// What a chunk takes of [`ROOM`] beside its bytes, so that single bytes are bounded too.
const OVERHEAD: usize = 64;

/// The connection cannot go on, and both sides must be told so.
#[derive(Debug)]
pub(super) struct Broken;

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// A direction and the switches that it obeys.
#[derive(Debug)]
pub(super) struct Lane {
    way: Way,
    switches: Arc<Switches>,
    watch: watch::Receiver<State>,
    /// How often all had been cut when the connection came in.
    cuts: u64,
    /// How often this direction had been half closed by then.
    closes: u64,
}

/// Something on the way.
struct Held {
    due: Instant,
    event: Event,
    _room: OwnedSemaphorePermit,
}

enum Event {
    Bytes(Bytes),
    End,
    Reset,
}

impl Lane {
    pub(super) fn new(way: Way, switches: &Arc<Switches>, entered: &Entered) -> Self {
        let watch = entered.watch.clone();
        let (cuts, closes) = {
            let state = watch.borrow();
            (state.cuts, state.closes[way.index()])
        };
        Self {
            way,
            switches: switches.clone(),
            watch,
            cuts,
            closes,
        }
    }

    /// Carries until the end has been passed on.
    pub(super) async fn carry(&self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> Result<(), Broken> {
        let (hold, held) = mpsc::channel(ROOM / OVERHEAD);
        let reading = async {
            self.read(from, hold).await;
            Ok(())
        };
        tokio::try_join!(reading, self.write(to, held))?;
        Ok(())
    }

    async fn read(&self, mut from: ReadHalf<'_>, hold: mpsc::Sender<Held>) {
        let room = Arc::new(Semaphore::new(ROOM));
        let mut buffer = vec![0; CHUNK];
        loop {
            let (event, length) = match from.read(&mut buffer).await {
                Ok(0) => (Event::End, 0),
                Ok(length) => {
                    let bytes = Bytes::copy_from_slice(&buffer[..length]);
                    (Event::Bytes(bytes), length)
                }
                Err(_) => (Event::Reset, 0),
            };
            let last = !matches!(event, Event::Bytes(_));
            let due = Instant::now() + self.watch.borrow().delay;
            let cost = u32::try_from(length + OVERHEAD).expect("a chunk is small");
            let taken = room.clone().acquire_many_owned(cost).await;
            let _room = taken.expect("the semaphore stays open");
            let sent = hold.send(Held { due, event, _room }).await;
            if last || sent.is_err() {
                return;
            }
        }
    }

    async fn write(
        &self,
        mut to: WriteHalf<'_>,
        mut held: mpsc::Receiver<Held>,
    ) -> Result<(), Broken> {
        let mut closed = false;
        loop {
            let next = tokio::select! {
                next = held.recv() => next,
                () = self.until_closed(), if !closed => {
                    closed = true;
                    to.shutdown().await?;
                    continue;
                }
            };
            // The reader leaves after an end, which ends this too.
            let Some(next) = next else { return Ok(()) };
            sleep_until(next.due).await;
            self.until_flowing().await;
            match next.event {
                Event::Bytes(_) if closed => {}
                Event::Bytes(bytes) => self.pass(&to, bytes).await?,
                Event::End if closed => return Ok(()),
                Event::End => return Ok(to.shutdown().await?),
                Event::Reset => return Err(Broken),
            }
        }
    }

    async fn pass(&self, to: &WriteHalf<'_>, mut bytes: Bytes) -> Result<(), Broken> {
        while bytes.has_remaining() {
            to.writable().await?;
            // A stall that has begun since holds the rest of this chunk too.
            self.until_flowing().await;
            match self
                .switches
                .pass(self.way, self.cuts, &bytes, |bytes| to.try_write(bytes))
            {
                Ok(written) => bytes.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits while this direction is stalled.
    pub(super) async fn until_flowing(&self) {
        self.until(|state| !state.stalled[self.way.index()]).await;
    }

    async fn until_closed(&self) {
        self.until(|state| state.closes[self.way.index()] > self.closes)
            .await;
    }

    async fn until(&self, wanted: impl FnMut(&State) -> bool) {
        let mut watch = self.watch.clone();
        let turned = watch.wait_for(wanted).await;
        drop(turned.expect("the switches outlive their connections"));
    }
}
