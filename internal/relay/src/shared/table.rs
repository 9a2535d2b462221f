//! Which request has which number on the shared connection.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Asker;
use crate::failure::Why;

/// Requests without answer. All have the same time, so the lowest number is the first to be overdue.
pub(super) struct Table {
    answer: Duration,
    open: Mutex<Open>,
    asked: Notify,
}

#[derive(Default)]
struct Open {
    last: u64,
    asked: BTreeMap<u64, (Instant, Asker)>,
}

impl Table {
    pub(super) fn new(answer: Duration) -> Self {
        Self {
            answer,
            open: Mutex::default(),
            asked: Notify::new(),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a request its number, which no other has or had.
    pub(super) fn number(&self) -> u64 {
        let mut open = self.open();
        open.last += 1;
        open.last
    }

    /// A request is sent under this number.
    pub(super) fn asked(&self, number: u64, asker: Asker) {
        let until = Instant::now() + self.answer;
        self.open().asked.insert(number, (until, asker));
        self.asked.notify_one();
    }

    /// Who asked under this number, and waits still.
    pub(super) fn answered(&self, number: u64) -> Option<Asker> {
        self.open().asked.remove(&number).map(|(_, asker)| asker)
    }

    /// Tells those who wait for too long, for ever.
    pub(super) async fn watch(&self) {
        loop {
            let oldest = self
                .open()
                .asked
                .first_key_value()
                .map(|(_, (until, _))| *until);
            let Some(until) = oldest else {
                self.asked.notified().await;
                continue;
            };
            sleep_until(until).await;
            let late = {
                let mut open = self.open();
                let late = open
                    .asked
                    .first_entry()
                    .filter(|first| first.get().0 <= Instant::now());
                late.map(|first| first.remove().1)
            };
            if let Some(asker) = late {
                asker.fail(Why::NoAnswer(self.answer));
            }
        }
    }

    /// The connection is lost, and every answer with it.
    pub(super) fn lost(&self, why: &str) {
        let asked = std::mem::take(&mut self.open().asked);
        for (_, asker) in asked.into_values() {
            asker.fail(Why::Receiving(why.to_owned()));
        }
    }
}
