//! A key as text: PKCS#8 PEM, plain or encrypted under a passphrase, as openssl reads and writes both.

use std::fmt;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use pkcs8::pkcs5::pbes2::{Kdf, Parameters, Salt, ScryptParams};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

use super::{KeyError, SecretKey};

/// The PEM label of RFC 7468 section 11.
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// The work of guessing one passphrase, N, r and p of RFC 7914: 16 MiB, five times. OpenSSL refuses to spend more than 32
/// MiB; with N at its limit, p is what makes it as dear as OWASP asks.
const SCRYPT: (u64, u16, u16) = (1 << 14, 8, 5);

/// What opens a protected key. Wiped when it is dropped.
pub struct Passphrase(Zeroizing<String>);

/// A passphrase without a character protects nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase is empty")]
pub struct EmptyPassphrase;

impl Passphrase {
    /// Takes a text, as it is: no white space is removed.
    ///
    /// # Errors
    ///
    /// [`EmptyPassphrase`].
    pub fn new(text: impl Into<String>) -> Result<Self, EmptyPassphrase> {
        let text = Zeroizing::new(text.into());
        if text.is_empty() {
            return Err(EmptyPassphrase);
        }
        Ok(Self(text))
    }
}

impl PartialEq for Passphrase {
    /// Of two that one person has typed: how long it takes tells nobody anything.
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(hidden)")
    }
}

impl SecretKey {
    /// Reads a PKCS#8 PEM text, version 1 (as openssl writes it) or version 2 (with the public key, which must fit).
    ///
    /// # Errors
    ///
    /// [`KeyError::Protected`] for an encrypted one, [`KeyError::Pem`] for anything else, other key types included.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if is_protected(pem) {
            return Err(KeyError::Protected);
        }
        SigningKey::from_pkcs8_pem(pem)
            .map(Self::from)
            .map_err(|_| KeyError::Pem)
    }

    /// Reads an encrypted PKCS#8 PEM text: PBES2 with scrypt or PBKDF2 and AES, what [`SecretKey::to_protected_pem`] or
    /// openssl 3 write. One that is not encrypted is read without the passphrase.
    ///
    /// # Errors
    ///
    /// [`KeyError::Passphrase`]; [`KeyError::Pem`] for what is no such text.
    pub fn from_protected_pem(pem: &str, passphrase: &Passphrase) -> Result<Self, KeyError> {
        if !is_protected(pem) {
            return Self::from_pem(pem);
        }
        let (label, document) = SecretDocument::from_pem(pem).map_err(|_| KeyError::Pem)?;
        if label != ENCRYPTED {
            return Err(KeyError::Pem);
        }
        let encrypted =
            EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| KeyError::Pem)?;
        // A wrong passphrase shows itself as padding or as DER that makes no sense.
        let opened = encrypted
            .decrypt(passphrase.0.as_bytes())
            .map_err(|_| KeyError::Passphrase)?;
        SigningKey::from_pkcs8_der(opened.as_bytes())
            .map(Self::from)
            .map_err(|_| KeyError::Passphrase)
    }

    /// The key as PKCS#8 version 1 PEM. Version 2 would carry the public key too, but OpenSSL 3.0 cannot read that.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.keypair()
            .to_pkcs8_pem(LineEnding::LF)
            .expect("32 bytes always encode as PKCS#8")
    }

    /// The key as encrypted PKCS#8 PEM: PBES2 with scrypt and AES-256-CBC. Takes a quarter of a second, on purpose.
    ///
    /// # Panics
    ///
    /// As [`crate::random_bytes`].
    #[must_use]
    pub fn to_protected_pem(&self, passphrase: &Passphrase) -> Zeroizing<String> {
        let plain = self
            .keypair()
            .to_pkcs8_der()
            .expect("32 bytes always encode as PKCS#8");
        let info =
            PrivateKeyInfoRef::try_from(plain.as_bytes()).expect("what was encoded is decoded");
        info.encrypt_with_params(fresh_parameters(), passphrase.0.as_bytes())
            .expect("the parameters are good ones")
            .to_pem(ENCRYPTED, LineEnding::LF)
            .expect("a DER document always encodes as PEM")
    }

    fn keypair(&self) -> KeypairBytes {
        KeypairBytes {
            secret_key: self.signing.to_bytes(),
            public_key: None,
        }
    }
}

fn fresh_parameters() -> Parameters {
    let (cost_parameter, block_size, parallelization) = SCRYPT;
    let salt = crate::random_bytes::<16>();
    let mut parameters =
        Parameters::generate_scrypt_aes256cbc(Default::default(), &salt, crate::random_bytes())
            .expect("the salt is short enough");
    parameters.kdf = Kdf::Scrypt(ScryptParams {
        salt: Salt::new(salt).expect("the salt is short enough"),
        cost_parameter,
        block_size,
        parallelization,
        key_length: None,
    });
    parameters
}

/// Text in front of the first line is for people, and is allowed (RFC 7468 section 2).
fn is_protected(pem: &str) -> bool {
    pem.lines()
        .any(|line| line.trim_end() == "-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

#[cfg(test)]
mod tests;
