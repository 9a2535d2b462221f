//! The proof behind a registration: the agent signs claims about one link, the server checks them against that link.
//!
//! Both ends are here, so that what one writes the other is seen to read. The message that carries the proof, the
//! deadline and the answer are the handshake's, in `tunnel`; whether the proved key gets in is the uplink's.

use std::fmt;

use messages::TunnelId;

use crate::claims::Claims;
use crate::error::VerifyError;
use crate::jws;
use crate::key::{PublicKey, SecretKey};

/// The `typ` of a registration. Rotation and self-check have others: no signature is an oracle for another purpose.
pub const REGISTER_TYP: &str = "adit-register+jwt";

/// How long a registration may be valid, in seconds: six handshakes' worth.
pub const MAX_LIFETIME: u64 = 60;

/// How far the agent's idea of the server's time may be off, in seconds. The greeting told it, so a second would do.
pub const CLOCK_SLACK: u64 = 5;

/// Signs claims as a compact JWS of ASCII text, ready to be sent.
///
/// The claims are not judged here: a name or lifetime that breaks the rules is signed, and then refused.
#[must_use]
pub fn sign_registration(key: &SecretKey, claims: &Claims) -> String {
    let payload = serde_json::to_vec(claims).expect("claims have only text keys");
    jws::sign(key, REGISTER_TYP, &payload)
}

/// What the server knows about the link on which a registration arrives.
#[derive(Clone, Copy)]
pub struct Expectation<'a> {
    /// Whether a host is one of this server's names, for this peer.
    pub audiences: &'a dyn Fn(&str) -> bool,
    /// The nonce of this link's greeting.
    pub nonce: &'a [u8; 32],
    /// The server's time, in whole seconds since 1970.
    pub now: u64,
    /// The TLS exporter value of this link, as base64url. None where TLS does not end in this process: then a
    /// channel that the agent claims cannot be checked and is ignored.
    pub channel: Option<&'a str>,
}

impl fmt::Debug for Expectation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expectation")
            .field("now", &self.now)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

impl Expectation<'_> {
    fn check(&self, claims: &Claims) -> Result<(), VerifyError> {
        if !(self.audiences)(&claims.aud) {
            return Err(VerifyError::WrongAudience);
        }
        if claims.nonce != *self.nonce {
            return Err(VerifyError::WrongNonce);
        }
        if self.channel.is_some() && self.channel != claims.channel.as_deref() {
            return Err(VerifyError::WrongChannel);
        }
        self.check_time(claims)
    }

    fn check_time(&self, claims: &Claims) -> Result<(), VerifyError> {
        let lifetime = claims.exp.checked_sub(claims.iat);
        if lifetime.is_none_or(|seconds| seconds > MAX_LIFETIME) {
            return Err(VerifyError::Lifetime);
        }
        if claims.iat > self.now.saturating_add(CLOCK_SLACK) {
            return Err(VerifyError::NotYet);
        }
        if claims.exp.saturating_add(CLOCK_SLACK) < self.now {
            return Err(VerifyError::Stale);
        }
        Ok(())
    }
}

/// Verifies a registration: form, header, key, signature, then the claims against this link. Takes some 100 µs of
/// processor time, so the caller caps who may ask.
///
/// # Errors
///
/// The first rule that is broken; [`VerifyError::refusal`] is what the agent is told.
pub fn verify_registration(
    jws: &[u8],
    expectation: &Expectation<'_>,
) -> Result<VerifiedRegistration, VerifyError> {
    let opened = jws::open(jws, REGISTER_TYP)?;
    let claims = Claims::from_json(&opened.payload)?;
    expectation.check(&claims)?;
    Ok(VerifiedRegistration {
        tunnel: opened.key.tunnel_id(claims.name.as_deref()),
        key: opened.key,
        claims,
    })
}

/// A registration whose key, signature and claims were proved for one link. Only [`verify_registration`] builds it, so
/// a function that takes one cannot be called without a proof.
#[derive(Debug, Clone)]
#[must_use]
pub struct VerifiedRegistration {
    key: PublicKey,
    tunnel: TunnelId,
    claims: Claims,
}

impl VerifiedRegistration {
    /// The key that was proved.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// What it claimed, all of it checked against the link.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The tunnel it owns under the claimed name.
    #[must_use]
    pub fn tunnel_id(&self) -> TunnelId {
        self.tunnel
    }

    /// The DNS label of that tunnel.
    #[must_use]
    pub fn label(&self) -> String {
        self.tunnel.label()
    }
}

#[cfg(test)]
mod tests;
