//! Visitors who keep coming at a steady rate, whatever happens to the fleet, and who notice everything.
//!
//! Open loop: a request is sent when its time has come, not when the one before it is answered, so an outage is as
//! long in the report as it was. Every other request takes a kept-alive connection, the rest a new one each; every
//! fourth is a POST. A request on a kept-alive connection that closed before anything of it was written is sent again
//! on a new one, as every HTTP client does; nothing else is ever repeated.

mod connections;
mod report;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

pub use report::{Failure, Report};

use self::{
    connections::{Connections, Visit},
    report::Tally,
};
use crate::visitor::PATIENCE;

/// Requests in flight at a time. One more counts as failed at once: a fleet that owes so many answers is not serving.
const AT_ONCE: usize = 10_000;

/// A load that has not begun.
#[derive(Debug, Clone)]
pub struct Load {
    rate: u32,
    path: String,
    patience: Duration,
}

impl Load {
    /// So many requests a second.
    pub fn at(rate: u32) -> Self {
        Self {
            rate,
            path: "/".to_owned(),
            patience: Duration::from_secs(10),
        }
    }

    /// For that path instead of `/`.
    #[must_use]
    pub fn of(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// A request that is not answered whole within that time has failed. Default 10 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Begins: visitors connect to `addr` and ask for `host`.
    pub fn through(self, addr: SocketAddr, host: &str) -> Running {
        let (tally, changed) = watch::channel(0);
        let shared = Arc::new(Shared {
            connections: Connections::new(addr, host, &self.path),
            tally: Mutex::new(Tally::begin(Instant::now())),
            changed: tally,
        });
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(self.come(shared.clone(), stop.clone()));
        Running {
            shared,
            changed,
            stop,
            tasks,
        }
    }

    async fn come(self, shared: Arc<Shared>, stop: CancellationToken) {
        let mut ticks = interval(Duration::from_secs(1) / self.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut visits = JoinSet::new();
        for number in 0.. {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => break,
            }
            while visits.try_join_next().is_some() {}
            if visits.len() < AT_ONCE {
                visits.spawn(visit(shared.clone(), number, self.patience));
            } else {
                let visit = Visit::number(number);
                shared.count(
                    visit,
                    Instant::now(),
                    Err("too many are waiting".to_owned()),
                );
            }
        }
        shared.tally().end(Instant::now());
        while visits.join_next().await.is_some() {}
    }
}

async fn visit(shared: Arc<Shared>, number: u64, patience: Duration) {
    let visit = Visit::number(number);
    let began = Instant::now();
    let end = match timeout(patience, shared.connections.send(visit)).await {
        Ok(end) => end,
        Err(_) => Err(format!("no whole answer within {patience:?}")),
    };
    shared.count(visit, began, end);
}

/// A load under way. Dropped, it ends at once.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// The report as it would be now.
    pub fn so_far(&self) -> Report {
        self.shared.tally().report(Instant::now())
    }

    /// Waits until so many more requests have succeeded.
    pub async fn succeeds(&mut self, more: u64) {
        let wanted = *self.changed.borrow() + more;
        let succeeding = self.changed.wait_for(|&ok| ok >= wanted);
        let reached = timeout(PATIENCE, succeeding).await.is_ok();
        assert!(reached, "no {more} successes: {}", self.so_far());
    }

    /// Sends nothing more, waits for what is in flight, and tells how it went.
    pub async fn stop(mut self) -> Report {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("the load does not panic");
        }
        self.so_far()
    }
}

#[derive(Debug)]
struct Shared {
    connections: Connections,
    tally: Mutex<Tally>,
    /// How many have succeeded.
    changed: watch::Sender<u64>,
}

impl Shared {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, visit: Visit, began: Instant, end: Result<bool, String>) {
        let ok = self.tally().count(visit, began, Instant::now(), end);
        self.changed.send_replace(ok);
    }
}
