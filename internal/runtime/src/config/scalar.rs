//! Values that are written as one word, the same in a file, in the environment and on the command line.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{self, Visitor};

/// A value with one spelling everywhere. `FromStr` reads it, `Display` writes what `FromStr` takes back.
pub trait Scalar: FromStr<Err: fmt::Display> + fmt::Display {
    /// What to write instead of something wrong, as it would follow "write".
    const WANTED: &'static str;

    /// Whether a bare whole number in a file means what the same digits mean as text.
    const NUMBER: bool = false;
}

/// Reads a [`Scalar`]: text, or a whole number where that is allowed. Nothing is converted in silence: a fraction, a
/// truth value or a table is refused.
///
/// # Errors
/// When the value is none; the sentence says what to write.
pub fn deserialize_scalar<'de, T: Scalar, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(Word(PhantomData))
}

struct Word<T>(PhantomData<T>);

impl<T: Scalar> Word<T> {
    fn number<E: de::Error>(digits: impl fmt::Display) -> Result<T, E> {
        if T::NUMBER {
            read(&digits.to_string())
        } else {
            Err(E::custom(format_args!(
                "write {}, not the bare number {digits}",
                T::WANTED
            )))
        }
    }
}

fn read<T: Scalar, E: de::Error>(text: &str) -> Result<T, E> {
    text.trim()
        .parse()
        .map_err(|error| E::custom(format_args!("{error}; write {}", T::WANTED)))
}

impl<T: Scalar> Visitor<'_> for Word<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        read(text)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        Self::number(number)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        Self::number(number)
    }
}

/// Gives types that are [`Scalar`] their serde halves: one word in, one word out. The caller's crate needs `serde`.
#[macro_export]
macro_rules! serde_as_a_word {
    ($($kind:ty),+ $(,)?) => {$(
        impl ::serde::Serialize for $kind {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $kind {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::config::deserialize_scalar(from)
            }
        }
    )+};
}
