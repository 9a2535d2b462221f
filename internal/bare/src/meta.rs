//! What is remembered of WebSockets between the requests that make one up (versions 1 and 2).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::error::BareError;
use crate::headers::{ID, fields::Fields, text};
use crate::remote::Heard;
use crate::target::Target;

/// How long a record is kept: after it was made, and once more after its WebSocket was opened.
const KEPT: Duration = Duration::from_secs(30);

/// Most records at a time, and most bytes of them.
const MAX_RECORDS: usize = 4096;
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What a WebSocket of version 2 was asked for with.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) target: Target,
    pub(crate) fields: Fields,
    pub(crate) forward: Vec<http::HeaderName>,
}

/// The version that made a record, and what it has to remember.
#[derive(Debug, Clone)]
pub(crate) enum Record {
    V1(Option<Heard>),
    V2(Box<Wanted>, Option<Heard>),
}

impl Record {
    fn size(&self) -> usize {
        let heard = |heard: &Option<Heard>| heard.as_ref().map_or(0, Heard::size);
        match self {
            Self::V1(answer) => heard(answer),
            Self::V2(wanted, answer) => {
                wanted.fields.size() + wanted.target.path.as_str().len() + heard(answer)
            }
        }
    }
}

/// The records, by their ids.
#[derive(Default)]
pub(crate) struct Store(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    records: HashMap<String, (Instant, Record)>,
    bytes: usize,
}

impl Store {
    /// Keeps a record; its id, which nobody can guess.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) fn insert(&self, record: Record) -> Result<String, BareError> {
        let mut random = [0; 16];
        if getrandom::fill(&mut random).is_err() {
            return Err(BareError::overloaded("No random numbers."));
        }
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut kept = self.lock();
        if kept.records.len() >= MAX_RECORDS || kept.bytes + record.size() > MAX_BYTES {
            kept.expire();
        }
        if kept.records.len() >= MAX_RECORDS || kept.bytes + record.size() > MAX_BYTES {
            return Err(BareError::overloaded(
                "Too many WebSockets are being opened.",
            ));
        }
        kept.put(id.clone(), record);
        Ok(id)
    }

    /// A record that has not expired.
    pub(crate) fn get(&self, id: &str) -> Option<Record> {
        let kept = self.lock();
        let (until, record) = kept.records.get(id)?;
        (*until > Instant::now()).then(|| record.clone())
    }

    /// Takes a record that has not expired, if `wanted`.
    pub(crate) fn take_if(&self, id: &str, wanted: impl Fn(&Record) -> bool) -> Option<Record> {
        let mut kept = self.lock();
        let (until, record) = kept.records.get(id)?;
        if *until <= Instant::now() || !wanted(record) {
            return None;
        }
        kept.remove(id)
    }

    /// Remembers what the remote answered; the record is kept anew from now. Of one that is gone nothing is.
    pub(crate) fn opened(&self, id: &str, heard: Heard) {
        let mut kept = self.lock();
        let record = match kept.remove(id) {
            Some(Record::V1(_)) => Record::V1(Some(heard)),
            Some(Record::V2(wanted, _)) => Record::V2(wanted, Some(heard)),
            None => return,
        };
        kept.put(id.to_owned(), record);
    }

    /// The id that a request names.
    pub(crate) fn id(headers: &HeaderMap) -> Result<String, BareError> {
        text(headers, ID).ok_or_else(|| BareError::missing(ID))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn put(&mut self, id: String, record: Record) {
        self.bytes += record.size();
        self.records.insert(id, (Instant::now() + KEPT, record));
    }

    fn remove(&mut self, id: &str) -> Option<Record> {
        let (_, record) = self.records.remove(id)?;
        self.bytes -= record.size();
        Some(record)
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.records.retain(|_, (until, record)| {
            let kept = *until > now;
            if !kept {
                self.bytes -= record.size();
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_record_is_kept_for_30_s_and_again_once_its_socket_is_open() {
        let store = Store::default();
        let id = store.insert(Record::V1(None)).unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        advance(Duration::from_secs(29)).await;
        store.opened(&id, Heard::default());
        advance(Duration::from_secs(29)).await;
        assert!(matches!(store.get(&id), Some(Record::V1(Some(_)))));
        advance(Duration::from_secs(1)).await;
        assert!(store.get(&id).is_none());
        assert!(store.take_if(&id, |_| true).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn records_are_bounded_and_the_expired_make_room() {
        let store = Store::default();
        for _ in 0..MAX_RECORDS {
            store.insert(Record::V1(None)).unwrap();
        }
        assert_eq!(store.insert(Record::V1(None)).unwrap_err().status, 503);
        advance(KEPT).await;
        store.insert(Record::V1(None)).unwrap();
        let kept = store.lock();
        assert_eq!((kept.records.len(), kept.bytes), (1, 0));
    }
}
