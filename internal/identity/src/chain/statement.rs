//! One rotation statement: its spelling, and what can be said of it without its neighbours.

use serde::{Deserialize, Serialize};

use crate::json;
use crate::jws::{self, JwsError};
use crate::key::{KeyError, PublicKey, SecretKey};
use crate::names::canonical_host;

/// The `typ` of a rotation statement.
pub const ROTATE_TYP: &str = "adit-rotate+jwt";

/// The longest statement, in bytes. With a domain of the usual length it has some 520.
pub const MAX_STATEMENT_LEN: usize = 1024;

/// Which rule a statement breaks, as what is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It is not signed by a key for this purpose, is too large, or its claims are malformed.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// `seq` is not one above that of the statement before, or the first is not 1.
    #[error("has another number")]
    Sequence,
    /// `root` is not the thumbprint of the chain's first key.
    #[error("is about another name (root)")]
    Root,
    /// It was not signed by the key that held the name, or `from` is not the thumbprint of that.
    #[error("was not made by the key that held the name (from)")]
    From,
    /// `to` is no good key.
    #[error("names a key that is refused (to): {0}")]
    To(KeyError),
    /// `domain` is not that of the statements before, or not in canonical spelling.
    #[error("holds for another domain")]
    Domain,
    /// `to` held the name before.
    #[error("goes back to an earlier key")]
    Repeated,
}

/// What an old key says of its successor. Members that are unknown are ignored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Statement {
    /// Its place in the chain, from 1.
    pub(super) seq: u64,
    /// The thumbprint of the chain's first key.
    pub(super) root: String,
    /// The thumbprint of the key that signs.
    pub(super) from: String,
    /// The public key that takes the name over, base64url.
    pub(super) to: String,
    /// Where it holds.
    pub(super) domain: String,
    /// When it was made, by the clock of whoever made it: for people, since that clock proves nothing.
    pub(super) iat: u64,
}

pub(super) fn write(old: &SecretKey, statement: &Statement) -> String {
    let payload = serde_json::to_vec(statement).expect("a statement has only text keys");
    jws::sign(old, ROTATE_TYP, &payload)
}

/// A statement and the key that proved to have signed it.
pub(super) fn read(text: &str) -> Result<(PublicKey, Statement), StatementError> {
    if text.len() > MAX_STATEMENT_LEN {
        return Err(JwsError::TooLarge.into());
    }
    let opened = jws::open(text.as_bytes(), ROTATE_TYP)?;
    let members = json::object(&opened.payload, "the claims are no JSON object")?;
    let statement: Statement = serde_json::from_value(members.into())
        .map_err(|_| JwsError::Malformed("a claim is missing or of the wrong type"))?;
    if canonical_host(&statement.domain).as_ref() != Ok(&statement.domain) {
        return Err(StatementError::Domain);
    }
    Ok((opened.key, statement))
}
