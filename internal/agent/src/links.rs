//! How many links an agent holds.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

/// The most links of one agent. More would not make it harder to lose: a fleet rarely loses two nodes at once.
pub const MAX_LINKS: u8 = 8;

/// How many links an agent holds, to different nodes where there are as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// As many as the server asks for: 1 to [`MAX_LINKS`].
    #[default]
    Auto,
    /// So many; more than [`MAX_LINKS`] are as many as that.
    Fixed(NonZeroU8),
}

/// Something that is no number of links.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of links from 1 to {MAX_LINKS}, and not \"auto\"")]
pub struct LinksError(String);

impl Links {
    /// The most that this can come to.
    pub(crate) fn most(self) -> usize {
        self.of(u32::from(MAX_LINKS))
    }

    /// What it comes to with a server that asks for `wanted`.
    pub(crate) fn of(self, wanted: u32) -> usize {
        let links = match self {
            Self::Auto => u8::try_from(wanted).unwrap_or(MAX_LINKS).max(1),
            Self::Fixed(links) => links.get(),
        };
        usize::from(links.min(MAX_LINKS))
    }
}

impl FromStr for Links {
    type Err = LinksError;

    fn from_str(text: &str) -> Result<Self, LinksError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let links = text
            .parse()
            .ok()
            .filter(|links: &NonZeroU8| links.get() <= MAX_LINKS);
        links
            .map(Self::Fixed)
            .ok_or_else(|| LinksError(text.to_owned()))
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(links) => links.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_heeded_within_bounds_and_a_fixed_number_whatever_it_says() {
        let auto = |wanted| Links::Auto.of(wanted);
        assert_eq!([0, 1, 3, 9, 300, u32::MAX].map(auto), [1, 1, 3, 8, 8, 8]);
        let two: Links = "2".parse().unwrap();
        assert_eq!((two.of(1), two.of(5), two.most()), (2, 2, 2));
    }

    #[test]
    fn what_is_shown_is_what_is_read_and_the_rest_is_refused() {
        for text in ["auto", "1", "8"] {
            assert_eq!(text.parse::<Links>().unwrap().to_string(), text);
        }
        for text in ["", "0", "9", "-1", "many", "Auto"] {
            assert!(text.parse::<Links>().is_err(), "{text}");
        }
    }
}
