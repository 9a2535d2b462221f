//! Passwords of visitors. Only a salted hash is ever sent; algorithm and cost are this protocol's, not the agent's.

use serde::{Deserialize, Serialize};

use super::{PolicyError, Secret};

/// The most credentials of one tunnel.
const MAX_CREDENTIALS: usize = 8;

/// The longest user name, in bytes.
const MAX_USERNAME: usize = 128;

/// How every hash begins: Argon2id at the cost OWASP gives for it (19 MiB, two passes, one lane).
const PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// Salt and digest in base64 without padding, with the `$` between: 16 to 64 bytes of salt, 32 of digest.
const MAX_REST: usize = 136;

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
        let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'$');
        let rest = self.hash.expose().strip_prefix(PREFIX);
        if rest.is_none_or(|rest| rest.len() > MAX_REST || !rest.bytes().all(base64)) {
            return Err(PolicyError::new(
                "basic_auth",
                "a hash is a PHC string of argon2id with v=19, m=19456, t=2, p=1",
            ));
        }
        Ok(())
    }
}
