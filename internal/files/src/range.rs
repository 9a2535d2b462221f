//! Which bytes of a file are asked for (RFC 9110 section 14).

use http::HeaderValue;
use http_range_header::{EndPosition, RangeUnsatisfiableError, StartPosition, parse_range_header};

/// What a Range comes to, for a file of a known length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it: no range, none that can be read, or several at once, which a server may ignore.
    Whole,
    /// These bytes: the first, and how many; at least one.
    Part { first: u64, length: u64 },
    /// None that the file has.
    Unsatisfiable,
}

impl Asked {
    pub(crate) fn of(range: &HeaderValue, length: u64) -> Self {
        let Ok(text) = range.to_str() else {
            return Self::Whole;
        };
        // Units are compared without regard to case, by this crate only as they are mostly written.
        let parsed = match parse_range_header(text) {
            Ok(parsed) => parsed.ranges,
            Err(RangeUnsatisfiableError::ZeroSuffix) => return Self::Unsatisfiable,
            Err(_) => return Self::Whole,
        };
        let [range] = &*parsed else {
            return Self::Whole;
        };
        let (first, last) = match (range.start, range.end) {
            (StartPosition::FromLast(count), _) => {
                (length.saturating_sub(count), length.checked_sub(1))
            }
            (StartPosition::Index(first), EndPosition::LastByte) => (first, length.checked_sub(1)),
            // Backwards: no range.
            (StartPosition::Index(first), EndPosition::Index(last)) if last < first => {
                return Self::Whole;
            }
            (StartPosition::Index(first), EndPosition::Index(last)) => {
                (first, length.checked_sub(1).map(|end| last.min(end)))
            }
        };
        match last {
            Some(last) if first <= last => Self::Part {
                first,
                length: last - first + 1,
            },
            _ => Self::Unsatisfiable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, length: u64) -> Asked {
        Asked::of(&HeaderValue::from_str(range).unwrap(), length)
    }

    #[test]
    fn one_range_is_served_as_far_as_the_file_goes() {
        let part = |first, length| Asked::Part { first, length };
        assert_eq!(asked("bytes=0-0", 10), part(0, 1));
        assert_eq!(asked("bytes=2-4", 10), part(2, 3));
        assert_eq!(asked("bytes=9-", 10), part(9, 1));
        assert_eq!(asked("bytes=5-999", 10), part(5, 5));
        assert_eq!(asked("bytes=-3", 10), part(7, 3));
        assert_eq!(
            asked("bytes=-30", 10),
            part(0, 10),
            "a suffix longer than the file is all of it"
        );
        assert_eq!(asked("bytes=0-18446744073709551615", 10), part(0, 10));
    }

    #[test]
    fn what_lies_beyond_the_file_cannot_be_satisfied() {
        for (range, length) in [
            ("bytes=10-", 10),
            ("bytes=11-12", 10),
            ("bytes=-0", 10),
            ("bytes=0-", 0),
            ("bytes=-1", 0),
        ] {
            assert_eq!(
                asked(range, length),
                Asked::Unsatisfiable,
                "{range} of {length}"
            );
        }
    }

    #[test]
    fn what_is_no_range_or_several_is_ignored() {
        for range in [
            "bytes=4-2",
            "bytes=a-b",
            "lines=1-2",
            "bytes=",
            "bytes=0-1,4-5",
            "bytes=1--2",
            "bytes=-",
        ] {
            assert_eq!(asked(range, 10), Asked::Whole, "{range}");
        }
    }
}
