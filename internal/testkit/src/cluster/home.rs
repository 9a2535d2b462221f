//! Where an in-process node lives: a thread and a runtime of its own, so that it can die and stand still like a process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::visitor::PATIENCE;

/// A thread that runs one node's tasks, all of them. Dropped, it ends as [`Home::raze`] does, a moment later.
#[derive(Debug)]
pub(super) struct Home {
    dead: Arc<AtomicBool>,
    /// Held while the thread stands still; it goes on when this is dropped.
    frozen: Option<SyncSender<()>>,
    orders: mpsc::Sender<Freeze>,
    ended: oneshot::Receiver<()>,
}

/// Stand still: say that you do, and then wait for the sender to be dropped.
struct Freeze {
    done: oneshot::Sender<()>,
    until: Receiver<()>,
}

impl Home {
    /// Runs `settle` there. What it spawns stays; what it returns comes back.
    pub(super) async fn found<T, F>(settle: impl FnOnce() -> F + Send + 'static) -> (Self, T)
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let dead = Arc::new(AtomicBool::new(false));
        let (orders, taken) = mpsc::channel(1);
        let (tell, told) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let razed = dead.clone();
        let living = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("the system has room for a runtime");
            runtime.block_on(async {
                tell.send(settle().await).ok();
                obey(taken, &razed).await;
            });
            // Every task is dropped where it stands.
            runtime.shutdown_background();
            drop(end);
        };
        let thread = thread::Builder::new().name("node".to_owned());
        thread.spawn(living).expect("the system has a thread");
        let home = Self {
            dead,
            frozen: None,
            orders,
            ended,
        };
        let settled = timeout(PATIENCE, told).await;
        (
            home,
            settled.expect("it settles in time").expect("it settles"),
        )
    }

    /// Ends the thread with everything on it, at once; returns when nothing is left. A frozen one wakes up dead.
    pub(super) async fn raze(mut self) {
        self.fall();
        let Self { orders, ended, .. } = &mut self;
        *orders = mpsc::channel(1).0;
        let razed = timeout(PATIENCE, ended).await;
        assert!(razed.is_ok(), "the node's thread ends");
    }

    /// Stops the thread; returns when it stands still.
    pub(super) async fn freeze(&mut self) {
        let (hold, until) = sync_channel(1);
        let (done, frozen) = oneshot::channel();
        let order = Freeze { done, until };
        let taken = self.orders.send(order).await;
        taken.unwrap_or_else(|_| panic!("the node lives"));
        let frozen = timeout(PATIENCE, frozen).await;
        frozen.expect("it stops in time").expect("the node lives");
        self.frozen = Some(hold);
    }

    /// Lets it go on.
    pub(super) fn thaw(&mut self) {
        self.frozen = None;
    }

    fn fall(&mut self) {
        self.dead.store(true, Ordering::SeqCst);
        self.frozen = None;
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.fall();
    }
}

/// The future that the thread's runtime blocks on: while it blocks in turn, no task runs.
async fn obey(mut orders: mpsc::Receiver<Freeze>, dead: &AtomicBool) {
    while let Some(Freeze { done, until }) = orders.recv().await {
        done.send(()).ok();
        // An error is what ends it: nothing is ever sent.
        until.recv().ok();
        if dead.load(Ordering::SeqCst) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{task::JoinSet, time::interval};

    use super::*;

    /// A home in which something ticks, for as long as it may.
    async fn ticking() -> (Home, mpsc::Receiver<()>) {
        let (tick, ticks) = mpsc::channel(1);
        let (home, mut tasks) = Home::found(|| async {
            let mut tasks = JoinSet::new();
            tasks.spawn(async move {
                let mut clock = interval(Duration::from_millis(1));
                while tick.send(()).await.is_ok() {
                    clock.tick().await;
                }
            });
            tasks
        })
        .await;
        tasks.detach_all();
        (home, ticks)
    }

    #[tokio::test]
    async fn a_frozen_home_does_nothing_until_it_thaws() {
        let (mut home, mut ticks) = ticking().await;
        ticks.recv().await.unwrap();
        home.freeze().await;
        while ticks.try_recv().is_ok() {}
        assert!(
            timeout(Duration::from_millis(50), ticks.recv())
                .await
                .is_err()
        );
        home.thaw();
        ticks.recv().await.unwrap();
    }

    #[tokio::test]
    async fn a_razed_home_leaves_nothing_running_frozen_or_not() {
        for frozen in [false, true] {
            let (mut home, mut ticks) = ticking().await;
            if frozen {
                home.freeze().await;
            }
            home.raze().await;
            while ticks.try_recv().is_ok() {}
            assert!(ticks.is_closed() && ticks.recv().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_dropped_home_ends() {
        let (home, mut ticks) = ticking().await;
        drop(home);
        while ticks.recv().await.is_some() {}
    }
}
