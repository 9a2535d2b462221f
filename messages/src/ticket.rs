//! Tickets: what lets an agent into the encrypted channel, in JSON over HTTP.
//!
//! They never cross a link. A ticket alone opens nothing: it is good once, within seconds, for the key it names.

use serde::{Deserialize, Serialize};

use crate::control::base64url;
use crate::ids::NodeId;

/// Where tickets are asked for, on hosts that are no tunnel: GET for a Hello, POST for the ticket.
pub const TICKETS_PATH: &str = "/_adit/tickets";

/// The longest answer to either question, in bytes.
pub const MAX_TICKET: usize = 8192;

/// How long a ticket is good for, in seconds, at most.
pub const TICKET_LIFETIME: u64 = 30;

/// Lets the holder of one key into the channel, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// What the first record on the channel says. base64url without padding, 43 characters.
    #[serde(with = "base64url")]
    pub ticket: [u8; 32],
    /// Where the channel is: host and port, as in a URL.
    pub address: String,
    /// When it is void, in seconds since 1970 by the server's clock; at most [`TICKET_LIFETIME`] from now.
    pub expires: u64,
    /// RFC 7638 thumbprint of the key it is for, base64url without padding.
    pub thumbprint: String,
    /// The server process that answered. Where nodes share a key, another may hold the channel.
    pub node: NodeId,
    /// The Ed25519 key of the channel, to pin: 32 bytes as base64url without padding.
    #[serde(with = "base64url")]
    pub public_key: [u8; 32],
}

impl Ticket {
    /// The JSON object.
    ///
    /// # Panics
    /// Never: it has only strings and numbers.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a ticket has only strings and numbers")
    }

    /// Reads the JSON object; fields that are not known are skipped.
    ///
    /// # Errors
    /// Why it is none.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of SPEC.md.
    const SPELLED: &str = concat!(
        r#"{"ticket":"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM","address":"tunnel.example:8443","#,
        r#""expires":1800000030,"thumbprint":"aVBtapLd11SUVKIMGJfPzOEDuN0sXcmzJQNVT-_sKEU","#,
        r#""node":"00112233445566778899aabbccddeeff","public_key":"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w"}"#,
    );

    fn ticket() -> Ticket {
        Ticket {
            ticket: [3; 32],
            address: "tunnel.example:8443".to_owned(),
            expires: 1_800_000_030,
            thumbprint: "aVBtapLd11SUVKIMGJfPzOEDuN0sXcmzJQNVT-_sKEU".to_owned(),
            node: NodeId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes()),
            public_key: [
                0x8a, 0x88, 0xe3, 0xdd, 0x74, 0x09, 0xf1, 0x95, 0xfd, 0x52, 0xdb, 0x2d, 0x3c, 0xba,
                0x5d, 0x72, 0xca, 0x67, 0x09, 0xbf, 0x1d, 0x94, 0x12, 0x1b, 0xf3, 0x74, 0x88, 0x01,
                0xb4, 0x0f, 0x6f, 0x5c,
            ],
        }
    }

    #[test]
    fn a_ticket_is_spelled_as_the_specification_says() {
        assert_eq!(String::from_utf8(ticket().to_json()).unwrap(), SPELLED);
        assert_eq!(Ticket::from_json(SPELLED.as_bytes()).unwrap(), ticket());
        assert!(include_str!("../SPEC.md").contains(SPELLED));
    }

    #[test]
    fn a_ticket_may_grow_and_may_not_be_bent() {
        let grown = SPELLED.replace(r#""node""#, r#""later":[1],"node""#);
        assert_eq!(Ticket::from_json(grown.as_bytes()).unwrap(), ticket());
        for (good, bad) in [
            ("AwMDAwM\"", "AwMDAwN\""),
            ("AwMDAwM\"", "AwMDAwM=\""),
            ("\"expires\":1800000030,", ""),
            ("\"tunnel.example:8443\"", "8443"),
        ] {
            let bent = SPELLED.replace(good, bad);
            assert_ne!(bent, SPELLED);
            assert!(Ticket::from_json(bent.as_bytes()).is_err(), "{bent}");
        }
    }
}
