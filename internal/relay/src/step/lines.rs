//! Lines: messages are split at line feeds, and each event leaves with one.

use bytes::{Buf as _, Bytes, BytesMut};

use super::{Codec, Step, StepError, each};
use crate::event::{Event, Payload};

/// Lines of at most so many bytes, without their line feed. A carriage return before it is part of the line.
#[derive(Debug, Clone, Copy)]
pub struct Lines {
    /// The limit. Longer ones are an error each, and the lines behind them are not touched.
    pub longest: usize,
}

impl Codec for Lines {
    fn decoder(&self) -> Option<Box<dyn Step>> {
        Some(Box::new(Splitter {
            longest: self.longest,
            begun: BytesMut::new(),
            rest: Bytes::new(),
            from: Event::bytes(Bytes::new(), false),
        }))
    }

    fn encoder(&self) -> Option<Box<dyn Step>> {
        Some(each(|mut event: Event| {
            let mut line = BytesMut::from(event.take_bytes());
            line.extend_from_slice(b"\n");
            Ok(Some(event.with(Payload::Bytes(line.freeze()))))
        }))
    }
}

struct Splitter {
    longest: usize,
    /// A line that has not ended yet. Never longer than `longest`.
    begun: BytesMut,
    /// What is left of the message.
    rest: Bytes,
    /// What the message says beside its bytes.
    from: Event,
}

impl Splitter {
    /// Puts a line's last part to those before.
    fn complete(&mut self, end: Bytes) -> Result<Bytes, StepError> {
        if self.begun.is_empty() {
            return match end.len() {
                length if length > self.longest => Err(StepError::TooLarge(format!(
                    "Invalid line of length {length} since it exceeds maximum allowed length of {}",
                    self.longest
                ))),
                _ => Ok(end),
            };
        }
        self.hold(&end)?;
        Ok(self.begun.split().freeze())
    }

    /// Holds a part of a line. One that makes it too long goes with all before it, so that the next message can begin
    /// a line again.
    fn hold(&mut self, part: &[u8]) -> Result<(), StepError> {
        let total = self.begun.len() + part.len();
        if total <= self.longest {
            self.begun.extend_from_slice(part);
            return Ok(());
        }
        self.begun = BytesMut::new();
        Err(StepError::TooLarge(format!(
            "Discarded line fragment of length {} since total length of {total} exceeds maximum allowed line length of {}",
            part.len(),
            self.longest
        )))
    }
}

impl Step for Splitter {
    fn take(&mut self, mut event: Event) {
        self.rest = event.take_bytes();
        self.from = event;
    }

    fn next(&mut self) -> Option<Result<Event, StepError>> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(at) = memchr::memchr(b'\n', &self.rest) else {
            let part = std::mem::take(&mut self.rest);
            return self.hold(&part).err().map(Err);
        };
        let end = self.rest.split_to(at);
        self.rest.advance(1);
        let line = self.complete(end);
        Some(line.map(|line| self.from.clone().with(Payload::Bytes(line))))
    }

    fn finish(&mut self) -> Result<(), StepError> {
        match self.begun.len() {
            0 => Ok(()),
            length => Err(StepError::Invalid(format!(
                "Discarded line fragment of length {length}: the connection ended before the line did"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{give, ok};
    use super::*;

    fn splitter(longest: usize) -> Box<dyn Step> {
        Lines { longest }.decoder().unwrap()
    }

    #[test]
    fn a_message_of_two_lines_is_two_events_and_empty_lines_and_carriage_returns_are_kept() {
        let mut lines = splitter(4096);
        assert_eq!(give(&mut *lines, "a\nb\n"), ok(&["a", "b"]));
        assert_eq!(give(&mut *lines, "\n\r\n"), ok(&["", "\r"]));
        assert_eq!(lines.finish(), Ok(()));
    }

    #[test]
    fn what_follows_the_last_line_feed_waits_for_a_later_message() {
        let mut lines = splitter(4096);
        assert_eq!(give(&mut *lines, "one\ntw"), ok(&["one"]));
        assert_eq!(give(&mut *lines, "o"), ok(&[]));
        assert_eq!(give(&mut *lines, "\nthree\n"), ok(&["two", "three"]));
    }

    #[test]
    fn a_line_of_the_limit_passes_and_a_longer_one_is_an_error_that_touches_no_other_line() {
        let mut lines = splitter(4);
        assert_eq!(give(&mut *lines, "1234\n"), ok(&["1234"]));
        let given = give(&mut *lines, "a\n12345\nb\n");
        assert_eq!([given[0].clone(), given[2].clone()], *ok(&["a", "b"]));
        let why = "Invalid line of length 5 since it exceeds maximum allowed length of 4";
        assert_eq!(given[1], Err(StepError::TooLarge(why.to_owned())));
    }

    #[test]
    fn a_fragment_that_grows_too_long_is_discarded_and_the_next_message_begins_anew() {
        let too_long = |part, total| {
            Err(StepError::TooLarge(format!(
                "Discarded line fragment of length {part} since total length of {total} exceeds maximum allowed line \
                 length of 4"
            )))
        };
        let mut lines = splitter(4);
        assert_eq!(give(&mut *lines, "123"), ok(&[]));
        assert_eq!(give(&mut *lines, "45"), [too_long(2, 5)]);
        assert_eq!(give(&mut *lines, "next\n"), ok(&["next"]));
        assert_eq!(give(&mut *lines, "123"), ok(&[]));
        let given = give(&mut *lines, "45\nb\n");
        assert_eq!(given[0], too_long(2, 5));
        assert_eq!(given[1..], ok(&["b"]));
    }

    #[test]
    fn half_a_line_at_the_end_is_an_error() {
        let mut lines = splitter(4096);
        give(&mut *lines, "half");
        let why = "Discarded line fragment of length 4: the connection ended before the line did";
        assert_eq!(lines.finish(), Err(StepError::Invalid(why.to_owned())));
    }

    #[test]
    fn each_event_leaves_with_a_line_feed() {
        let mut lines = Lines { longest: 4 }.encoder().unwrap();
        assert_eq!(give(&mut *lines, "a"), ok(&["a\n"]));
    }
}
