//! What an agent claims when it registers: the payload of the signature, and the bounds of each field.
//!
//! Unknown claims are ignored, so that agents may grow. Whether a claim is *true* of this link (audience, nonce, time)
//! is asked in `registration`.

use data_encoding::BASE64URL_NOPAD;
use messages::PolicyId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::chain::{ChainError, MAX_CHAIN};
use crate::error::VerifyError;
use crate::json;
use crate::jws::JwsError;
use crate::names::{canonical_grant, check_name};

/// The agent's own description, in bytes. It is logged and shown, never interpreted.
const MAX_AGENT_LEN: usize = 128;

/// A session id: 16 bytes as lower-case hexadecimal digits.
const SESSION_LEN: usize = 32;

/// Far more than there will be; each is an octet on the wire.
const MAX_VERSIONS: usize = 16;

/// The claims of a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// The host the agent was configured to dial. One text: the list form of RFC 7519 section 4.1.3 is refused.
    pub aud: String,
    /// The nonce of the greeting on this very link (base64url in JSON).
    #[serde(with = "nonce")]
    pub nonce: [u8; 32],
    /// Made at: whole seconds since 1970, by the server's clock as the greeting told it.
    pub iat: u64,
    /// Void after: whole seconds since 1970, at most [`crate::MAX_LIFETIME`] behind `iat`.
    pub exp: u64,
    /// Which further tunnel of the key, by the rules of [`crate::check_name`]; none: the key's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The granted host that the agent wants, as [`crate::canonical_grant`] spells it; not together with `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The agent wants the readable name of [`crate::auto_name`]; not together with `name` or `host`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto: bool,
    /// The agent process: 16 random bytes as 32 lower-case hexadecimal digits. Its links form one pool.
    pub session: String,
    /// The generation this session was given when its first link registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Whether the session wants the name for itself.
    #[serde(default)]
    pub mode: Mode,
    /// What the agent calls itself, for logs: at most 128 printable ASCII characters.
    pub agent: String,
    /// The protocol versions the agent speaks, at most 16.
    pub versions: Vec<u8>,
    /// What the agent asks the edge to enforce for its tunnel. Opaque here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Value>,
    /// The TLS exporter value of the agent's connection, as base64url; none without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The proof that the agent knows a join token of the server: [`crate::join::make`] (base64url in JSON).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "proof")]
    pub join: Option<[u8; 32]>,
    /// The statements by which the key came to its name, oldest first: [`crate::Chain::statements`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
}

/// How a session holds its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Alone: a newer session takes the name over.
    #[default]
    Exclusive,
    /// Together with other shared sessions of the same key.
    Shared,
}

impl Claims {
    /// Reads claims and checks the bounds of every field that is later stored, compared or logged.
    pub(crate) fn from_json(payload: &[u8]) -> Result<Self, VerifyError> {
        Self::from_members(json::object(payload, "the claims are no JSON object")?)
    }

    /// The same, of an object that has been read.
    pub(crate) fn from_members(members: Map<String, Value>) -> Result<Self, VerifyError> {
        let claims: Self = serde_json::from_value(members.into())
            .map_err(|_| JwsError::Malformed("a claim is missing or of the wrong type"))?;
        claims.check_bounds()?;
        Ok(claims)
    }

    fn check_bounds(&self) -> Result<(), VerifyError> {
        let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if self.session.len() != SESSION_LEN || !self.session.bytes().all(digit) {
            let rule = "session is not 32 lower-case hexadecimal digits";
            return Err(JwsError::Malformed(rule).into());
        }
        let printable = |byte| matches!(byte, b' '..=b'~');
        if self.agent.len() > MAX_AGENT_LEN || !self.agent.bytes().all(printable) {
            let rule = "agent is not at most 128 printable ASCII characters";
            return Err(JwsError::Malformed(rule).into());
        }
        if self.versions.len() > MAX_VERSIONS {
            return Err(JwsError::Malformed("more than 16 versions").into());
        }
        if self.chain.len() > MAX_CHAIN {
            return Err(ChainError::TooLong.into());
        }
        self.check_names()
    }

    fn check_names(&self) -> Result<(), VerifyError> {
        let asked = [self.name.is_some(), self.host.is_some(), self.auto];
        if asked.into_iter().filter(|asked| *asked).count() > 1 {
            return Err(VerifyError::TwoNames);
        }
        if let Some(name) = &self.name {
            check_name(name).map_err(VerifyError::BadName)?;
        }
        if let Some(host) = &self.host
            && canonical_grant(host).map_err(VerifyError::BadHost)? != *host
        {
            // Two spellings of one host would be two tunnels.
            return Err(JwsError::Malformed("host is not in its canonical spelling").into());
        }
        Ok(())
    }
}

/// Names a policy by the SHA-256 of its canonical JSON, [`messages::Policy::to_json`]; no bytes are no policy.
#[must_use]
pub fn policy_id(document: &[u8]) -> PolicyId {
    if document.is_empty() {
        return PolicyId::NONE;
    }
    PolicyId(Sha256::digest(document).into())
}

/// 32 bytes as base64url in JSON.
mod nonce {
    use super::{BASE64URL_NOPAD, Deserialize, Deserializer, Serializer};
    use serde::de::Error;

    pub(super) fn serialize<S: Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL_NOPAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(Error::custom)?;
        <[u8; 32]>::try_from(bytes).map_err(|_| Error::custom("not 32 bytes"))
    }
}

/// The same, where there may be none. `null` is no proof.
mod proof {
    use super::{Deserializer, Serializer, nonce};

    #[expect(clippy::ref_option, reason = "the signature serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<[u8; 32]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => nonce::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 32]>, D::Error> {
        nonce::deserialize(deserializer).map(Some)
    }
}
