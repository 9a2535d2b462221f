//! Settings of the agent that are written as one word, and belong to crates that know nothing of files.

use std::fmt;
use std::str::FromStr;

use agent::{Links, Transports};
use identity::Mode;
use messages::Network;
use runtime::config::Scalar;
use runtime::serde_as_a_word;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// How many links, as it is written.
#[derive(Debug)]
pub(super) struct LinksWord(pub(super) Links);

impl FromStr for LinksWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let links = text.parse().map(Self);
        links.map_err(|_| format!("{text:?} is no such number"))
    }
}

impl fmt::Display for LinksWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for LinksWord {
    const WANTED: &'static str = "auto, or a whole number from 1 to 8";
    const NUMBER: bool = true;
}

/// What links run over, as it is written.
#[derive(Debug)]
pub(super) struct TransportWord(pub(super) Transports);

impl FromStr for TransportWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let transports = text.parse().map(Self);
        transports.map_err(|_| format!("{text:?} is no transport"))
    }
}

impl fmt::Display for TransportWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for TransportWord {
    const WANTED: &'static str = "ws, tcp or auto";
}

/// How a name is held, as it is written.
#[derive(Debug)]
pub(super) struct ModeWord(pub(super) Mode);

impl FromStr for ModeWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "exclusive" => Ok(Self(Mode::Exclusive)),
            "shared" => Ok(Self(Mode::Shared)),
            _ => Err(format!("{text:?} is no mode")),
        }
    }
}

impl fmt::Display for ModeWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Mode::Exclusive => "exclusive",
            Mode::Shared => "shared",
        })
    }
}

impl Scalar for ModeWord {
    const WANTED: &'static str = "exclusive or shared";
}

/// An address or a network, as it is written.
#[derive(Debug)]
pub(super) struct NetworkWord(pub(super) Network);

impl FromStr for NetworkWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse().map(Self);
        network.map_err(|_| format!("{text:?} is neither"))
    }
}

impl fmt::Display for NetworkWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for NetworkWord {
    const WANTED: &'static str = "an IP address, or a network such as 10.0.0.0/8";
}

/// A number of seconds, which protocols write without a unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(pub(super) u32);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = text.parse().map(Self);
        seconds.map_err(|_| format!("{text:?} is no such number"))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for Seconds {
    const WANTED: &'static str = "a whole number of seconds";
    const NUMBER: bool = true;
}

/// Any text of a list.
#[derive(Debug)]
pub(super) struct Word(String);

impl Word {
    pub(super) fn text(&self) -> String {
        self.0.clone()
    }
}

impl FromStr for Word {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for Word {
    const WANTED: &'static str = "a text";
}

serde_as_a_word!(
    LinksWord,
    ModeWord,
    NetworkWord,
    Seconds,
    TransportWord,
    Word
);

/// Yes or no: a truth value in a file, a word elsewhere. The layers would take numbers too.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Switch(pub(super) bool);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SwitchVisitor)
    }
}

struct SwitchVisitor;

impl Visitor<'_> for SwitchVisitor {
    type Value = Switch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Switch, E> {
        Ok(Switch(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Switch, E> {
        match text.trim() {
            "true" => Ok(Switch(true)),
            "false" => Ok(Switch(false)),
            other => Err(E::custom(format!(
                "{other:?} is neither; write true or false"
            ))),
        }
    }
}
