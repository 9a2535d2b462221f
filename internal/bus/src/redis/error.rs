//! What Redis says no with, in words that hold no secret.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use thiserror::Error;

/// The longest text of an error, in bytes.
const MAX_WORDS: usize = 200;

/// Why a command yielded nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum StoreError {
    /// There is no connection, or no answer came. The command may have been executed all the same.
    #[error("Redis does not answer: {0}")]
    Down(String),
    /// This server cannot be written to, or not to this key, at present: another one must be asked for.
    #[error("Redis has moved: {0}")]
    Moved(String),
    /// Memory is full. Nothing has changed.
    #[error("Redis is out of memory")]
    Full,
    /// It will not do this, now or later.
    #[error("Redis refuses: {0}")]
    Refused(String),
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let words = words(&error.to_string());
        match error.kind() {
            ErrorKind::Server(kind) => match kind {
                ServerErrorKind::ReadOnly
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain => Self::Moved(words),
                _ => Self::Refused(words),
            },
            ErrorKind::Extension => match error.code() {
                Some("OOM") => Self::Full,
                // No replica has answered, or the disk is full: it comes back by itself.
                Some("NOREPLICAS" | "MISCONF") => Self::Moved(words),
                _ => Self::Refused(words),
            },
            ErrorKind::AuthenticationFailed
            | ErrorKind::RESP3NotSupported
            | ErrorKind::InvalidClientConfig => Self::Refused(words),
            _ => Self::Down(words),
        }
    }
}

/// The text of an error without what a server may repeat of a command: an old one answers an unknown `HELLO 3 AUTH`
/// with the password in it.
pub(super) fn words(text: &str) -> String {
    let safe = text.split("with args").next().unwrap_or_default();
    let safe = safe.trim_end_matches([',', ' ']);
    let end = safe.floor_char_boundary(MAX_WORDS);
    let (cut, _) = safe.split_at(end);
    cut.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_repeats_is_cut_off() {
        let said =
            "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'joe' 'hunter2'";
        assert_eq!(words(said), "ERR unknown command 'HELLO'");
        assert_eq!(words("a\nb"), "a b");
        assert_eq!(words(&"ä".repeat(300)).len(), MAX_WORDS);
    }
}
