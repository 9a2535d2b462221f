//! The messages of a link as a whole, in JSON: Hello, the answer to a registration, Disconnect, Notice.
//!
//! They are rare and must be able to grow, so they describe themselves: fields that a reader does not know are skipped,
//! fields that a writer does not know take their default. The signed registration request is identity's; here it is opaque.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::DecodeError;
use crate::frame::{Flags, Frame};
use crate::ids::{NodeId, StreamId};
use crate::reset::MAX_REASON;
use crate::tag::Tag;
use crate::text::{self, codes};

/// The version this crate speaks; also in the WebSocket subprotocol, `adit.v1`.
pub const PROTOCOL_VERSION: u8 = 1;

/// Longest domain in bytes (RFC 1035 section 2.3.4, without the root).
pub const MAX_DOMAIN: usize = 253;

/// Longest sentence of a refusal or a notice in bytes.
const MAX_SENTENCE: usize = 512;

/// Longest code that is sent in bytes; only the `Other` of a table of codes could be longer.
const MAX_CODE: usize = 64;

/// The server's first word on a link: what the agent must sign, and what the server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Random, for this link alone. base64url without padding, 43 characters.
    #[serde(with = "base64url")]
    pub nonce: [u8; 32],
    /// The server process.
    pub node: NodeId,
    /// The domain under which the server publishes tunnels; at most [`MAX_DOMAIN`] bytes.
    pub domain: String,
    /// The server's clock, in seconds since 1970, so that an agent without a clock can register.
    pub time: u64,
    /// Protocol versions the server speaks.
    pub versions: Vec<u8>,
    /// What the server will hold the agent to.
    #[serde(default)]
    pub limits: LinkLimits,
}

/// Limits of a link. A field that is missing has the default below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkLimits {
    /// Longest request or response body in bytes; `None` (JSON null) for no limit. Default 512 000.
    pub max_body: Option<u64>,
    /// Streams that may be live on the link at once. Default 1024.
    pub max_streams: u32,
    /// Longest WebSocket message in bytes; `None` (JSON null) for no limit. Default 512 000.
    pub max_message: Option<u64>,
    /// Time from the last request byte to the response head, in milliseconds. Default 30 000.
    pub head_timeout_ms: u64,
    /// Silence after which a side pings, in milliseconds. Default 10 000.
    pub ping_after_ms: u64,
    /// Silence after which a side takes the link for dead, in milliseconds. Default 20 000.
    pub dead_after_ms: u64,
    /// Messages a second on the link, in each direction, lastingly; `None` (missing) when no rate is told, like each of the
    /// rates below. Above it credit and new streams wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_second: Option<u32>,
    /// KiB a second on the link, in each direction, lastingly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kib_per_second: Option<u32>,
    /// Requests a second to the tunnel, lastingly; visitors beyond it are answered 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Requests a second of one visitor's address, lastingly; beyond it they are answered 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visitor_requests_per_second: Option<u32>,
    /// Links of the agent's key on one node, over all its tunnels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_links: Option<u32>,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            max_body: Some(512_000),
            max_streams: 1024,
            max_message: Some(512_000),
            head_timeout_ms: 30_000,
            ping_after_ms: 10_000,
            dead_after_ms: 20_000,
            messages_per_second: None,
            kib_per_second: None,
            requests_per_second: None,
            visitor_requests_per_second: None,
            max_links: None,
        }
    }
}

/// The server's answer to a registration. In JSON the field `status` is `granted` or `refused`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum RegistrationResponse {
    /// The tunnel is the agent's and the link serves it from now on.
    Granted(Granted),
    /// It is not, and the server closes the link.
    Refused(Refused),
}

/// What the agent holds now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// RFC 7638 thumbprint of the agent's key, base64url without padding.
    pub key_id: String,
    /// The tunnel's label, 52 characters. The agent computes its own and refuses a response that gives another.
    pub tunnel: String,
    /// The public host name, without port.
    pub hostname: String,
    /// The public URL, with scheme and, where it is not the default, port.
    pub url: String,
    /// The server process that holds the link.
    pub node: NodeId,
    /// The session's generation; its later links present it.
    pub generation: u64,
    /// How many links the server would like the agent to hold, to different nodes.
    #[serde(default = "one")]
    pub links: u32,
    /// What the server will hold the agent to.
    #[serde(default)]
    pub limits: LinkLimits,
}

/// Why the agent got nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// For machines.
    pub code: RefusalCode,
    /// One sentence for the person who runs the agent; cut to 512 bytes when sent.
    #[serde(default)]
    pub message: String,
    /// When to come back, in milliseconds from now, if the server can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

codes! {
    /// Why a registration is refused.
    pub enum RefusalCode {
        /// Not a compact JWS of the right shape, or a claim is missing or malformed.
        BadRequest = "bad-request",
        /// The signature does not verify under the key in the header.
        BadSignature = "bad-signature",
        /// `aud` is no name of this server.
        WrongAudience = "wrong-audience",
        /// Outside `iat` to `exp`.
        Stale = "stale",
        /// Signed for another link.
        WrongNonce = "wrong-nonce",
        /// The public key is of small order or not a point.
        WeakKey = "weak-key",
        /// Signed for another purpose.
        WrongType = "wrong-type",
        /// `alg` is not `EdDSA`.
        WrongAlgorithm = "wrong-algorithm",
        /// Above 8 KiB, or a field above its limit.
        TooLarge = "too-large",
        /// No protocol version in common.
        UnsupportedVersion = "unsupported-version",
        /// A newer session holds the name.
        Replaced = "replaced",
        /// The name changed hands too often in the last minute.
        Contended = "contended",
        /// A shared session against a live exclusive one.
        ModeConflict = "mode-conflict",
        /// The address or the session holds enough links.
        TooManyLinks = "too-many-links",
        /// The address registered too often.
        TooManyRegistrations = "too-many-registrations",
        /// The server is going down; try another node.
        Draining = "draining",
        /// The server cannot reach its directory.
        Unavailable = "unavailable",
        /// The operator does not admit this key.
        NotAllowed = "not-allowed",
        /// The key may not have the host name it asked for.
        NameNotGranted = "name-not-granted",
        /// Another key holds the host name.
        NameTaken = "name-taken",
        /// The server wants proof of its join token, and there is none or a wrong one.
        TokenRequired = "token-required",
        /// The policy breaks a rule, or goes beyond what the operator permits; the sentence names the field.
        PolicyRefused = "policy-refused",
        /// The key was rotated away, or its chain of statements is not the one the server knows.
        Rotated = "rotated",
    }
}

impl RefusalCode {
    /// Whether the same agent would be refused for ever, or would do harm by returning: it must not come back by itself.
    pub fn is_final(&self) -> bool {
        match self {
            Self::BadRequest
            | Self::BadSignature
            | Self::WeakKey
            | Self::WrongType
            | Self::WrongAlgorithm
            | Self::TooLarge
            | Self::UnsupportedVersion
            | Self::Replaced
            | Self::NotAllowed
            | Self::NameNotGranted
            | Self::TokenRequired
            | Self::PolicyRefused
            | Self::Rotated => true,
            // The rest passes with time, or when somebody mends the server: an agent in the field waits for that.
            Self::WrongAudience
            | Self::Stale
            | Self::WrongNonce
            | Self::Contended
            | Self::ModeConflict
            | Self::NameTaken
            | Self::TooManyLinks
            | Self::TooManyRegistrations
            | Self::Draining
            | Self::Unavailable
            | Self::Other(_) => false,
        }
    }
}

/// The sender is about to close the link; or, said for the first time and with [`DisconnectCode::Draining`], wishes the
/// peer to move and goes on until it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disconnect {
    /// For machines.
    pub code: DisconnectCode,
    /// For logs; cut to 256 bytes when sent.
    #[serde(default)]
    pub reason: String,
    /// An agent that comes back waits a random time up to this many milliseconds first, so that not all come at once.
    #[serde(default)]
    pub spread_ms: u64,
}

codes! {
    /// Why a link is being closed.
    pub enum DisconnectCode {
        /// A newer session took the name. Do not come back.
        Replaced = "replaced",
        /// The node is going down: come back elsewhere.
        Draining = "draining",
        /// The registration was refused, or admission was withdrawn.
        Refused = "refused",
        /// The process is stopping.
        ShuttingDown = "shutting-down",
        /// The other side broke a rule of the link.
        Protocol = "protocol",
        /// The link's queue is full.
        Overloaded = "overloaded",
        /// Nothing was done for too long.
        Idle = "idle",
        /// The agent is leaving for good.
        Leaving = "leaving",
    }
}

impl DisconnectCode {
    /// Whether an agent that is told this must not come back by itself.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Replaced | Self::Refused => true,
            Self::Draining
            | Self::ShuttingDown
            | Self::Protocol
            | Self::Overloaded
            | Self::Idle
            | Self::Leaving
            | Self::Other(_) => false,
        }
    }
}

/// Something that the person who runs the agent should know and perhaps can mend. Nothing follows from it on the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// For machines.
    pub code: NoticeCode,
    /// One sentence; cut to 512 bytes when sent.
    #[serde(default)]
    pub message: String,
}

codes! {
    /// What a notice is about.
    pub enum NoticeCode {
        /// The link carries more than its rate: credit and new streams wait.
        LinkRate = "link-rate",
        /// The tunnel gets more requests than its rate: visitors are answered 429.
        RequestRate = "request-rate",
    }
}

impl Hello {
    /// The frame that carries it.
    pub fn encode(&self) -> Frame {
        link_frame(Tag::Hello, self)
    }
}

impl RegistrationResponse {
    /// The frame that carries it; long sentences are cut.
    pub fn encode(&self) -> Frame {
        match self {
            Self::Granted(_) => link_frame(Tag::RegistrationResponse, self),
            Self::Refused(refused) => {
                let refused = Refused {
                    code: text::cut(refused.code.as_str().to_owned(), MAX_CODE).into(),
                    message: text::cut(refused.message.clone(), MAX_SENTENCE),
                    retry_after_ms: refused.retry_after_ms,
                };
                link_frame(Tag::RegistrationResponse, &Self::Refused(refused))
            }
        }
    }
}

impl Disconnect {
    /// A disconnect without spread; the reason is cut to 256 bytes.
    pub fn new(code: DisconnectCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: text::cut(reason.into(), MAX_REASON),
            spread_ms: 0,
        }
    }

    /// The frame that carries it; a long reason is cut.
    pub fn encode(&self) -> Frame {
        let disconnect = Self {
            code: text::cut(self.code.as_str().to_owned(), MAX_CODE).into(),
            reason: text::cut(self.reason.clone(), MAX_REASON),
            spread_ms: self.spread_ms,
        };
        link_frame(Tag::Disconnect, &disconnect)
    }
}

impl Notice {
    /// The frame that carries it; a long sentence is cut.
    pub fn encode(&self) -> Frame {
        let notice = Self {
            code: text::cut(self.code.as_str().to_owned(), MAX_CODE).into(),
            message: text::cut(self.message.clone(), MAX_SENTENCE),
        };
        link_frame(Tag::Notice, &notice)
    }
}

/// Reads the JSON object of a control message. Its size was bounded by the frame's limit.
pub(crate) fn decode<T: DeserializeOwned>(tag: Tag, payload: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(payload).map_err(|error| DecodeError::Json {
        tag,
        reason: text::cut(error.to_string(), MAX_REASON),
    })
}

fn link_frame(tag: Tag, message: &impl Serialize) -> Frame {
    let json =
        serde_json::to_vec(message).expect("control messages have only strings, numbers and nulls");
    Frame::new(tag, Flags::NONE, StreamId::LINK, Bytes::from(json))
}

fn one() -> u32 {
    1
}

/// 32 bytes as base64url without padding.
pub(crate) mod base64url {
    use super::{BASE64URL_NOPAD, Deserialize, Deserializer, Serializer};
    use serde::de::Error;

    pub(crate) fn serialize<S: Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL_NOPAD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(D::Error::custom)?;
        bytes
            .try_into()
            .map_err(|_| D::Error::custom("expected 32 bytes"))
    }
}

#[cfg(test)]
mod tests;
