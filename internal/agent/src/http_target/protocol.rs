//! What a target speaks, as a user writes it.

use std::fmt;
use std::str::FromStr;

/// What a local service speaks. It is never found out by trying: a service may do anything with bytes it does not
/// understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS and with prior knowledge (RFC 9113 section 3.3), as gRPC servers speak it. WebSockets are
    /// asked for on HTTP/1.1 connections all the same: servers that know both take them there.
    H2c,
}

/// No protocol that a target can speak.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no protocol for a target; write http1 or h2c")]
pub struct TargetProtocolError(String);

impl FromStr for TargetProtocol {
    type Err = TargetProtocolError;

    fn from_str(text: &str) -> Result<Self, TargetProtocolError> {
        match text {
            "http1" => Ok(Self::Http1),
            "h2c" => Ok(Self::H2c),
            _ => Err(TargetProtocolError(text.to_owned())),
        }
    }
}

impl fmt::Display for TargetProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "http1",
            Self::H2c => "h2c",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_written_as_it_is_read() {
        for protocol in [TargetProtocol::Http1, TargetProtocol::H2c] {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        for unknown in ["", "h2", "H2C", "https"] {
            assert!(unknown.parse::<TargetProtocol>().is_err(), "{unknown}");
        }
    }
}
