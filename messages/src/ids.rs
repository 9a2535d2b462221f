//! Names of things on the wire: tunnels, nodes, streams and requests.
//!
//! Only the spelling lives here. How a key becomes a [`TunnelId`] is identity's business.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

/// Length of a label: 32 bytes in base32 without padding.
const LABEL_LEN: usize = 52;

/// The name of a tunnel: 32 bytes whose text is the DNS label (RFC 4648 base32, lower case, no padding, 52 characters).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelId(pub [u8; 32]);

/// Why a text is no tunnel label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Not 52 bytes long.
    #[error("a tunnel label has 52 characters, not {0}")]
    Length(usize),
    /// A character outside `a-z2-7`. Upper case counts: hosts are lower-cased once, by the caller.
    #[error("a tunnel label has only the characters a-z and 2-7")]
    Character,
    /// The last character carries bits beyond the 32 bytes: a second spelling of another label.
    #[error("a tunnel label is spelled canonically: its four spare bits are zero")]
    NotCanonical,
}

impl TunnelId {
    /// The DNS label, 52 characters of lower-case base32.
    pub fn label(&self) -> String {
        let mut label = BASE32_NOPAD.encode(&self.0);
        label.make_ascii_lowercase();
        label
    }

    /// Reads a label. Only the canonical lower-case spelling is one; a caller with a host from outside lower-cases it first.
    pub fn from_label(label: &str) -> Result<Self, LabelError> {
        let mut upper: [u8; LABEL_LEN] = label
            .as_bytes()
            .try_into()
            .map_err(|_| LabelError::Length(label.len()))?;
        if !upper.iter().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7')) {
            return Err(LabelError::Character);
        }
        upper.make_ascii_uppercase();
        let mut id = [0; 32];
        match BASE32_NOPAD.decode_mut(&upper, &mut id) {
            Ok(_) => Ok(Self(id)),
            Err(_) => Err(LabelError::NotCanonical),
        }
    }
}

impl fmt::Display for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl fmt::Debug for TunnelId {
    /// Short, for logs and test failures: the first ten characters of the label.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TunnelId({:.10}…)", self.label())
    }
}

/// A text is not the lower-case hex of an id of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 characters of lower-case hex")]
pub struct IdError;

fn parse_hex(text: &str) -> Result<[u8; 16], IdError> {
    let mut id = [0; 16];
    if text.len() != 32 {
        return Err(IdError);
    }
    match HEXLOWER.decode_mut(text.as_bytes(), &mut id) {
        Ok(_) => Ok(id),
        Err(_) => Err(IdError),
    }
}

/// One server process; random at each start. Text: 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(pub [u8; 16]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({:.8}…)", HEXLOWER.encode(&self.0))
    }
}

impl FromStr for NodeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hex(text).map(Self)
    }
}

impl TryFrom<String> for NodeId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.to_string()
    }
}

/// The id under which the logs of edge, uplink and agent speak of one request. Text: 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub [u8; 16]);

impl RequestId {
    /// Its text, 32 characters of lower-case hex, without memory of its own: it is written for every request.
    #[must_use]
    pub fn hex(&self) -> Hex {
        let mut hex = [0; 32];
        HEXLOWER.encode_mut(&self.0, &mut hex);
        Hex(hex)
    }
}

/// The text of a [`RequestId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex([u8; 32]);

impl Hex {
    /// As a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hex().as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

impl FromStr for RequestId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hex(text).map(Self)
    }
}

/// One exchange on one link. Opened by the server alone, strictly increasing, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The link itself: the stream field of messages that belong to no stream.
    pub const LINK: Self = Self(0);
    /// The last id that may be opened, 2³¹ − 1. A link that comes near is replaced by a new one.
    pub const LAST: Self = Self(0x7fff_ffff);

    /// The id to open after this one; `None` once the ids of the link are used up.
    pub fn next(self) -> Option<Self> {
        self.0
            .checked_add(1)
            .map(Self)
            .filter(|next| *next <= Self::LAST)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_reads_back_as_the_same_tunnel() {
        let id = TunnelId([0xa7; 32]);
        assert_eq!(id.label().len(), LABEL_LEN);
        assert_eq!(TunnelId::from_label(&id.label()), Ok(id));
        assert_eq!(id.to_string(), id.label());
    }

    #[test]
    fn only_the_canonical_lower_case_spelling_is_a_label() {
        let label = TunnelId([0; 32]).label();
        assert_eq!(label, "a".repeat(52));
        assert_eq!(TunnelId::from_label("aa"), Err(LabelError::Length(2)));
        assert_eq!(
            TunnelId::from_label(&label.to_uppercase()),
            Err(LabelError::Character)
        );
        assert_eq!(
            TunnelId::from_label(&label.replacen('a', "1", 1)),
            Err(LabelError::Character)
        );
        let spare_bit_set = format!("{}b", "a".repeat(51));
        assert_eq!(
            TunnelId::from_label(&spare_bit_set),
            Err(LabelError::NotCanonical)
        );
        // Multi-byte characters count as bytes and are refused before they are decoded.
        assert_eq!(
            TunnelId::from_label(&"é".repeat(26)),
            Err(LabelError::Character)
        );
    }

    #[test]
    fn node_ids_are_read_from_the_hex_they_print() {
        let id = NodeId([0x0f; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            id.to_string().to_uppercase().parse::<NodeId>(),
            Err(IdError)
        );
        assert_eq!("0f".parse::<NodeId>(), Err(IdError));
    }

    #[test]
    fn stream_ids_end_before_the_sign_bit() {
        assert_eq!(StreamId::LINK.next(), Some(StreamId(1)));
        assert_eq!(StreamId::LAST.next(), None);
        assert_eq!(StreamId(u32::MAX).next(), None);
    }
}
