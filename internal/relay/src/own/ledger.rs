//! Which events the upstream still owes an answer to, on one connection.
//!
//! Where answers have a time, each event is one request and each message of the upstream answers one: the one whose
//! correlation it carries, else the oldest. Where they have none nothing is counted, and only the last event is
//! remembered, for the error when the connection is lost.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::event::Event;
use crate::failure::{EventId, Failure, Why};
use crate::rules::Pointer;

/// Requests under way on a connection. A visitor with more of them is not read until an answer comes.
const MOST: usize = 128;

pub(crate) struct Ledger {
    answer: Option<Duration>,
    correlate: Option<Pointer>,
    waiting: Mutex<VecDeque<Waiting>>,
    /// What the visitor is to be told next.
    untold: Mutex<Option<Failure>>,
    /// The event that an error is about when nothing waits.
    before: EventId,
    sent: Notify,
    answered: Notify,
}

/// An event without answer.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    id: EventId,
    correlation: Option<Value>,
    until: Option<Instant>,
}

impl Waiting {
    pub(crate) fn failure(self, why: Why) -> Failure {
        Failure {
            id: self.id,
            correlation: self.correlation,
            why,
        }
    }
}

impl Ledger {
    /// `before` is the event that was sent last, on an earlier connection.
    pub(crate) fn new(
        answer: Option<Duration>,
        correlate: Option<Pointer>,
        before: EventId,
    ) -> Self {
        Self {
            answer,
            correlate,
            before,
            waiting: Mutex::default(),
            untold: Mutex::default(),
            sent: Notify::new(),
            answered: Notify::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more event may be sent. Cancel safe.
    pub(crate) async fn room(&self) {
        while self.waiting().len() >= MOST {
            self.answered.notified().await;
        }
    }

    /// An event was sent.
    pub(crate) fn sent(&self, id: EventId, correlation: Option<Value>) {
        let mut waiting = self.waiting();
        if self.answer.is_none() {
            waiting.clear();
        }
        waiting.push_back(Waiting {
            id,
            correlation,
            until: self.answer.map(|answer| Instant::now() + answer),
        });
        self.sent.notify_one();
    }

    /// The event that was sent last was not, after all.
    pub(crate) fn unsent(&self, why: &Why) -> Failure {
        let last = self.waiting().pop_back();
        last.map_or_else(|| self.about(why.clone()), |last| last.failure(why.clone()))
    }

    /// An event failed, and the visitor is to be told.
    pub(crate) fn failed(&self, failure: Failure) {
        *self.untold_slot() = Some(failure);
    }

    /// What the visitor is to be told, until [`Ledger::told`].
    pub(crate) fn untold(&self) -> Option<Failure> {
        self.untold_slot().clone()
    }

    /// The visitor has been told.
    pub(crate) fn told(&self) {
        self.untold_slot().take();
    }

    fn untold_slot(&self) -> MutexGuard<'_, Option<Failure>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The upstream said something. What it answers is told its correlation, where it does not carry it already.
    pub(crate) fn answered(&self, reply: &mut Event) {
        let carried = match (&self.correlate, reply.json()) {
            (Some(pointer), Some(json)) => pointer.get(json).cloned(),
            _ => None,
        };
        let mut waiting = self.waiting();
        let at = match &carried {
            None => Some(0),
            // Another value is nobody's answer: the upstream speaks of its own accord.
            carried => waiting.iter().position(|one| one.correlation == *carried),
        };
        let Some(Waiting { correlation, .. }) = at.and_then(|at| waiting.remove(at)) else {
            return;
        };
        self.answered.notify_one();
        if let (None, Some(pointer), Some(value)) = (carried, &self.correlate, &correlation)
            && reply.json().is_some_and(Value::is_object)
            && let Some(json) = reply.json_mut()
        {
            pointer.put(json, value.clone());
        }
        reply.correlation = correlation;
    }

    /// The oldest event without answer.
    fn oldest(&self) -> Option<Waiting> {
        self.waiting().front().cloned()
    }

    /// Something about what was most likely an answer to the oldest event.
    pub(crate) fn about(&self, why: Why) -> Failure {
        let before = Waiting {
            id: self.before,
            correlation: None,
            until: None,
        };
        self.oldest().unwrap_or(before).failure(why)
    }

    /// How long an answer may take.
    pub(crate) fn time(&self) -> Duration {
        self.answer.unwrap_or_default()
    }

    /// Waits until an answer is overdue, and gives up on it. Cancel safe.
    pub(crate) async fn overdue(&self) -> Waiting {
        loop {
            let Some(until) = self.oldest().and_then(|oldest| oldest.until) else {
                self.sent.notified().await;
                continue;
            };
            // Most are answered long before: then this is about the one that is the oldest by then.
            sleep_until(until).await;
            let mut waiting = self.waiting();
            let late = waiting
                .front()
                .is_some_and(|oldest| oldest.until <= Some(Instant::now()));
            if let Some(oldest) = late.then(|| waiting.pop_front()).flatten() {
                return oldest;
            }
        }
    }

    /// All that will have no answer, since the connection is lost.
    pub(crate) fn lost(self) -> impl Iterator<Item = Waiting> {
        let waiting = self.waiting.into_inner();
        waiting.unwrap_or_else(PoisonError::into_inner).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::{Json, Payload};

    const ANSWER: Duration = Duration::from_secs(30);

    fn id(number: u64) -> EventId {
        EventId { visitor: 0, number }
    }

    fn ledger(answer: Option<Duration>) -> Ledger {
        Ledger::new(answer, Some("/id".parse().unwrap()), id(0))
    }

    fn reply(value: Value) -> Event {
        Event::bytes("", false).with(Payload::Json(Json::from(value)))
    }

    fn left(ledger: Ledger) -> Vec<u64> {
        ledger.lost().map(|waiting| waiting.id.number).collect()
    }

    #[test]
    fn an_answer_that_carries_a_correlation_answers_that_request_in_whatever_order() {
        let ledger = ledger(Some(ANSWER));
        ledger.sent(id(0), Some(json!("a")));
        ledger.sent(id(1), Some(json!(["b", 1])));
        let mut second = reply(json!({"id": ["b", 1]}));
        ledger.answered(&mut second);
        assert_eq!(second.correlation, Some(json!(["b", 1])));
        assert_eq!(left(ledger), [0]);
    }

    #[test]
    fn an_answer_without_one_is_the_oldests_and_is_given_its_correlation() {
        let ledger = ledger(Some(ANSWER));
        ledger.sent(id(0), Some(json!("a")));
        ledger.sent(id(1), None);
        let mut first = reply(json!({"ok": true}));
        ledger.answered(&mut first);
        assert_eq!(first.json(), Some(&json!({"ok": true, "id": "a"})));
        let mut second = reply(json!({"ok": true}));
        ledger.answered(&mut second);
        assert_eq!(second.json(), Some(&json!({"ok": true})));
        assert!(left(ledger).is_empty());
    }

    #[test]
    fn what_the_upstream_says_of_its_own_accord_shifts_no_answer() {
        let ledger = ledger(Some(ANSWER));
        ledger.sent(id(0), Some(json!("a")));
        let mut push = reply(json!({"id": "unasked"}));
        ledger.answered(&mut push);
        assert_eq!(push, reply(json!({"id": "unasked"})));
        assert_eq!(left(ledger), [0]);
    }

    #[test]
    fn without_a_time_for_answers_only_the_last_event_is_remembered() {
        let ledger = ledger(None);
        for number in 0..1000 {
            ledger.sent(id(number), None);
        }
        assert_eq!(left(ledger), [999]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_overdue_when_its_own_time_is_over() {
        let ledger = ledger(Some(ANSWER));
        let begun = Instant::now();
        ledger.sent(id(0), None);
        tokio::time::advance(ANSWER / 2).await;
        ledger.sent(id(1), None);
        ledger.answered(&mut reply(json!({})));
        assert_eq!(ledger.overdue().await.id, id(1));
        assert_eq!(begun.elapsed().as_secs(), 45);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_too_many_requests_under_way_waits_for_an_answer() {
        let ledger = ledger(Some(ANSWER));
        for number in 0..128 {
            ledger.room().await;
            ledger.sent(id(number), None);
        }
        let mut room = std::pin::pin!(ledger.room());
        let waited = tokio::time::timeout(Duration::from_secs(1), &mut room).await;
        assert!(waited.is_err());
        ledger.answered(&mut reply(json!({})));
        room.await;
    }
}
