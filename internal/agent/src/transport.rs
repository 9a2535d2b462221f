//! What carries an agent's links: what its owner wishes, and what it came to.

use std::fmt;
use std::str::FromStr;

/// How an agent is to reach its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transports {
    /// By WebSocket, which every server takes.
    #[default]
    WebSocket,
    /// By the channel over TCP, which a server may offer.
    Tcp,
    /// By the channel where there is one and it can be reached, otherwise by WebSocket; a second is lost at most.
    Auto,
}

/// Something that is no way to reach a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither ws nor tcp nor auto")]
pub struct TransportsError(String);

/// What a link runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// A WebSocket.
    WebSocket,
    /// The encrypted channel over TCP.
    Tcp,
}

impl FromStr for Transports {
    type Err = TransportsError;

    fn from_str(text: &str) -> Result<Self, TransportsError> {
        match text {
            "ws" => Ok(Self::WebSocket),
            "tcp" => Ok(Self::Tcp),
            "auto" => Ok(Self::Auto),
            _ => Err(TransportsError(text.to_owned())),
        }
    }
}

impl fmt::Display for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WebSocket => "ws",
            Self::Tcp => "tcp",
            Self::Auto => "auto",
        })
    }
}

impl Via {
    /// The word for it: `ws` or `tcp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::Tcp => "tcp",
        }
    }

    /// The one that is left.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::WebSocket => Self::Tcp,
            Self::Tcp => Self::WebSocket,
        }
    }
}

/// As in "connected …".
impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WebSocket => "by WebSocket",
            Self::Tcp => "over TCP",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_one_of_three_words() {
        for word in ["ws", "tcp", "auto"] {
            assert_eq!(word.parse::<Transports>().unwrap().to_string(), word);
        }
        assert_eq!(Transports::default().to_string(), "ws");
        let error = "udp".parse::<Transports>().unwrap_err();
        assert_eq!(error.to_string(), "\"udp\" is neither ws nor tcp nor auto");
    }
}
