//! Whom a proxy in front speaks for, when it says so before the first request
//! (PROXY protocol, versions 1 and 2).
//!
//! This file finds where a header ends, however it is cut into reads, and reads
//! nothing of what follows the addresses: the extensions (TLVs) are skipped.

use std::net::SocketAddr;

use ppp::{v1, v2};

/// How a header of version 1 begins. No request of HTTP does: its method is
/// followed by a target.
const TEXT: &[u8] = b"PROXY ";

/// The longest header of version 1 with its line break (PROXY protocol, 2.1).
const MAX_TEXT: usize = 107;

/// What precedes the addresses of version 2: the signature, two bytes, the length.
const BINARY_FIXED: usize = 16;

/// The longest header of version 2 that is read; what is beyond the addresses (36
/// bytes of IPv6) are extensions that nobody here looks at.
pub(crate) const MAX_BINARY: usize = 4096;

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Too little is here to say.
    Unknown,
    /// Something else.
    Other,
    /// A header of so many bytes.
    Header {
        len: usize,
        /// Whom the proxy speaks for; `None` for itself, as in its health checks,
        /// or for somebody without an address.
        source: Option<SocketAddr>,
    },
    /// A header that breaks the rules.
    Malformed,
}

/// Reads the first bytes of a connection. No more than [`MAX_BINARY`] are needed
/// for an answer.
pub(crate) fn read(first: &[u8]) -> Opening {
    if begins(first, v2::PROTOCOL_PREFIX) {
        read_binary(first)
    } else if begins(first, TEXT) {
        read_text(first)
    } else {
        Opening::Other
    }
}

/// True when `first` begins with `mark`, or may yet.
fn begins(first: &[u8], mark: &[u8]) -> bool {
    let known = first.len().min(mark.len());
    first[..known] == mark[..known]
}

fn read_text(first: &[u8]) -> Opening {
    let most = first.len().min(MAX_TEXT);
    let Some(end) = first[..most].windows(2).position(|two| two == b"\r\n") else {
        return if most < MAX_TEXT {
            Opening::Unknown
        } else {
            Opening::Malformed
        };
    };
    let len = end + 2;
    let source = match v1::Header::try_from(&first[..len]).map(|header| header.addresses) {
        Ok(v1::Addresses::Tcp4(from)) => Some((from.source_address, from.source_port).into()),
        Ok(v1::Addresses::Tcp6(from)) => Some((from.source_address, from.source_port).into()),
        Ok(v1::Addresses::Unknown) => None,
        Err(_) => return Opening::Malformed,
    };
    Opening::Header { len, source }
}

fn read_binary(first: &[u8]) -> Opening {
    let Some([.., high, low]) = first.get(..BINARY_FIXED) else {
        return Opening::Unknown;
    };
    let len = BINARY_FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if len > MAX_BINARY {
        return Opening::Malformed;
    }
    let Some(header) = first.get(..len) else {
        return Opening::Unknown;
    };
    let Ok(header) = v2::Header::try_from(header) else {
        return Opening::Malformed;
    };
    let source = match (header.command, header.addresses) {
        (v2::Command::Local, _) => None,
        (_, v2::Addresses::IPv4(from)) => Some((from.source_address, from.source_port).into()),
        (_, v2::Addresses::IPv6(from)) => Some((from.source_address, from.source_port).into()),
        (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    };
    Opening::Header { len, source }
}

#[cfg(test)]
mod tests;
