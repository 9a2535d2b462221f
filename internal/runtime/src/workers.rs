//! N threads, each with a current-thread tokio runtime of its own.
//!
//! A task never moves between workers, so what it touches needs no work stealing and its wake-ups stay on one core. What
//! a worker ends with, a panic included, reaches whoever owns the [`Workers`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::mpsc;

/// How one worker ended.
#[derive(Debug)]
pub enum WorkerEnd<T> {
    /// Its work returned this.
    Returned(T),
    /// Its work panicked, or its runtime could not be built; the sentence says which.
    Broken(String),
}

/// The running workers. Dropping this lets their threads run on: end the work first, then wait with [`Workers::next`].
#[derive(Debug)]
pub struct Workers<T> {
    ends: mpsc::Receiver<(usize, WorkerEnd<T>)>,
}

impl<T: Send + 'static> Workers<T> {
    /// Starts a thread for each seed, named `worker-0`, `worker-1` …, and runs `work(seed)` on it.
    ///
    /// A seed is what one worker owns alone, such as its listener. The future is made on its own thread, so it need not
    /// be `Send`.
    ///
    /// # Errors
    /// When the operating system gives no thread. Threads that were started before run on; the caller should exit.
    pub fn start<S, F, Fut>(seeds: Vec<S>, work: F) -> io::Result<Self>
    where
        S: Send + 'static,
        F: Fn(S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = T>,
    {
        let work = Arc::new(work);
        let (report, ends) = mpsc::channel(seeds.len().max(1));
        for (index, seed) in seeds.into_iter().enumerate() {
            let (work, report) = (Arc::clone(&work), report.clone());
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    let end = run(seed, &*work);
                    // Each worker reports once into a queue with room for all: the only failure is that nobody listens.
                    report.try_send((index, end)).ok();
                })?;
        }
        Ok(Self { ends })
    }

    /// The index and the end of the next worker that ends; `None` once all have. Cancel safe.
    pub async fn next(&mut self) -> Option<(usize, WorkerEnd<T>)> {
        self.ends.recv().await
    }
}

fn run<S, T, F, Fut>(seed: S, work: &F) -> WorkerEnd<T>
where
    F: Fn(S) -> Fut,
    Fut: Future<Output = T>,
{
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return WorkerEnd::Broken(format!("no runtime: {error}")),
    };
    // Unwind safe: nothing of the work is looked at again after a panic.
    match catch_unwind(AssertUnwindSafe(|| runtime.block_on(work(seed)))) {
        Ok(value) => WorkerEnd::Returned(value),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            WorkerEnd::Broken(format!(
                "panicked: {}",
                text.as_deref().unwrap_or("no message")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn every_worker_runs_its_own_work_and_reports_its_end() {
        let mut workers = Workers::start(vec![0, 1, 2], |index| async move {
            let not_send = Rc::new(index);
            tokio::task::yield_now().await;
            *not_send
        })
        .unwrap();
        let mut seen = Vec::new();
        while let Some((index, end)) = workers.next().await {
            assert!(matches!(end, WorkerEnd::Returned(value) if value == index));
            seen.push(index);
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
    }

    #[tokio::test]
    async fn a_panic_in_a_worker_reaches_the_owner() {
        let mut workers: Workers<()> =
            Workers::start(vec![()], |_| async { panic!("the roof") }).unwrap();
        let (_, end) = workers.next().await.unwrap();
        assert!(matches!(end, WorkerEnd::Broken(why) if why == "panicked: the roof"));
        assert!(workers.next().await.is_none());
    }
}
