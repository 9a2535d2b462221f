//! Settings of the agent that are written as one word, and belong to crates that know nothing of files.

use std::fmt;
use std::str::FromStr;

use agent::Links;
use identity::Mode;
use runtime::config::Scalar;
use runtime::serde_as_a_word;

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

serde_as_a_word!(LinksWord, ModeWord);
