//! Records behind their length: eight bytes, big endian, as the reference's step of that name has them.

use bytes::{Buf as _, Bytes, BytesMut};

use super::{Codec, Step, StepError, each};
use crate::event::{Event, Payload};

/// The bytes of a length.
const PREFIX: usize = 8;

/// Records of at most so many bytes, each behind its length.
#[derive(Debug, Clone, Copy)]
pub struct LengthPrefixed {
    /// The limit. A longer one is an error, and the next message begins a record again.
    pub longest: usize,
}

impl Codec for LengthPrefixed {
    fn decoder(&self) -> Option<Box<dyn Step>> {
        Some(Box::new(Records {
            longest: self.longest,
            held: BytesMut::new(),
            rest: Bytes::new(),
            from: Event::bytes(Bytes::new(), false),
        }))
    }

    fn encoder(&self) -> Option<Box<dyn Step>> {
        Some(each(|mut event: Event| {
            let data = event.take_bytes();
            let mut record = BytesMut::with_capacity(PREFIX + data.len());
            record.extend_from_slice(&(data.len() as u64).to_be_bytes());
            record.extend_from_slice(&data);
            Ok(Some(event.with(Payload::Bytes(record.freeze()))))
        }))
    }
}

struct Records {
    longest: usize,
    /// A record that is not whole yet, with its length. Never longer than both together.
    held: BytesMut,
    /// What is left of the message.
    rest: Bytes,
    /// What the message says beside its bytes.
    from: Event,
}

impl Records {
    /// Moves from the message until `wanted` bytes are held; whether they are.
    fn fill(&mut self, wanted: usize) -> bool {
        let missing = wanted.saturating_sub(self.held.len());
        let part = self.rest.split_to(missing.min(self.rest.len()));
        self.held.extend_from_slice(&part);
        self.held.len() >= wanted
    }

    /// The length of the record that begins, once its prefix is whole.
    fn length(&mut self) -> Option<Result<usize, StepError>> {
        if !self.fill(PREFIX) {
            return None;
        }
        let length = self.held.as_ref().get_u64();
        let fits = usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.longest);
        Some(fits.ok_or_else(|| {
            self.held = BytesMut::new();
            self.rest = Bytes::new();
            StepError::TooLarge(format!(
                "a record of length {length} exceeds the maximum allowed length of {}",
                self.longest
            ))
        }))
    }
}

impl Step for Records {
    fn take(&mut self, mut event: Event) {
        self.rest = event.take_bytes();
        self.from = event;
    }

    fn next(&mut self) -> Option<Result<Event, StepError>> {
        if self.rest.is_empty() {
            return None;
        }
        let length = match self.length()? {
            Ok(length) => length,
            Err(error) => return Some(Err(error)),
        };
        if !self.fill(PREFIX + length) {
            return None;
        }
        let mut record = self.held.split();
        record.advance(PREFIX);
        let record = Payload::Bytes(record.freeze());
        Some(Ok(self.from.clone().with(record)))
    }

    fn finish(&mut self) -> Result<(), StepError> {
        match self.held.len() {
            0 => Ok(()),
            length => Err(StepError::Invalid(format!(
                "discarded {length} bytes of a record: the connection ended before the record did"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{give, ok};
    use super::*;

    fn record(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_be_bytes(), text.as_bytes()].concat()
    }

    fn records(longest: usize) -> Box<dyn Step> {
        LengthPrefixed { longest }.decoder().unwrap()
    }

    #[test]
    fn records_are_found_wherever_messages_were_cut() {
        let stream = [record("one"), record(""), record("three")].concat();
        for size in 1..=stream.len() {
            let mut step = records(16);
            let given: Vec<_> = stream
                .chunks(size)
                .flat_map(|message| give(&mut *step, message))
                .collect();
            assert_eq!(given, ok(&["one", "", "three"]), "messages of {size} bytes");
            assert_eq!(step.finish(), Ok(()));
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_anything_is_stored_and_the_next_message_works() {
        let mut step = records(4);
        let refused = give(&mut *step, [&u64::MAX.to_be_bytes()[..], b"x"].concat());
        assert!(
            matches!(&*refused, [Err(StepError::TooLarge(_))]),
            "{refused:?}"
        );
        assert_eq!(give(&mut *step, record("four")), ok(&["four"]));
    }

    #[test]
    fn half_a_record_at_the_end_is_an_error() {
        let mut step = records(16);
        give(&mut *step, &record("one")[..9]);
        assert!(matches!(step.finish(), Err(StepError::Invalid(_))));
    }

    #[test]
    fn each_event_leaves_behind_its_length() {
        let mut step = LengthPrefixed { longest: 4 }.encoder().unwrap();
        let given = give(&mut *step, "ab");
        assert_eq!(given, ok(&["\0\0\0\0\0\0\0\u{2}ab"]));
    }
}
