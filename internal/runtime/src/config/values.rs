//! The kinds of value that settings are made of.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::scalar::{Scalar, deserialize_scalar};
use crate::logging::{LogFilter, LogFormat};
use crate::serde_as_a_word;

/// How many of something: 1 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub NonZeroU32);

impl Count {
    /// For defaults: `number`, or 1 when that is 0.
    #[must_use]
    pub const fn of(number: u32) -> Self {
        match NonZeroU32::new(number) {
            Some(number) => Self(number),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The number as a length.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.get()).unwrap_or(usize::MAX)
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| format!("{text:?} is not such a number"))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for Count {
    const WANTED: &'static str = "a whole number from 1 to 4294967295";
    const NUMBER: bool = true;
}

/// A length of time, written with its unit: `30s`, `500ms`, `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// For defaults.
    #[must_use]
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

/// Longer than any timer here has a use for, and short enough to be added to any clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let period = humantime::parse_duration(text)
            .map_err(|_| format!("{text:?} is not a length of time"))?;
        if period > LONGEST {
            Err(format!("{text:?} is more than a year"))
        } else {
            Ok(Self(period))
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Scalar for Period {
    const WANTED: &'static str = "a number with its unit, such as 30s, 500ms or 2m";
}

/// A length of time, or `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodLimit(pub Option<Duration>);

impl FromStr for PeriodLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("unlimited") {
            return Ok(Self(None));
        }
        text.parse().map(|Period(period)| Self(Some(period)))
    }
}

impl fmt::Display for PeriodLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(period) => Period(period).fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}

impl Scalar for PeriodLimit {
    const WANTED: &'static str = "a number with its unit, such as 30s, 500ms or 2m, or unlimited";
}

/// A number of bytes: `512000`, `64KiB` (1024 each) or `64KB` (1000 each).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size: ByteSize = text
            .parse()
            .map_err(|_| format!("{text:?} is not a size"))?;
        // Above this no TOML reader can take it back.
        if i64::try_from(size.as_u64()).is_err() {
            Err(format!("{text:?} is too much"))
        } else {
            Ok(Self(size.as_u64()))
        }
    }
}

impl fmt::Display for Size {
    /// Exact, in the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 6] = [
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
            (1_000_000_000, "GB"),
            (1_000_000, "MB"),
            (1000, "KB"),
        ];
        match UNITS
            .iter()
            .find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit))
        {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => self.0.fmt(f),
        }
    }
}

impl Scalar for Size {
    const WANTED: &'static str = "a number of bytes, such as 512000, 500KiB or 16MiB";
    const NUMBER: bool = true;
}

/// A [`Size`] that may be lifted: `None` is written `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimit(pub Option<u64>);

impl FromStr for SizeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("unlimited") {
            return Ok(Self(None));
        }
        text.parse().map(|Size(bytes)| Self(Some(bytes)))
    }
}

impl fmt::Display for SizeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => Size(bytes).fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}

impl Scalar for SizeLimit {
    const WANTED: &'static str = "a number of bytes, such as 512000, 500KiB or 16MiB, or unlimited";
    const NUMBER: bool = true;
}

impl Scalar for SocketAddr {
    const WANTED: &'static str = "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080";
}

/// A rate or count that may be lifted: `None` is written `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountLimit(pub Option<NonZeroU32>);

impl FromStr for CountLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("unlimited") {
            return Ok(Self(None));
        }
        text.parse().map(|Count(number)| Self(Some(number)))
    }
}

impl fmt::Display for CountLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}

impl Scalar for CountLimit {
    const WANTED: &'static str = "a whole number, 1 or more, or unlimited";
    const NUMBER: bool = true;
}

serde_as_a_word!(Period, PeriodLimit, Size, SizeLimit, LogFormat, LogFilter);

// Counts are the words that TOML can write without quotes.
impl Serialize for Count {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(self.get())
    }
}

impl Serialize for CountLimit {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(number) => to.serialize_u32(number.get()),
            None => to.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for CountLimit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        deserialize_scalar(from)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        deserialize_scalar(from)
    }
}

/// Several values: an array in a file, `a,b` in the environment and on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: fmt::Display> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de, T: Scalar> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Words(std::marker::PhantomData))
    }
}

struct Words<T>(std::marker::PhantomData<T>);

impl<T: Scalar> Words<T> {
    fn read<E: serde::de::Error>(text: &str) -> Result<T, E> {
        text.trim()
            .parse()
            .map_err(|error| E::custom(format_args!("{error}; write {}", T::WANTED)))
    }
}

impl<'de, T: Scalar> Visitor<'de> for Words<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, each {}", T::WANTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<List<T>, E> {
        let words = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        words.map(Self::read).collect::<Result<_, E>>().map(List)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<List<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(word) = words.next_element::<String>()? {
            list.push(Self::read(&word)?);
        }
        Ok(List(list))
    }
}
