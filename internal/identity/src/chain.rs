//! Rotation: how a key hands its name to the next, in statements that each old key signs for its successor.
//!
//! The name stays that of the first key, the root; the last key is the one that registers. A chain proves no more than
//! that each key in turn wanted the next: that nobody who got hold of an *old* key can start another branch is the
//! directory's business, which remembers the longest chain it has seen of each root.

mod statement;

use std::fmt;

use messages::{RefusalCode, TunnelId};
use sha2::{Digest, Sha256};

pub use statement::{MAX_STATEMENT_LEN, ROTATE_TYP, StatementError};
use statement::{Statement, read, write};

use crate::jws::JwsError;
use crate::key::{PublicKey, SecretKey};
use crate::names::{HostError, canonical_host};

/// The most rotations of one name: each costs the server a signature to check, and the registration some 700 bytes of its 8
/// KiB.
pub const MAX_CHAIN: usize = 4;

/// Why statements are no chain that leads to a key. Rotations are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// More than [`MAX_CHAIN`] statements.
    #[error("a name can be handed on {MAX_CHAIN} times at most")]
    TooLong,
    /// One statement breaks a rule.
    #[error("rotation {number} {rule}")]
    Statement {
        /// Which one.
        number: u64,
        /// The rule.
        rule: StatementError,
    },
    /// The statements are good, and hand the name to somebody else.
    #[error("it does not lead to this key")]
    OtherKey,
    /// The statements hold for another domain than the one that was asked about.
    #[error("it holds for another domain")]
    OtherDomain,
    /// A rotation was asked for a text that is no domain.
    #[error("the domain is refused: {0}")]
    BadDomain(HostError),
}

impl ChainError {
    /// The stable code that the agent is told.
    pub(crate) fn refusal(self) -> RefusalCode {
        match self {
            Self::Statement {
                rule: StatementError::Jws(error),
                ..
            } => match error {
                // The registration itself was small enough.
                JwsError::TooLarge => RefusalCode::BadRequest,
                other => other.refusal(),
            },
            Self::OtherDomain => RefusalCode::Rotated,
            Self::TooLong | Self::Statement { .. } | Self::OtherKey | Self::BadDomain(_) => {
                RefusalCode::BadRequest
            }
        }
    }
}

/// A key and those it took its name over from, oldest first; a key that never took one over is a chain of one.
///
/// A chain that exists is verified: every statement signed by the key before it, for one domain, with one root.
#[derive(Clone, PartialEq, Eq)]
pub struct Chain {
    /// One more than statements: the root, then whom each statement names.
    keys: Vec<PublicKey>,
    /// Compact JWS texts.
    statements: Vec<String>,
    /// Of all statements; none without one.
    domain: Option<String>,
}

impl Chain {
    /// The chain of a key that has its name from nobody.
    #[must_use]
    pub fn of(key: PublicKey) -> Self {
        Self {
            keys: vec![key],
            statements: Vec::new(),
            domain: None,
        }
    }

    /// Verifies statements, oldest first, whoever they lead to. Some 100 µs of processor time each.
    ///
    /// # Errors
    ///
    /// The first rule that is broken. No statements are no chain: [`ChainError::OtherKey`].
    pub fn read(statements: Vec<String>) -> Result<Self, ChainError> {
        if statements.len() > MAX_CHAIN {
            return Err(ChainError::TooLong);
        }
        let mut chain: Option<Self> = None;
        for (number, text) in (1..).zip(statements) {
            let broken = |rule| ChainError::Statement { number, rule };
            let (from, statement) = read(&text).map_err(broken)?;
            let so_far = chain.get_or_insert_with(|| Self {
                domain: Some(statement.domain.clone()),
                ..Self::of(from)
            });
            let to = so_far.check(from, &statement).map_err(broken)?;
            so_far.keys.push(to);
            so_far.statements.push(text);
        }
        chain.ok_or(ChainError::OtherKey)
    }

    /// The rules of a statement that follows this chain; whom it names.
    fn check(&self, from: PublicKey, statement: &Statement) -> Result<PublicKey, StatementError> {
        if statement.seq != self.sequence() + 1 {
            return Err(StatementError::Sequence);
        }
        if statement.root != self.keys[0].thumbprint().to_string() {
            return Err(StatementError::Root);
        }
        if from != self.current() || statement.from != from.thumbprint().to_string() {
            return Err(StatementError::From);
        }
        if Some(&statement.domain) != self.domain.as_ref() {
            return Err(StatementError::Domain);
        }
        let to = PublicKey::from_x(&statement.to).map_err(StatementError::To)?;
        if self.keys.contains(&to) {
            return Err(StatementError::Repeated);
        }
        Ok(to)
    }

    /// [`Chain::read`], and it must end at `key`; no statements are the chain of a key that was never rotated.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn leading_to(key: PublicKey, statements: Vec<String>) -> Result<Self, ChainError> {
        if statements.is_empty() {
            return Ok(Self::of(key));
        }
        let chain = Self::read(statements)?;
        if chain.current() != key {
            return Err(ChainError::OtherKey);
        }
        Ok(chain)
    }

    /// The part that ends at `key`; none when it is no key of this chain.
    #[must_use]
    pub fn up_to(mut self, key: PublicKey) -> Option<Self> {
        let position = self.keys.iter().position(|one| *one == key)?;
        self.keys.truncate(position + 1);
        self.statements.truncate(position);
        if position == 0 {
            self.domain = None;
        }
        Some(self)
    }

    /// Hands the name on: this chain, signed on by `old`, its last key, to `new`.
    pub(crate) fn hand_on(
        &self,
        old: &SecretKey,
        new: PublicKey,
        domain: &str,
        iat: u64,
    ) -> Result<Self, ChainError> {
        let domain = canonical_host(domain).map_err(ChainError::BadDomain)?;
        self.check_domain(&domain)?;
        let statement = Statement {
            seq: self.sequence() + 1,
            root: self.keys[0].thumbprint().to_string(),
            from: self.current().thumbprint().to_string(),
            to: new.x(),
            domain,
            iat,
        };
        let mut statements = self.statements.clone();
        statements.push(write(old, &statement));
        // By the rules that everybody else will judge it by.
        Self::leading_to(new, statements)
    }

    /// Whether the name may be claimed under `domain`: a chain without statements anywhere.
    ///
    /// # Errors
    ///
    /// [`ChainError::OtherDomain`].
    pub fn check_domain(&self, domain: &str) -> Result<(), ChainError> {
        match &self.domain {
            Some(own) if !own.eq_ignore_ascii_case(domain) => Err(ChainError::OtherDomain),
            _ => Ok(()),
        }
    }

    /// The name: the tunnel of the first key.
    #[must_use]
    pub fn root(&self) -> TunnelId {
        self.keys[0].tunnel_id(None)
    }

    /// All keys, the root first and the one that holds the name last. Never empty.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The key that holds the name.
    #[must_use]
    pub fn current(&self) -> PublicKey {
        *self.keys.last().expect("a chain has a key")
    }

    /// How often the name was handed on: the sequence number of the last statement, 0 without one.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.statements.len() as u64
    }

    /// The SHA-256 of the last statement's text, zeros without one: what tells two chains of equal length apart.
    #[must_use]
    pub fn tip(&self) -> [u8; 32] {
        self.tips().last().copied().unwrap_or([0; 32])
    }

    /// The tip of each statement in turn. Whoever remembers a sequence and its tip finds that tip in every chain that goes on
    /// from there; one that is longer and has another in its place is a fork, made by an old key to get ahead.
    #[must_use]
    pub fn tips(&self) -> Vec<[u8; 32]> {
        let tip = |text: &String| Sha256::digest(text).into();
        self.statements.iter().map(tip).collect()
    }

    /// The domain for which the statements hold; none without any.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The statements, as they are sent and stored.
    #[must_use]
    pub fn statements(&self) -> &[String] {
        &self.statements
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("keys", &self.keys)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
