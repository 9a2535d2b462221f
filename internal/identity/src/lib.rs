//! Keys, signing and proof: turns a public key into a tunnel id, and a signature into a type that only
//! verification can build.
//!
//! The only crate that names the crypto library. It knows no sockets, no clock and no configuration: time, nonce
//! and audience are arguments, so every rule here can be tested with a table. What an agent is *allowed* to do once
//! its key is proved (takeover, caps, draining) is decided by the crates above.
//!
//! - [`SecretKey`], [`PublicKey`]: an Ed25519 key, its file, its thumbprint, the hostname labels it owns.
//! - [`Chain`]: how a name went from key to key.
//! - [`sign_registration`], [`verify_registration`]: the two ends of the proof, and [`VerifiedRegistration`].
//! - [`sign_ticket_request`], [`verify_ticket_request`]: the same for a ticket, which a registration may be made with.
//! - [`join`], [`sign_self_check`]: two lesser proofs.
//! - [`check_name`], [`canonical_host`], [`grant_id`]: the spellings that names and hosts may have, and their ids.

mod chain;
mod claims;
mod error;
pub mod join;
mod json;
mod jws;
mod key;
mod keyfile;
mod names;
mod registration;
mod self_check;
mod ticket;

pub use chain::{Chain, ChainError, MAX_CHAIN, MAX_STATEMENT_LEN, ROTATE_TYP, StatementError};
pub use claims::{Claims, Mode, policy_id};
pub use error::VerifyError;
pub use jws::{JwsError, MAX_JWS_LEN};
pub use key::{EmptyPassphrase, KeyError, Passphrase, PublicKey, SecretKey, Thumbprint};
pub use keyfile::{ChainFault, KeyFileError, Rotated};
pub use names::{
    HostError, MAX_NAME_LEN, NameError, auto_name, canonical_grant, canonical_host, check_name,
    grant_id, granted_host_id, wildcard_host_id,
};
pub use registration::{
    CLOCK_SLACK, Expectation, MAX_LIFETIME, REGISTER_TYP, VerifiedRegistration, sign_registration,
    verify_registration,
};
pub use self_check::{
    MAX_SELF_CHECK_LEN, SELF_CHECK_TYP, SelfCheckError, sign_self_check, verify_self_check,
};
pub use ticket::{
    NONCE_LIFETIME, TICKET_TYP, TicketNonces, TicketRequest, sign_ticket_request,
    verify_ticket_request,
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
