//! Passwords of visitors. Only a salted hash is ever sent; algorithm and cost are this protocol's, not the agent's.

use std::ops::RangeInclusive;

use data_encoding::BASE64_NOPAD;
use serde::{Deserialize, Serialize};

use super::{PolicyError, Secret};

/// The most credentials of one tunnel.
const MAX_CREDENTIALS: usize = 8;

/// The longest user name, in bytes.
const MAX_USERNAME: usize = 128;

/// How every hash begins: Argon2id at the cost OWASP gives for it (19 MiB, two passes, one lane).
const PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// Bytes of salt: what Argon2 recommends, and what nobody needs more of.
const SALT: RangeInclusive<usize> = 16..=64;

/// The longest salt in base64.
const MAX_TEXT: usize = 86;

/// Bytes of the digest.
const DIGEST: usize = 32;

/// Visitors must know one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// At least one.
    pub credentials: Vec<Credential>,
}

/// A password, and perhaps the name that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// None takes any name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// PHC string of Argon2id with m=19456, t=2, p=1.
    pub hash: Secret,
}

impl BasicAuth {
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        if self.credentials.is_empty() || self.credentials.len() > MAX_CREDENTIALS {
            let rule = format!("one to {MAX_CREDENTIALS} credentials");
            return Err(PolicyError::new("basic_auth", rule));
        }
        self.credentials.iter().try_for_each(Credential::check)
    }
}

impl Credential {
    fn check(&self) -> Result<(), PolicyError> {
        let name = self.username.as_deref().unwrap_or("any");
        let printable = |c: char| !c.is_control() && c != ':';
        if name.is_empty() || name.len() > MAX_USERNAME || !name.chars().all(printable) {
            return Err(PolicyError::new(
                "basic_auth",
                "a user name has 1 to 128 bytes, no colon and no control characters",
            ));
        }
        if self.parts().is_none() {
            return Err(PolicyError::new(
                "basic_auth",
                "a hash is a PHC string of argon2id with v=19, m=19456, t=2, p=1, 16 to 64 bytes of salt and 32 of digest",
            ));
        }
        Ok(())
    }

    /// Salt and digest, for whoever compares passwords with them. Never `None` in a policy that passed
    /// [`Policy::check`](super::Policy::check).
    #[must_use]
    pub fn parts(&self) -> Option<(Vec<u8>, [u8; DIGEST])> {
        let (salt, digest) = self.hash.expose().strip_prefix(PREFIX)?.split_once('$')?;
        // The length first: nothing is decoded that is too long for what it claims to be.
        let decode = |text: &str| {
            (text.len() <= MAX_TEXT)
                .then(|| BASE64_NOPAD.decode(text.as_bytes()).ok())
                .flatten()
        };
        let salt = decode(salt).filter(|salt| SALT.contains(&salt.len()))?;
        Some((salt, decode(digest)?.try_into().ok()?))
    }
}
