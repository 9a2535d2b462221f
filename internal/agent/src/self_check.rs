//! Whether visitors get through: the agent asks its own public URL a question that only it can answer, and looks who
//! answers.
//!
//! The question is a request for a path that is the agent's and not the target's; it takes the way of any visitor, by
//! name, TLS, proxies, edge and link, and comes back to this agent or to another that holds the same key. What does not
//! take part is the environment's `http_proxy`: visitors do not either.

mod answer;
mod ask;
mod judge;
mod watch;

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

pub(crate) use answer::Answering;
pub(crate) use ask::{Ask, asking};
pub(crate) use watch::Watch;

/// What a visitor's path must end with, before the nonce, for the agent to answer it itself.
const MARK: &str = "/.well-known/adit-probe/";

/// Characters of a nonce: 32 bytes as base64url without padding.
const NONCE: usize = 43;

/// What an agent found out about its public URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelfCheck {
    /// A request to it came to this agent, or to one with its key.
    Reachable,
    /// A request to it came to the edge, which turned it away by a rule that this agent has set.
    Guarded {
        /// The rule, in words.
        rule: &'static str,
    },
    /// Two requests in a row came nowhere. The links are made anew.
    Unreachable {
        /// Where they ended, as a sentence.
        why: String,
    },
}

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Reached,
    Guarded(&'static str),
    /// Neither yes nor no: the server was asked too often, or is busy.
    Unclear(String),
    Missed(String),
}

/// A path to ask for, with `prefix` in front.
fn path(prefix: &str, nonce: &[u8; 32]) -> String {
    format!("{prefix}{MARK}{}", BASE64URL_NOPAD.encode(nonce))
}

/// The nonce of a path that asks. What is in front of it may be a prefix that the edge has put there.
fn question(path: &str) -> Option<[u8; 32]> {
    let bytes = path.as_bytes();
    let at = bytes.len().checked_sub(MARK.len() + NONCE)?;
    let nonce = bytes.get(at..)?.strip_prefix(MARK.as_bytes())?;
    BASE64URL_NOPAD.decode(nonce).ok()?.try_into().ok()
}

/// Whether a request for this path is answered by the agent and never by its target.
pub(crate) fn is_question(path: &str) -> bool {
    question(path).is_some()
}

impl fmt::Display for SelfCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reachable => f.write_str("visitors get through"),
            Self::Guarded { rule } => {
                write!(
                    f,
                    "visitors get as far as the server, which asks for {rule}"
                )
            }
            Self::Unreachable { why } => write!(f, "visitors do not get through: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_known_by_the_end_of_its_path_alone() {
        let nonce = [0xfb; 32];
        for prefix in ["", "/api/v1"] {
            assert_eq!(question(&path(prefix, &nonce)), Some(nonce));
        }
        let asked = path("", &nonce);
        for other in [
            "/",
            "",
            "/.well-known/adit-probe/",
            "/.well-known/acme-challenge/x",
            asked.trim_start_matches('/'),
            &format!("{asked}/"),
            &asked.replace('-', "+"),
            &format!("\u{fc}{}", asked.trim_start_matches('/')),
        ] {
            assert!(!is_question(other), "{other:?}");
        }
    }
}
