//! One-shot values: put once, taken once, gone when their time is over. Bounded in number and in bytes.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::{MAX_KEY, MAX_VALUE, PutError};

/// How many values may wait. With short lives (a ticket: a minute) that is some 270 new ones each second.
const MAX_COUNT: usize = 16 * 1024;

/// How many bytes of keys and values may wait in all.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A value nobody takes within a day is not a one-shot value; the bound also keeps instants from overflowing.
const MAX_TTL: Duration = Duration::from_hours(24);

#[derive(Debug, Default)]
pub(super) struct Values {
    by_key: HashMap<String, Waiting>,
    /// The same keys in the order they expire.
    by_expiry: BTreeSet<(Instant, String)>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    value: Bytes,
    expires: Instant,
}

impl Values {
    /// A value already waiting under the key is replaced. Living values are never pushed out by new ones: a flood must
    /// not take away what was promised, so it is refused instead.
    pub(super) fn put(
        &mut self,
        key: &str,
        value: &[u8],
        ttl: Duration,
        now: Instant,
    ) -> Result<(), PutError> {
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            return Err(PutError::TooLarge);
        }
        self.forget_expired(now);
        let replaced = self.by_key.get(key);
        let freed = replaced.map_or(0, |waiting| key.len() + waiting.value.len());
        let count = self.by_key.len() + usize::from(replaced.is_none());
        if count > MAX_COUNT || self.bytes - freed + key.len() + value.len() > MAX_BYTES {
            return Err(PutError::Full);
        }
        self.remove(key);
        let expires = now + ttl.min(MAX_TTL);
        // Copied, for a slice would keep alive the whole buffer that it came from, out of these bounds.
        let value = Bytes::copy_from_slice(value);
        self.bytes += key.len() + value.len();
        self.by_expiry.insert((expires, key.to_owned()));
        self.by_key
            .insert(key.to_owned(), Waiting { value, expires });
        Ok(())
    }

    pub(super) fn take(&mut self, key: &str, now: Instant) -> Option<Bytes> {
        self.forget_expired(now);
        self.remove(key)
    }

    pub(super) fn forget_expired(&mut self, now: Instant) {
        while self
            .by_expiry
            .first()
            .is_some_and(|(expires, _)| *expires <= now)
        {
            if let Some((_, key)) = self.by_expiry.pop_first() {
                self.remove(&key);
            }
        }
    }

    fn remove(&mut self, key: &str) -> Option<Bytes> {
        let (key, Waiting { value, expires }) = self.by_key.remove_entry(key)?;
        self.bytes -= key.len() + value.len();
        self.by_expiry.remove(&(expires, key));
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_flood_is_refused_until_values_expire() {
        let mut values = Values::default();
        let now = Instant::now();
        for n in 0..MAX_COUNT {
            values
                .put(&n.to_string(), b"", MINUTE, now)
                .expect("there is room");
        }
        let late = |values: &mut Values, now| values.put("late", b"", MINUTE, now);
        assert_eq!(late(&mut values, now), Err(PutError::Full));
        assert_eq!(
            values.put("7", b"again", MINUTE, now),
            Ok(()),
            "replacing needs no room"
        );
        assert_eq!(late(&mut values, now + MINUTE), Ok(()));
        assert_eq!(values.by_key.len(), 1);
        assert_eq!(values.by_expiry.len(), 1);
    }

    #[test]
    fn bytes_are_bounded_too_and_given_back_when_taken() {
        let mut values = Values::default();
        let now = Instant::now();
        let large = Bytes::from(vec![0; MAX_VALUE]);
        let mut kept = 0;
        while values
            .put(&format!("{kept:08}"), &large, MINUTE, now)
            .is_ok()
        {
            kept += 1;
        }
        assert_eq!(kept, MAX_BYTES / (MAX_VALUE + 8));
        assert_eq!(values.take("00000000", now), Some(large.clone()));
        assert_eq!(values.put("00000000", &large, MINUTE, now), Ok(()));
        for n in 0..kept {
            values.take(&format!("{n:08}"), now).expect("it was put");
        }
        assert_eq!(values.bytes, 0);
    }

    #[test]
    fn an_endless_life_is_cut_to_a_day() {
        let mut values = Values::default();
        let now = Instant::now();
        values
            .put("k", b"v", Duration::MAX, now)
            .expect("there is room");
        assert_eq!(values.take("k", now + MAX_TTL), None);
    }
}
