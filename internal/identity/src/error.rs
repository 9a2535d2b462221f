//! Every way in which a registration is refused before anybody asks whether there is room for it.

use messages::RefusalCode;

use crate::key::KeyError;
use crate::names::NameError;

/// Why a registration does not prove what it claims. One variant a rule, so that a log line names the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Longer than [`crate::MAX_JWS_LEN`]; nothing of it was looked at.
    #[error("the registration is larger than 8 KiB")]
    TooLarge,
    /// Not a compact JWS, or claims that are missing, of the wrong type or out of their bounds.
    #[error("the registration is malformed: {0}")]
    Malformed(&'static str),
    /// Some JSON object in it names a member twice.
    #[error("the registration names a JSON member twice")]
    RepeatedMember,
    /// `alg` is not exactly `EdDSA`.
    #[error("the registration is not signed with EdDSA")]
    WrongAlgorithm,
    /// `typ` is that of another purpose.
    #[error("the signature was made for another purpose")]
    WrongType,
    /// `jwk` is not exactly an Ed25519 public key.
    #[error("the key of the registration is refused: {0}")]
    BadKey(KeyError),
    /// The key is of small order: its signatures prove nothing.
    #[error("the key of the registration is weak")]
    WeakKey,
    /// The signature is not this key's over this text, or not in its canonical form.
    #[error("the signature of the registration does not verify")]
    BadSignature,
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
}

impl VerifyError {
    /// The stable code that the agent is told.
    #[must_use]
    pub fn refusal(&self) -> RefusalCode {
        match self {
            Self::TooLarge => RefusalCode::TooLarge,
            Self::Malformed(_)
            | Self::RepeatedMember
            | Self::BadKey(KeyError::Jwk | KeyError::Pem)
            | Self::BadName(_) => RefusalCode::BadRequest,
            Self::WrongAlgorithm => RefusalCode::WrongAlgorithm,
            Self::WrongType => RefusalCode::WrongType,
            Self::WeakKey
            | Self::BadKey(KeyError::NotAPoint | KeyError::NonCanonical | KeyError::Weak) => {
                RefusalCode::WeakKey
            }
            Self::BadSignature => RefusalCode::BadSignature,
            // A captured or relayed registration either way: it was meant for somebody else's connection.
            Self::WrongAudience | Self::WrongChannel => RefusalCode::WrongAudience,
            Self::WrongNonce => RefusalCode::WrongNonce,
            Self::Stale | Self::NotYet | Self::Lifetime => RefusalCode::Stale,
        }
    }
}
