//! One Ed25519 key: what it signs, what it is called, and which public keys are refused.
//!
//! A [`PublicKey`] that exists is a good one: on the curve, in its one canonical spelling, in the prime-order
//! subgroup. So a key has exactly one thumbprint and one hostname, and nobody can hold a key for which signatures
//! can be made without its secret. Files are the business of `keyfile`.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use messages::TunnelId;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::names;

/// Why bytes or text are not a key that Adit accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not a PKCS#8 PEM file with an Ed25519 key in it.
    #[error("not an Ed25519 private key in PKCS#8 PEM")]
    Pem,
    /// The `jwk` is not an object of exactly `kty` = `OKP`, `crv` = `Ed25519` and `x`, 32 bytes in base64url.
    #[error("the jwk is not exactly an Ed25519 public key")]
    Jwk,
    /// The 32 bytes are no point of the curve.
    #[error("not a point of the curve")]
    NotAPoint,
    /// The 32 bytes spell a point in another way than RFC 8032 section 5.1.2 does.
    #[error("not the canonical spelling of a point")]
    NonCanonical,
    /// The point has small order, or a component of small order: signatures under it do not prove possession.
    #[error("a weak key")]
    Weak,
}

/// An Ed25519 secret key. Its bytes are wiped when it is dropped, and [`fmt::Debug`] shows only the public half.
///
/// [`SecretKey::load_or_create`] and its siblings read and write the key file.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// A new key from the operating system's random generator.
    ///
    /// # Panics
    ///
    /// As [`crate::random_bytes`].
    #[must_use]
    pub fn generate() -> Self {
        Self::from_seed(&Zeroizing::new(crate::random_bytes()))
    }

    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a PKCS#8 PEM text, version 1 (as openssl writes it) or version 2 (with the public key, which must fit).
    ///
    /// # Errors
    ///
    /// [`KeyError::Pem`] for anything else, other key types included.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|_| KeyError::Pem)
    }

    /// The key as PKCS#8 version 1 PEM. Version 2 would carry the public key too, but OpenSSL 3.0 cannot read that.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        }
        .to_pkcs8_pem(LineEnding::LF)
        .expect("32 bytes always encode as PKCS#8")
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public().thumbprint())
    }
}

/// An Ed25519 public key that passed every check of [`PublicKey::from_bytes`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Takes the 32 bytes of RFC 8032 section 5.1.2.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAPoint`]; [`KeyError::Weak`] for small order, in whatever spelling, and for points with a
    /// component of small order (no honest key has one); [`KeyError::NonCanonical`] for another spelling of a good point.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        let point = key.to_edwards();
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        // The library compares keys by their bytes, so two spellings of a point would be two names of one key.
        if point.compress().as_bytes() != bytes {
            return Err(KeyError::NonCanonical);
        }
        if !point.is_torsion_free() {
            return Err(KeyError::Weak);
        }
        Ok(Self(key))
    }

    /// The 32 bytes of RFC 8032 section 5.1.2.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The JWK of RFC 8037 section 2, spelled as RFC 7638 section 3 wants it for the thumbprint: required members
    /// only, in lexicographic order, no white space.
    #[must_use]
    pub fn jwk_json(&self) -> String {
        let x = BASE64URL_NOPAD.encode(self.as_bytes());
        format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
    }

    /// The SHA-256 thumbprint of RFC 7638 over [`PublicKey::jwk_json`].
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint(Sha256::digest(self.jwk_json()).into())
    }

    /// The tunnel that this key owns: its own (`None`: the thumbprint itself), or its further tunnel called `name`.
    ///
    /// The name is hashed as it is; [`crate::check_name`] says which names a registration may carry.
    #[must_use]
    pub fn tunnel_id(&self, name: Option<&str>) -> TunnelId {
        let own = TunnelId(self.thumbprint().0);
        name.map_or(own, |name| names::named_tunnel_id(own, name))
    }

    /// The DNS label of [`PublicKey::tunnel_id`]: 52 characters of lower-case base32.
    #[must_use]
    pub fn label(&self, name: Option<&str>) -> String {
        self.tunnel_id(name).label()
    }

    /// Whether `signature` is this key's over `message`, by the strict rules: S below the group order, R canonical
    /// and of large order, no cofactor. One message has one signature that a holder of the secret would make.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0
            .verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", BASE64URL_NOPAD.encode(self.as_bytes()))
    }
}

/// The RFC 7638 SHA-256 thumbprint of a key: the "key id" that people and logs see. Displays as base64url, no padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The 32 bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

#[cfg(test)]
mod tests;
