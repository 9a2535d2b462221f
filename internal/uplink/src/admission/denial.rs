//! Why the rules of this server keep an agent out, each with what to do.

use messages::{PolicyError, RefusalCode};

use super::{ceiling::Beyond, custom_domains::NotProved};

/// A rule that an agent does not meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error("the operator of this server has denied this key")]
    Denied,
    #[error(
        "this server admits only keys that its operator has listed: ask for the line \"{label}\" in its keys file"
    )]
    Unlisted { label: String },
    #[error(
        "this server admits only agents that know its join token: give it with --token-file or in ADIT_TOKEN"
    )]
    NoToken,
    #[error(
        "the join token is not valid on this server (any more): ask its operator for the present one"
    )]
    WrongToken,
    #[error(transparent)]
    BadPolicy(PolicyError),
    #[error(transparent)]
    BeyondCeiling(#[from] Beyond),
    #[error(
        "{host} is not granted to this key: ask the operator for the line \"{line}\" in the server's keys file"
    )]
    NotGranted { host: String, line: String },
    #[error("{host} can be granted to nobody: {why}")]
    NeverGranted { host: String, why: &'static str },
    #[error(transparent)]
    NotProved(#[from] NotProved),
    #[error(
        "this server holds as many links of this key as the key may have there ({most}): end another agent, or ask the operator for max-links"
    )]
    TooManyLinks { most: u32 },
}

impl Denial {
    pub(crate) fn code(&self) -> RefusalCode {
        match self {
            Self::Denied | Self::Unlisted { .. } => RefusalCode::NotAllowed,
            Self::NoToken | Self::WrongToken => RefusalCode::TokenRequired,
            Self::BadPolicy(_) | Self::BeyondCeiling(_) => RefusalCode::PolicyRefused,
            Self::NotGranted { .. }
            | Self::NeverGranted { .. }
            | Self::NotProved(NotProved::Record { .. }) => RefusalCode::NameNotGranted,
            Self::NotProved(NotProved::Passing(..)) => RefusalCode::Unavailable,
            Self::TooManyLinks { .. } => RefusalCode::TooManyLinks,
        }
    }
}
