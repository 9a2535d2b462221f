//! What was found for tunnels, for a short time, and one question for all who ask the same at once. The texts of policies
//! are kept with it for as long as a tunnel is remembered: they cannot become wrong.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use messages::{PolicyId, TunnelId};
use tokio::time::Instant;

use super::locked;
use super::timing::Timing;
use crate::documents::Documents;
use crate::{Routes, Unavailable};

/// How many tunnels are remembered. With what is believed for a second or two, that is more than 30,000 different ones
/// each second.
const MAX_KNOWN: usize = 64 * 1024;

/// How many bytes of policies' texts are remembered in all.
const MAX_TEXT: usize = 32 * 1024 * 1024;

/// The answer to a question that several may await.
pub(super) type Answer = Shared<BoxFuture<'static, Result<Routes, Unavailable>>>;

pub(super) struct Cache {
    entries: Mutex<Entries>,
    /// Numbers the questions: an answer that was overtaken by an invalidation is not remembered.
    questions: AtomicU64,
    found: Duration,
    not_found: Duration,
    /// A question older than that is asked anew: whoever asked it may have gone, and then nobody drives it.
    patience: Duration,
}

/// For how long after its routes were found wrong a tunnel is taken to be on its way to another node: what is not found
/// is then asked again soon.
const MOVING: Duration = Duration::from_secs(3);

/// How much sooner.
const SOONER: u32 = 5;

#[derive(Default)]
struct Entries {
    by_tunnel: HashMap<TunnelId, Entry>,
    /// How many bytes of texts they hold.
    text: usize,
}

#[derive(Default)]
struct Entry {
    state: State,
    documents: Documents,
    /// Set when the routes were found wrong.
    moving_until: Option<Instant>,
}

#[derive(Default)]
enum State {
    Known {
        routes: Routes,
        until: Instant,
    },
    Asked {
        question: u64,
        at: Instant,
        answer: Answer,
    },
    #[default]
    Forgotten,
}

/// What the cache has for somebody who asks.
pub(super) enum Found {
    Known(Routes),
    Asked(Answer),
}

impl Cache {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            entries: Mutex::default(),
            questions: AtomicU64::new(0),
            found: timing.found,
            not_found: timing.not_found,
            patience: timing.command,
        }
    }

    /// What is known of a tunnel, or the answer to await; `ask` is given the number of its question, to
    /// [`settle`](Self::settle) it.
    pub(super) fn get(
        &self,
        tunnel: TunnelId,
        ask: impl FnOnce(u64) -> BoxFuture<'static, Result<Routes, Unavailable>>,
    ) -> Found {
        let now = Instant::now();
        let mut entries = locked(&self.entries);
        let known = entries.by_tunnel.get(&tunnel);
        match known.map(|entry| &entry.state) {
            Some(State::Known { routes, until }) if now < *until => {
                return Found::Known(Routes::clone(routes));
            }
            Some(State::Asked { at, answer, .. }) if now - *at < self.patience => {
                return Found::Asked(answer.clone());
            }
            _ => {}
        }
        if entries.by_tunnel.len() >= MAX_KNOWN {
            entries.retain(|_, entry| entry.is_fresh(now, self.patience));
        }
        if entries.by_tunnel.len() >= MAX_KNOWN {
            *entries = Entries::default();
        }
        let question = self.questions.fetch_add(1, Ordering::Relaxed);
        let answer = ask(question).shared();
        let entry = entries.by_tunnel.entry(tunnel).or_default();
        entry.state = State::Asked {
            question,
            at: now,
            answer: answer.clone(),
        };
        Found::Asked(answer)
    }

    /// The text of a policy, where a look-up of the tunnel has found it.
    pub(super) fn document(&self, tunnel: TunnelId, policy: PolicyId) -> Option<Bytes> {
        let entries = locked(&self.entries);
        entries.by_tunnel.get(&tunnel)?.documents.get(policy)
    }

    /// Remembers an answer, unless the tunnel was forgotten since the question. An error is not remembered.
    pub(super) fn settle(
        &self,
        tunnel: TunnelId,
        question: u64,
        answer: Result<&(Routes, Documents), &Unavailable>,
    ) {
        let now = Instant::now();
        let mut entries = locked(&self.entries);
        let Some(entry) = entries.by_tunnel.get_mut(&tunnel) else {
            return;
        };
        let is_open = match entry.state {
            State::Asked { question: open, .. } => open == question,
            // Its texts are the newer ones.
            State::Known { .. } => return,
            State::Forgotten => false,
        };
        if is_open {
            entry.state = match answer {
                Ok((routes, _)) => State::Known {
                    routes: Routes::clone(routes),
                    until: now + self.kept(routes, entry.is_moving(now)),
                },
                Err(Unavailable) => State::Forgotten,
            };
        }
        if let Ok((_, documents)) = answer {
            let before = std::mem::replace(&mut entry.documents, documents.clone()).len();
            entries.text = entries.text - before + documents.len();
            self.bound_text(&mut entries, tunnel, now);
        }
    }

    /// Forgets others, those first that are not believed any more, until the texts have room.
    fn bound_text(&self, entries: &mut Entries, but: TunnelId, now: Instant) {
        if entries.text > MAX_TEXT {
            entries.retain(|tunnel, entry| *tunnel == but || entry.is_fresh(now, self.patience));
        }
        if entries.text > MAX_TEXT {
            entries.retain(|tunnel, _| *tunnel == but);
        }
    }

    fn kept(&self, routes: &Routes, moving: bool) -> Duration {
        match (routes.is_empty(), moving) {
            (false, _) => self.found,
            (true, false) => self.not_found,
            (true, true) => self.not_found / SOONER,
        }
    }

    /// The routes were wrong. Nothing is remembered of a tunnel that nobody asked for.
    pub(super) fn forget(&self, tunnel: TunnelId) {
        if let Some(entry) = locked(&self.entries).by_tunnel.get_mut(&tunnel) {
            entry.state = State::Forgotten;
            entry.moving_until = Some(Instant::now() + MOVING);
        }
    }

    pub(super) fn forget_all(&self) {
        *locked(&self.entries) = Entries::default();
    }
}

impl Entries {
    fn retain(&mut self, keep: impl Fn(&TunnelId, &Entry) -> bool) {
        self.by_tunnel.retain(|tunnel, entry| keep(tunnel, entry));
        let kept = self.by_tunnel.values();
        self.text = kept.map(|entry| entry.documents.len()).sum();
    }
}

impl Entry {
    fn is_fresh(&self, now: Instant, patience: Duration) -> bool {
        match &self.state {
            State::Known { until, .. } => now < *until,
            State::Asked { at, .. } => now - *at < patience,
            State::Forgotten => self.is_moving(now),
        }
    }

    fn is_moving(&self, now: Instant) -> bool {
        self.moving_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future;

    use super::*;

    const TUNNEL: TunnelId = TunnelId([1; 32]);

    fn none() -> (Routes, Documents) {
        (Routes::from([]), Documents::default())
    }

    /// Asks, and says whether a question was put.
    async fn look(cache: &Arc<Cache>, answer: Result<(Routes, Documents), Unavailable>) -> bool {
        let mut asked = false;
        let found = cache.get(TUNNEL, |question| {
            asked = true;
            let cache = Arc::clone(cache);
            async move {
                cache.settle(TUNNEL, question, answer.as_ref());
                answer.map(|(routes, _)| routes)
            }
            .boxed()
        });
        if let Found::Asked(answer) = found {
            let _answered = answer.await;
        }
        asked
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_believed_for_a_second_and_errors_never() {
        let timing = Timing::default();
        let cache = Arc::new(Cache::new(&timing));
        assert!(look(&cache, Err(Unavailable)).await);
        assert!(look(&cache, Ok(none())).await);
        assert!(!look(&cache, Ok(none())).await);
        tokio::time::advance(timing.not_found).await;
        assert!(look(&cache, Ok(none())).await);
        cache.forget(TUNNEL);
        assert!(look(&cache, Ok(none())).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_that_was_just_there_is_looked_for_more_often() {
        let timing = Timing::default();
        let cache = Arc::new(Cache::new(&timing));
        assert!(look(&cache, Ok(none())).await);
        cache.forget(TUNNEL);
        assert!(look(&cache, Ok(none())).await);
        assert!(!look(&cache, Ok(none())).await);
        tokio::time::advance(timing.not_found / SOONER).await;
        assert!(look(&cache, Ok(none())).await, "it may have come back");
        tokio::time::advance(MOVING).await;
        assert!(look(&cache, Ok(none())).await);
        tokio::time::advance(timing.not_found / SOONER).await;
        assert!(!look(&cache, Ok(none())).await, "it seems gone for good");
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_at_once_share_one_question() {
        let cache = Cache::new(&Timing::default());
        let ask = |_| future::ready(Ok(none().0)).boxed();
        let Found::Asked(first) = cache.get(TUNNEL, ask) else {
            panic!("nothing is known yet");
        };
        let Found::Asked(second) = cache.get(TUNNEL, |_| panic!("it was asked already")) else {
            panic!("nothing is known yet");
        };
        assert!(first.ptr_eq(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_from_before_is_not_remembered() {
        let cache = Cache::new(&Timing::default());
        let mut number = 0;
        cache.get(TUNNEL, |question| {
            number = question;
            future::pending().boxed()
        });
        cache.forget(TUNNEL);
        cache.settle(TUNNEL, number, Ok(&none()));
        let found = cache.get(TUNNEL, |_| future::pending().boxed());
        assert!(matches!(found, Found::Asked(_)));
    }

    fn ruled(policy: u8, len: usize) -> (Routes, Documents) {
        let text = Bytes::from(vec![policy; len]);
        let documents = [(PolicyId([policy; 32]), text)];
        (Routes::from([]), documents.into_iter().collect())
    }

    fn settle(cache: &Cache, tunnel: TunnelId, answer: &(Routes, Documents)) {
        let mut number = 0;
        cache.get(tunnel, |question| {
            number = question;
            future::pending().boxed()
        });
        cache.settle(tunnel, number, Ok(answer));
    }

    #[tokio::test(start_paused = true)]
    async fn the_text_of_a_policy_outlives_what_is_believed_of_its_tunnel() {
        let timing = Timing::default();
        let cache = Cache::new(&timing);
        let document = || cache.document(TUNNEL, PolicyId([1; 32]));
        assert_eq!(document(), None);
        settle(&cache, TUNNEL, &ruled(1, 10));
        tokio::time::advance(timing.found).await;
        cache.get(TUNNEL, |_| future::pending().boxed());
        cache.forget(TUNNEL);
        assert_eq!(document(), Some(Bytes::from(vec![1; 10])));
        settle(&cache, TUNNEL, &ruled(2, 10));
        assert_eq!(document(), None, "the tunnel has another one now");
        assert_eq!(locked(&cache.entries).text, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn texts_are_bounded_and_the_latest_stays() {
        let cache = Cache::new(&Timing::default());
        let tunnel = |n| TunnelId([n; 32]);
        for n in 1..=5 {
            settle(&cache, tunnel(n), &ruled(n, MAX_TEXT / 4));
        }
        assert_eq!(locked(&cache.entries).text, MAX_TEXT / 4);
        assert_eq!(cache.document(tunnel(1), PolicyId([1; 32])), None);
        let last = cache.document(tunnel(5), PolicyId([5; 32]));
        assert!(last.is_some());
    }
}
