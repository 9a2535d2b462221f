//! Why an agent ends, and why one attempt at a link failed.

use std::time::Duration;

use identity::HostError;
use messages::{Disconnect, DisconnectCode, RefusalCode, Refused};
use tunnel::channel::ChannelError;
use tunnel::handshake::{HandshakeError, RegisterError};
use tunnel::ws::ConnectError;

/// Why an agent ended by itself. Each is final: coming back unasked would be useless or harmful.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A newer session with the same key and name took over.
    #[error(
        "another agent with this key and name has taken over; this one ends so that the two do not fight \
         (give one of them another key or a --name to run both)"
    )]
    Replaced,
    /// The server turned the agent away for good.
    #[error("the server refuses this agent: {} ({}); trying again would not help", .0.message, .0.code.as_str())]
    Refused(Refused),
    /// The server is not the one that the agent was told to expect, or grants what is not the agent's. To go on asking
    /// it would only show the key to a stranger.
    #[error(transparent)]
    Foreign(RegisterError),
    /// An attempt failed, and the agent was told not to try again.
    #[error(transparent)]
    Failed(LinkError),
}

/// Why one attempt at a link failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no connection to the server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no channel over TCP to it.
    #[error(transparent)]
    Channel(ChannelError),
    /// There is one, but the server gave no tunnel on it.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// There is one, to a server whose domain makes no host with the label that is wanted.
    #[error("the server's domain is {domain:?}, under which there is no such host: {why}")]
    Domain {
        /// What Hello says.
        domain: String,
        /// The rule that is broken.
        why: HostError,
    },
    /// Whoever answered is going down. Nothing was signed for it.
    #[error("the server is going down, and no other node of it answered")]
    NoPlace,
}

impl From<ChannelError> for LinkError {
    /// What goes wrong on both ways is the same on both.
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Asking(error) => Self::Connect(error),
            ChannelError::Register(error) => Self::Register(error),
            other => Self::Channel(other),
        }
    }
}

impl LinkError {
    /// Sorts out what no other attempt would mend.
    ///
    /// # Errors
    /// The agent's end, when this is one.
    pub(crate) fn unless_final(self) -> Result<Self, AgentError> {
        match self {
            Self::Register(RegisterError::Refused(refused)) if refused.code.is_final() => {
                Err(AgentError::of_refusal(refused))
            }
            Self::Register(RegisterError::Handshake(HandshakeError::Disconnected(disconnect)))
                if disconnect.code.is_final() =>
            {
                Err(AgentError::of_disconnect(&disconnect))
            }
            Self::Register(
                foreign @ (RegisterError::WrongDomain { .. } | RegisterError::ForeignGrant { .. }),
            ) => Err(AgentError::Foreign(foreign)),
            other => Ok(other),
        }
    }

    /// Whether no other attempt would mend it, over whichever transport.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Register(error) => match error {
                RegisterError::Refused(refused) => refused.code.is_final(),
                RegisterError::WrongDomain { .. } | RegisterError::ForeignGrant { .. } => true,
                RegisterError::Handshake(HandshakeError::Disconnected(told)) => {
                    told.code.is_final()
                }
                RegisterError::Handshake(_) | RegisterError::Version(_) => false,
            },
            Self::Connect(_) | Self::Channel(_) | Self::Domain { .. } | Self::NoPlace => false,
        }
    }

    /// When the server wants to be asked again, if it said so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Connect(error) => error.retry_after(),
            Self::Register(RegisterError::Refused(refused)) => {
                refused.retry_after_ms.map(Duration::from_millis)
            }
            Self::Register(_) | Self::Channel(_) | Self::Domain { .. } | Self::NoPlace => None,
        }
    }

    /// Whether the server is only going down: another node of it, or the same place a little later, will answer.
    pub(crate) fn is_draining(&self) -> bool {
        match self {
            Self::NoPlace => true,
            Self::Register(RegisterError::Refused(refused)) => {
                refused.code == RefusalCode::Draining
            }
            Self::Register(RegisterError::Handshake(HandshakeError::Disconnected(told))) => {
                told.code == DisconnectCode::Draining
            }
            Self::Connect(_) | Self::Register(_) | Self::Channel(_) | Self::Domain { .. } => false,
        }
    }
}

impl AgentError {
    fn of_refusal(refused: Refused) -> Self {
        match refused.code {
            RefusalCode::Replaced => Self::Replaced,
            _ => Self::Refused(refused),
        }
    }

    /// What a final Disconnect means to the agent.
    pub(crate) fn of_disconnect(disconnect: &Disconnect) -> Self {
        match disconnect.code {
            DisconnectCode::Replaced => Self::Replaced,
            _ => Self::Refused(Refused {
                code: RefusalCode::NotAllowed,
                message: printable(&disconnect.reason),
                retry_after_ms: None,
            }),
        }
    }
}

/// A stranger's sentence as it may be shown: without the control characters that a terminal obeys.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}
