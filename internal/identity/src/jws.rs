//! A compact JWS (RFC 7515 section 3.1) under one algorithm: `EdDSA` over Ed25519 (RFC 8037), the key in the header.
//!
//! By hand, because it is the strictness that matters, and because the general libraries bring a second crypto stack.
//! It knows nothing of what is signed: each purpose has a `typ` of its own, so that a signature made for one is worth
//! nothing for another (RFC 8725 section 3.11).

use data_encoding::BASE64URL_NOPAD;
use messages::RefusalCode;
use serde_json::{Map, Value};

use crate::json;
use crate::key::{KeyError, PublicKey, SecretKey};

/// The longest JWS that is looked at, in bytes. A registration without a policy has some 700.
pub const MAX_JWS_LEN: usize = messages::MAX_REGISTRATION;

/// Why a text is not something that a key has signed for one purpose. Each is a predicate: the caller says of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than [`MAX_JWS_LEN`], or than its purpose allows; nothing of it was looked at.
    #[error("is too large")]
    TooLarge,
    /// Not a compact JWS, or claims that are missing, of the wrong type or out of their bounds.
    #[error("is malformed: {0}")]
    Malformed(&'static str),
    /// Some JSON object in it names a member twice.
    #[error("names a JSON member twice")]
    RepeatedMember,
    /// `alg` is not exactly `EdDSA`.
    #[error("is not signed with EdDSA")]
    WrongAlgorithm,
    /// `typ` is that of another purpose.
    #[error("was signed for another purpose")]
    WrongType,
    /// `jwk` is not exactly an Ed25519 public key.
    #[error("carries a key that is refused: {0}")]
    BadKey(KeyError),
    /// The key is of small order: its signatures prove nothing.
    #[error("carries a weak key")]
    WeakKey,
    /// The signature is not this key's over this text, or not in its canonical form.
    #[error("has a signature that does not verify")]
    BadSignature,
}

impl JwsError {
    /// The stable code that the agent is told.
    pub(crate) fn refusal(self) -> RefusalCode {
        match self {
            Self::TooLarge => RefusalCode::TooLarge,
            Self::Malformed(_)
            | Self::RepeatedMember
            | Self::BadKey(
                KeyError::Jwk
                | KeyError::Text
                | KeyError::Pem
                | KeyError::Protected
                | KeyError::Passphrase,
            ) => RefusalCode::BadRequest,
            Self::WrongAlgorithm => RefusalCode::WrongAlgorithm,
            Self::WrongType => RefusalCode::WrongType,
            Self::WeakKey
            | Self::BadKey(KeyError::NotAPoint | KeyError::NonCanonical | KeyError::Weak) => {
                RefusalCode::WeakKey
            }
            Self::BadSignature => RefusalCode::BadSignature,
        }
    }
}

/// What a good signature vouches for.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The key that signed.
    pub(crate) key: PublicKey,
    /// The bytes it signed.
    pub(crate) payload: Vec<u8>,
}

/// Signs `payload` for the purpose `typ`, which must need no JSON escapes.
pub(crate) fn sign(key: &SecretKey, typ: &str, payload: &[u8]) -> String {
    let jwk = key.public().jwk_json();
    let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}","jwk":{jwk}}}"#);
    sign_with_header(key, header.as_bytes(), payload)
}

/// Opens a JWS made for the purpose `typ`. The header is checked before the key, the key before the signature, and
/// nothing of the payload is looked at before the signature holds.
pub(crate) fn open(jws: &[u8], typ: &str) -> Result<Opened, JwsError> {
    if jws.len() > MAX_JWS_LEN {
        return Err(JwsError::TooLarge);
    }
    let parts = Parts::split(jws)?;
    let header = json::object(&parts.header, "the header is no JSON object")?;
    let key = header_key(&header, typ)?;
    if !key.verifies(parts.signed, &parts.signature) {
        return Err(JwsError::BadSignature);
    }
    Ok(Opened {
        key,
        payload: parts.payload,
    })
}

/// The three parts, decoded, and the text that the signature is over.
struct Parts<'a> {
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: [u8; 64],
    signed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn split(jws: &'a [u8]) -> Result<Self, JwsError> {
        let mut texts = jws.split(|&byte| byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (texts.next(), texts.next(), texts.next(), texts.next())
        else {
            return Err(JwsError::Malformed("not three parts joined by dots"));
        };
        let (signed, _) = jws
            .split_at_checked(header.len() + 1 + payload.len())
            .expect("header, dot and payload stand in front of the second dot");
        let signature = decode(signature)?;
        Ok(Self {
            header: decode(header)?,
            payload: decode(payload)?,
            signature: signature
                .try_into()
                .map_err(|_| JwsError::Malformed("the signature has not 64 bytes"))?,
            signed,
        })
    }
}

/// Only the one spelling of some bytes is taken: no padding, no white space, spare bits zero.
fn decode(text: &[u8]) -> Result<Vec<u8>, JwsError> {
    BASE64URL_NOPAD
        .decode(text)
        .map_err(|_| JwsError::Malformed("not canonical base64url"))
}

/// Checks `alg`, `typ` and `crit`, and takes the key out of `jwk`. Other members (`kid`, for instance) are ignored, as
/// RFC 7515 section 4 wants; none of them is ever believed.
fn header_key(header: &Map<String, Value>, typ: &str) -> Result<PublicKey, JwsError> {
    let text = |name| header.get(name).and_then(Value::as_str);
    if text("alg") != Some("EdDSA") {
        return Err(JwsError::WrongAlgorithm);
    }
    if text("typ") != Some(typ) {
        return Err(JwsError::WrongType);
    }
    if header.contains_key("crit") {
        return Err(JwsError::Malformed("a critical extension (crit)"));
    }
    let jwk = header.get("jwk").ok_or(JwsError::BadKey(KeyError::Jwk))?;
    jwk_key(jwk).map_err(|error| match error {
        KeyError::Weak => JwsError::WeakKey,
        other => JwsError::BadKey(other),
    })
}

/// Exactly `kty`, `crv` and `x`: more could be a secret key sent by mistake (`d`), or restrict the use of the key.
fn jwk_key(jwk: &Value) -> Result<PublicKey, KeyError> {
    let members = jwk
        .as_object()
        .filter(|m| m.len() == 3)
        .ok_or(KeyError::Jwk)?;
    let text = |name| members.get(name).and_then(Value::as_str);
    let (Some("OKP"), Some("Ed25519"), Some(x)) = (text("kty"), text("crv"), text("x")) else {
        return Err(KeyError::Jwk);
    };
    PublicKey::from_x(x)
}

/// The signing half of RFC 7515 section 5.1, whatever the header says: tests forge with it.
pub(crate) fn sign_with_header(key: &SecretKey, header: &[u8], payload: &[u8]) -> String {
    let mut jws = BASE64URL_NOPAD.encode(header);
    jws.push('.');
    BASE64URL_NOPAD.encode_append(payload, &mut jws);
    let signature = key.sign(jws.as_bytes());
    jws.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut jws);
    jws
}

#[cfg(test)]
mod tests;
