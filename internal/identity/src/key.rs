//! One Ed25519 key: what it signs, what it is called, and which public keys are refused.
//!
//! A [`PublicKey`] that exists is a good one: on the curve, in its one canonical spelling, in the prime-order
//! subgroup. So a key has exactly one thumbprint and one hostname, and nobody can hold a key for which signatures
//! can be made without its secret. A [`SecretKey`] comes with the [`Chain`] that says whose name it holds. The PEM form
//! is that of `pem`, files are the business of `keyfile`.

mod pem;

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use messages::TunnelId;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::chain::{Chain, ChainError};
use crate::names;

pub use pem::{EmptyPassphrase, Passphrase};

/// What stands in front of a public key in a text.
const PREFIX: &str = "ed25519:";

/// Why bytes or text are not a key that Adit accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not a PKCS#8 PEM file with an Ed25519 key in it.
    #[error("not an Ed25519 private key in PKCS#8 PEM")]
    Pem,
    /// The text is an encrypted PKCS#8 PEM file, and no passphrase was given.
    #[error("protected by a passphrase")]
    Protected,
    /// The passphrase does not open the encrypted PKCS#8 PEM file, or the file is damaged.
    #[error("not opened by this passphrase")]
    Passphrase,
    /// The text is not `ed25519:` and 32 bytes in base64url.
    #[error("not a public key of the form ed25519:BASE64URL")]
    Text,
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

/// An Ed25519 secret key, and how it came to the name it holds. Its bytes are wiped when it is dropped, and [`fmt::Debug`]
/// shows only the public half.
///
/// [`SecretKey::load_or_create`] and its siblings read and write the key file.
pub struct SecretKey {
    signing: SigningKey,
    chain: Chain,
}

impl SecretKey {
    /// A new key from the operating system's random generator, with a name of its own.
    ///
    /// # Panics
    ///
    /// As [`crate::random_bytes`].
    #[must_use]
    pub fn generate() -> Self {
        Self::from_seed(&Zeroizing::new(crate::random_bytes()))
    }

    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        SigningKey::from_bytes(seed).into()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.chain.current()
    }

    /// The keys whose name this one holds, itself the last.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The tunnel that this key holds: that of the root of its chain (`None`), or its further tunnel called `name`.
    #[must_use]
    pub fn tunnel_id(&self, name: Option<&str>) -> TunnelId {
        self.chain.keys()[0].tunnel_id(name)
    }

    /// This key with the name that `statements`, oldest first, hand on to it.
    ///
    /// # Errors
    ///
    /// [`ChainError`] when they do not lead to it.
    pub fn with_chain(mut self, statements: Vec<String>) -> Result<Self, ChainError> {
        self.chain = Chain::leading_to(self.public(), statements)?;
        Ok(self)
    }

    /// A new key that takes over the name of this one under `domain`. `iat` is now, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`ChainError::TooLong`] for a name that was handed on too often, [`ChainError::OtherDomain`] when it was handed on
    /// for another domain before, [`ChainError::BadDomain`].
    ///
    /// # Panics
    ///
    /// As [`crate::random_bytes`].
    pub fn rotate(&self, domain: &str, iat: u64) -> Result<Self, ChainError> {
        self.hand_on(Self::generate(), domain, iat)
    }

    pub(crate) fn hand_on(
        &self,
        mut new: Self,
        domain: &str,
        iat: u64,
    ) -> Result<Self, ChainError> {
        new.chain = self.chain.hand_on(self, new.public(), domain, iat)?;
        Ok(new)
    }

    pub(crate) fn set_chain(&mut self, chain: Chain) {
        debug_assert_eq!(chain.current(), self.public());
        self.chain = chain;
    }

    /// The secret key as a JWK of RFC 8037 section 2: whoever has this text has the key.
    #[must_use]
    pub fn secret_jwk_json(&self) -> Zeroizing<String> {
        let x = self.public().x();
        let d = Zeroizing::new(BASE64URL_NOPAD.encode(self.signing.as_bytes()));
        let d = d.as_str();
        Zeroizing::new(format!(
            r#"{{"crv":"Ed25519","d":"{d}","kty":"OKP","x":"{x}"}}"#
        ))
    }

    /// A secret of the key for one purpose: whoever has it learns nothing of the key, nor of another purpose's.
    pub(crate) fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let mac = Hmac::<Sha256>::new_from_slice(self.signing.as_bytes());
        let mac = mac.expect("HMAC takes keys of any length");
        Zeroizing::new(mac.chain_update(purpose).finalize().into_bytes().into())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}

impl From<SigningKey> for SecretKey {
    fn from(signing: SigningKey) -> Self {
        let chain = Chain::of(PublicKey(signing.verifying_key()));
        Self { signing, chain }
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

    /// Takes the `x` of a JWK: the 32 bytes in canonical base64url.
    pub(crate) fn from_x(x: &str) -> Result<Self, KeyError> {
        let bytes = BASE64URL_NOPAD
            .decode(x.as_bytes())
            .map_err(|_| KeyError::Jwk)?;
        Self::from_bytes(&bytes.try_into().map_err(|_| KeyError::Jwk)?)
    }

    pub(crate) fn x(&self) -> String {
        BASE64URL_NOPAD.encode(self.as_bytes())
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
        let x = self.x();
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

/// `ed25519:` and the 32 bytes in base64url: the form of keys files.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.x())
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// Reads what [`fmt::Display`] writes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Text`] for another form; as [`PublicKey::from_bytes`].
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let x = text.strip_prefix(PREFIX).ok_or(KeyError::Text)?;
        Self::from_x(x).map_err(|error| match error {
            KeyError::Jwk => KeyError::Text,
            other => other,
        })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.x())
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
