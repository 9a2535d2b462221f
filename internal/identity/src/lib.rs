//! Keys, signing and proof: turns a public key into a tunnel id, and a signature into a type that only
//! verification can build.
//!
//! The only crate that names the crypto library. It knows no sockets, no clock and no configuration: time, nonce
//! and audience are arguments, so every rule here can be tested with a table. What an agent is *allowed* to do once
//! its key is proved (takeover, caps, draining) is decided by the crates above.
//!
//! - [`SecretKey`], [`PublicKey`]: an Ed25519 key, its file, its thumbprint, the hostname labels it owns.
//! - [`sign_registration`], [`verify_registration`]: the two ends of the proof, and [`VerifiedRegistration`].
//! - [`check_name`], [`canonical_host`], [`granted_host_id`]: the spellings that names and hosts may have.

mod claims;
mod error;
mod json;
mod jws;
mod key;
mod keyfile;
mod names;
mod registration;

pub use claims::{Claims, Mode};
pub use error::VerifyError;
pub use jws::MAX_JWS_LEN;
pub use key::{KeyError, PublicKey, SecretKey, Thumbprint};
pub use keyfile::KeyFileError;
pub use names::{HostError, MAX_NAME_LEN, NameError, canonical_host, check_name, granted_host_id};
pub use registration::{
    CLOCK_SLACK, Expectation, MAX_LIFETIME, REGISTER_TYP, VerifiedRegistration, sign_registration,
    verify_registration,
};

/// `N` bytes from the operating system's random generator: nonces, session ids, keys.
///
/// # Panics
///
/// When the operating system has no random generator to give. Nothing that needs a nonce could go on without one.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has a random generator");
    bytes
}
