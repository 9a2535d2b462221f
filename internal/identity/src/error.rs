//! Every way in which a registration is refused before anybody asks whether there is room for it.

use messages::RefusalCode;

use crate::chain::ChainError;
use crate::jws::JwsError;
use crate::names::{HostError, NameError};

/// Why a registration does not prove what it claims. One variant a rule, so that a log line names the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is not signed by a key for this purpose, or its claims are malformed.
    #[error("the registration {0}")]
    Jws(#[from] JwsError),
    /// `aud` is no name of this server.
    #[error("the registration is meant for another server")]
    WrongAudience,
    /// `nonce` is not the one this link was greeted with.
    #[error("the registration answers another greeting")]
    WrongNonce,
    /// `channel` is missing or is not that of this TLS connection.
    #[error("the registration was made for another TLS connection")]
    WrongChannel,
    /// `exp` has passed.
    #[error("the registration has expired")]
    Stale,
    /// `iat` is in the future.
    #[error("the registration is dated in the future")]
    NotYet,
    /// `exp` is before `iat`, or more than [`crate::MAX_LIFETIME`] behind it.
    #[error("the registration is not valid for 0 to 60 seconds")]
    Lifetime,
    /// `name` is no tunnel name.
    #[error("the tunnel name is refused: {0}")]
    BadName(NameError),
    /// `host` is no host that can be granted, or no host can be made for `auto`.
    #[error("the host is refused: {0}")]
    BadHost(HostError),
    /// More than one of `name`, `host` and `auto`.
    #[error("the registration asks for more than one of name, host and auto")]
    TwoNames,
    /// `chain` does not prove that the key came from its root.
    #[error("the chain of rotations is refused: {0}")]
    Chain(#[from] ChainError),
}

impl VerifyError {
    /// The stable code that the agent is told.
    #[must_use]
    pub fn refusal(&self) -> RefusalCode {
        match self {
            Self::Jws(error) => error.refusal(),
            Self::BadName(_) | Self::BadHost(_) | Self::TwoNames => RefusalCode::BadRequest,
            // A captured or relayed registration either way: it was meant for somebody else's connection.
            Self::WrongAudience | Self::WrongChannel => RefusalCode::WrongAudience,
            Self::WrongNonce => RefusalCode::WrongNonce,
            Self::Stale | Self::NotYet | Self::Lifetime => RefusalCode::Stale,
            Self::Chain(error) => error.refusal(),
        }
    }
}
