//! What follows from the answers: what the owner is told, and when the links are made anew. No clock and no sockets.

use std::time::Duration;

use super::{SelfCheck, Verdict};
use crate::backoff::spread;

/// From one question to the next. With its jitter it is 45 to 75 s.
const EVERY: Duration = Duration::from_secs(60);

/// From a question that was missed to the one that decides.
const AGAIN: Duration = Duration::from_secs(5);

/// Questions in a row that must be missed: one may fall into the restart of a proxy.
const MISSES: u32 = 2;

/// How often the time between two renewals doubles, to 16 min. An agent whose own network does not let it reach its
/// public address would renew links that serve everybody else.
const DOUBLINGS: u32 = 4;

/// Counts misses and renewals.
#[derive(Default)]
pub(super) struct Judge {
    missed: u32,
    /// Since a question was last answered.
    renewals: u32,
    /// What the owner knows.
    told: Option<SelfCheck>,
}

/// What to do after a verdict.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) tell: Option<SelfCheck>,
    pub(super) renew: bool,
    pub(super) wait: Duration,
}

impl Judge {
    pub(super) fn hear(&mut self, verdict: Verdict) -> Next {
        let quiet = Next {
            tell: None,
            renew: false,
            wait: EVERY * 3 / 4 + spread(EVERY / 2),
        };
        let found = match verdict {
            Verdict::Reached => SelfCheck::Reachable,
            Verdict::Guarded(rule) => SelfCheck::Guarded { rule },
            Verdict::Unclear(why) => {
                tracing::debug!(why, "the self-check has no answer");
                return quiet;
            }
            Verdict::Missed(why) => return self.miss(why, quiet),
        };
        (self.missed, self.renewals) = (0, 0);
        let news = self.told.as_ref() != Some(&found);
        Next {
            tell: news.then(|| self.told.insert(found).clone()),
            ..quiet
        }
    }

    fn miss(&mut self, why: String, quiet: Next) -> Next {
        self.missed += 1;
        if self.missed < MISSES {
            tracing::debug!(why, "the self-check was missed; asking once more");
            return Next {
                wait: AGAIN,
                ..quiet
            };
        }
        let doubled = 1 << self.renewals.min(DOUBLINGS);
        self.renewals = self.renewals.saturating_add(1);
        self.missed = 0;
        let found = SelfCheck::Unreachable { why };
        Next {
            tell: Some(self.told.insert(found).clone()),
            renew: true,
            wait: quiet.wait * doubled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed() -> Verdict {
        Verdict::Missed("nobody".to_owned())
    }

    #[test]
    fn good_news_is_told_once_and_asked_for_every_minute_or_so() {
        let mut judge = Judge::default();
        assert_eq!(
            judge.hear(Verdict::Reached).tell,
            Some(SelfCheck::Reachable)
        );
        let waits: Vec<_> = (0..50)
            .map(|_| {
                let next = judge.hear(Verdict::Reached);
                assert!(next.tell.is_none() && !next.renew);
                next.wait.as_secs()
            })
            .collect();
        assert!(waits.iter().all(|wait| (45..=75).contains(wait)));
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
        let guarded = judge.hear(Verdict::Guarded("a password")).tell;
        assert_eq!(guarded, Some(SelfCheck::Guarded { rule: "a password" }));
    }

    #[test]
    fn the_second_miss_in_a_row_renews_and_one_alone_does_not() {
        let mut judge = Judge::default();
        for _ in 0..3 {
            let first = judge.hear(missed());
            assert!(first.tell.is_none() && !first.renew);
            assert_eq!(first.wait, AGAIN);
            judge.hear(Verdict::Reached);
        }
        judge.hear(missed());
        let unclear = judge.hear(Verdict::Unclear("busy".to_owned()));
        assert!(unclear.tell.is_none() && !unclear.renew);
        let second = judge.hear(missed());
        assert!(second.renew);
        let why = "nobody".to_owned();
        assert_eq!(second.tell, Some(SelfCheck::Unreachable { why }));
        assert_eq!(
            judge.hear(Verdict::Reached).tell,
            Some(SelfCheck::Reachable)
        );
    }

    #[test]
    fn renewals_that_do_not_help_become_rare() {
        let mut judge = Judge::default();
        let mut renewal = || {
            judge.hear(missed());
            judge.hear(missed()).wait.as_secs()
        };
        for minutes in [1, 2, 4, 8, 16, 16, 16] {
            let wait = renewal();
            assert!((45 * minutes..=75 * minutes).contains(&wait), "{wait} s");
        }
    }
}
