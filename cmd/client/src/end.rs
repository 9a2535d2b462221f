//! How the process ends, as scripts and service managers see it.

use std::process::ExitCode;

use agent::AgentError;
use identity::KeyFileError;
use runtime::Exit;
use runtime::config::ConfigError;
use tunnel::ws::TlsError;

use crate::key::PassphraseError;

/// The exit codes. People branch on these: never renumber one. Those both binaries share are [`Exit`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Ended by a signal, or done: 0.
    AsAsked,
    /// Something failed: 1.
    Failure,
    /// The command line was wrong: 2.
    Usage,
    /// The server turned the agent away for good, or is not the server that was expected: 3.
    Refused,
    /// Another agent took the name over: 4.
    Replaced,
    /// A setting is wrong, or the key or certificate file cannot be used: 78.
    Config,
}

impl End {
    /// What this error means to whoever started the process.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<AgentError>() {
            Some(AgentError::Replaced) => Self::Replaced,
            Some(AgentError::Refused(_) | AgentError::Foreign(_)) => Self::Refused,
            Some(AgentError::Failed(_)) => Self::Failure,
            None if error.is::<ConfigError>()
                || error.is::<KeyFileError>()
                || error.is::<PassphraseError>()
                || error.is::<TlsError>() =>
            {
                Self::Config
            }
            None if error.is::<Misuse>() => Self::Usage,
            None => Self::Failure,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::AsAsked => Exit::Success.code(),
            Self::Failure => Exit::Failure.code(),
            Self::Usage => Exit::Usage.code(),
            Self::Refused => 3,
            Self::Replaced => 4,
            Self::Config => Exit::Config.code(),
        }
    }
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        Self::from(end.code())
    }
}

/// Something that was asked for in a way in which it is not done. Ends like wrong usage.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);
