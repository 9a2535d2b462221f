//! Hosts that belong to nobody here: whoever can put a record into a domain's
//! DNS may publish under it.
//!
//! The record is TXT `_adit.<host>` with `adit=<label>`, where the label is that
//! of the key. It is looked up once, when an agent registers.

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{sync::Semaphore, time::timeout};

/// How long all of a look-up may take; a handshake has twice that.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Look-ups under way; further agents are told to come back.
const MAX_LOOKUPS: usize = 64;

/// Texts of an answer that are looked at.
const MAX_TEXTS: usize = 64;

/// Asks the DNS for texts.
pub trait TxtResolver: fmt::Debug + Send + Sync {
    /// The TXT records of a name, each with its parts joined. Whoever asks gives
    /// up after five seconds; dropping the future is enough.
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, TxtError>>;
}

/// Why the DNS has no such texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TxtError {
    /// There is no such name (NXDOMAIN).
    #[error("there is no such name in the DNS")]
    NoSuchName,
    /// The name is there, without TXT records.
    #[error("that name has no TXT record")]
    NoTexts,
    /// The name is an alias (CNAME) of this one, which has no TXT records or is
    /// not there.
    #[error(
        "that name is an alias (CNAME) of {0}, which has no TXT record: put it there, or in place of the alias"
    )]
    Alias(String),
    /// No name server answered, or not in a way that could be understood.
    #[error("the DNS could not be asked: {0}")]
    Unavailable(String),
}

/// Why a host was not proved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotProved {
    /// To be mended by whoever has the domain.
    #[error(
        "{why}; to prove that {host} is yours, set the TXT record _adit.{bare} to adit={label}"
    )]
    Record {
        host: String,
        bare: String,
        label: String,
        why: String,
    },
    /// To be tried again.
    #[error("{0} cannot be checked now: {1}")]
    Passing(String, String),
}

/// The one who looks up, with a bound on how much at a time.
#[derive(Debug)]
pub(crate) struct Prover {
    lookups: Semaphore,
}

impl Default for Prover {
    fn default() -> Self {
        Self {
            lookups: Semaphore::new(MAX_LOOKUPS),
        }
    }
}

impl Prover {
    /// Whether the DNS says that `host` (canonical, perhaps a wildcard) may be
    /// published by the key whose label this is.
    pub(crate) async fn prove(
        &self,
        resolver: &dyn TxtResolver,
        host: &str,
        label: &str,
    ) -> Result<(), NotProved> {
        let passing = |why: &str| NotProved::Passing(host.to_owned(), why.to_owned());
        let Ok(_one) = self.lookups.try_acquire() else {
            return Err(passing("too many look-ups are under way"));
        };
        let bare = host.strip_prefix("*.").unwrap_or(host);
        let record = |why: String| NotProved::Record {
            host: host.to_owned(),
            bare: bare.to_owned(),
            label: label.to_owned(),
            why,
        };
        let name = format!("_adit.{bare}");
        let asked = timeout(LOOKUP_TIMEOUT, resolver.texts(&name)).await;
        let texts = match asked {
            Ok(Ok(texts)) => texts,
            Ok(Err(TxtError::Unavailable(why))) => return Err(passing(&why)),
            Ok(Err(missing)) => return Err(record(format!("{name}: {missing}"))),
            Err(_) => return Err(passing("the DNS took longer than five seconds")),
        };
        let wanted = format!("adit={label}");
        let mut texts = texts.iter().take(MAX_TEXTS);
        if texts.any(|text| text.trim() == wanted) {
            return Ok(());
        }
        Err(record(format!(
            "{name} has TXT records, and none of them names this key"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Says(Result<Vec<String>, TxtError>);

    impl TxtResolver for Says {
        fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, TxtError>> {
            assert_eq!(name, "_adit.app.example.org");
            Box::pin(std::future::ready(self.0.clone()))
        }
    }

    #[derive(Debug)]
    struct Silent;

    impl TxtResolver for Silent {
        fn texts<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<String>, TxtError>> {
            Box::pin(std::future::pending())
        }
    }

    async fn prove(host: &str, answer: Result<&[&str], TxtError>) -> Result<(), String> {
        let answer = answer.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect());
        let proved = Prover::default().prove(&Says(answer), host, "k7q").await;
        proved.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_record_that_names_the_key_proves_a_host_and_all_below_it() {
        for host in ["app.example.org", "*.app.example.org"] {
            let texts: &[_] = &["v=spf1 -all", "adit=other", "adit=k7q"];
            assert_eq!(prove(host, Ok(texts)).await, Ok(()));
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_said_with_what_to_do() {
        let cure = "; to prove that app.example.org is yours, set the TXT record _adit.app.example.org to adit=k7q";
        for (answer, why) in [
            (
                Ok(&["adit=k7", "adit=k7qq", "k7q"][..]),
                "_adit.app.example.org has TXT records, and none of them names this key",
            ),
            (
                Err(TxtError::NoSuchName),
                "_adit.app.example.org: there is no such name in the DNS",
            ),
            (
                Err(TxtError::NoTexts),
                "_adit.app.example.org: that name has no TXT record",
            ),
            (
                Err(TxtError::Alias("adit.example".to_owned())),
                "_adit.app.example.org: that name is an alias (CNAME) of adit.example, which has no TXT record: put it there, or in place of the alias",
            ),
        ] {
            let said = prove("app.example.org", answer).await.unwrap_err();
            assert_eq!(said, format!("{why}{cure}"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dns_that_does_not_answer_is_waited_for_five_seconds() {
        let began = tokio::time::Instant::now();
        let proved = Prover::default()
            .prove(&Silent, "app.example.org", "k7q")
            .await;
        assert!(matches!(proved, Err(NotProved::Passing(..))), "{proved:?}");
        assert_eq!(began.elapsed(), LOOKUP_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn look_ups_are_bounded() {
        let prover = Prover::default();
        let mut waiting: Vec<_> = (0..MAX_LOOKUPS)
            .map(|_| Box::pin(prover.prove(&Silent, "app.example.org", "k7q")))
            .collect();
        for lookup in &mut waiting {
            assert!(futures_util::poll!(lookup).is_pending());
        }
        let one_more = prover.prove(&Silent, "app.example.org", "k7q").await;
        assert!(
            one_more
                .unwrap_err()
                .to_string()
                .contains("too many look-ups")
        );
    }
}
