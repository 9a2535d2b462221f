//! Why a conversation came to nothing, for either end of it.

use identity::VerifyError;
use messages::{FrameError, PROTOCOL_VERSION, RefusalCode, Refused};

use super::words::HandshakeError;
use crate::TransportError;

/// Why nobody was admitted. The agent has been told what it could be told.
#[derive(Debug, thiserror::Error)]
pub enum GreetError {
    /// It did not answer, or not in the protocol.
    #[error("no registration: {0}")]
    Handshake(#[from] HandshakeError),
    /// It answered and proved nothing.
    #[error("registration refused: {0}")]
    Unproven(#[from] VerifyError),
    /// It speaks no version that is spoken here.
    #[error("registration refused: the agent speaks versions {0:?}, not {PROTOCOL_VERSION}")]
    Version(Vec<u8>),
}

impl GreetError {
    /// What the agent is told; nothing where nobody is listening.
    pub(super) fn refusal(&self) -> Option<Refused> {
        let code = match self {
            Self::Unproven(error) => error.refusal(),
            Self::Version(_) => RefusalCode::UnsupportedVersion,
            Self::Handshake(error) => match error {
                HandshakeError::Frame(FrameError::TooLarge { .. })
                | HandshakeError::Transport(TransportError::TooLarge { .. }) => {
                    RefusalCode::TooLarge
                }
                HandshakeError::Frame(_)
                | HandshakeError::Decode(_)
                | HandshakeError::OutOfTurn => RefusalCode::BadRequest,
                HandshakeError::TimedOut
                | HandshakeError::Closed
                | HandshakeError::Transport(_)
                | HandshakeError::Disconnected(_) => return None,
            },
        };
        Some(Refused {
            code,
            message: self.to_string(),
            retry_after_ms: None,
        })
    }
}

/// Why the agent has no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The server did not answer, or not in the protocol.
    #[error("no registration: {0}")]
    Handshake(#[from] HandshakeError),
    /// No version in common.
    #[error(
        "the server speaks versions {0:?}, this agent {PROTOCOL_VERSION}; update the older of the two"
    )]
    Version(Vec<u8>),
    /// The server publishes under another domain than the one pinned. Nothing was signed.
    #[error(
        "the server publishes under {got:?}, but {expected:?} is expected; this may not be your server"
    )]
    WrongDomain {
        /// The pin.
        expected: String,
        /// What Hello says.
        got: String,
    },
    /// The server said no.
    #[error("the server refused: {} ({:?})", .0.message, .0.code.as_str())]
    Refused(Refused),
    /// The server said yes to something that is not this agent's.
    #[error(
        "the server granted {got:?}, but this key's name there is {own:?}; do not trust this server"
    )]
    ForeignGrant {
        /// What this key and name come to under the server's domain.
        own: String,
        /// What was granted.
        got: String,
    },
}
