//! The proof behind a registration: the agent signs claims about one link, the server checks them against that link.
//!
//! Both ends are here, so that what one writes the other is seen to read. The message that carries the proof, the
//! deadline and the answer are the handshake's, in `tunnel`; whether the proved key gets in is the uplink's.

use std::fmt;

use messages::TunnelId;

use crate::chain::Chain;
use crate::claims::Claims;
use crate::error::VerifyError;
use crate::jws;
use crate::key::{PublicKey, SecretKey};
use crate::names::{HostError, auto_name, canonical_host, grant_id};

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
    /// The domain tunnels are published under: a chain of rotations must hold for it, and readable names are made in it.
    pub domain: &'a str,
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

/// Verifies a registration: form, header, key, signature, then the claims against this link, then the chain. Takes some
/// 100 µs of processor time, and as much again for each rotation, so the caller caps who may ask.
///
/// # Errors
///
/// The first rule that is broken; [`VerifyError::refusal`] is what the agent is told.
pub fn verify_registration(
    jws: &[u8],
    expectation: &Expectation<'_>,
) -> Result<VerifiedRegistration, VerifyError> {
    let opened = jws::open(jws, REGISTER_TYP)?;
    judge(opened.key, Claims::from_json(&opened.payload)?, expectation)
}

/// What is asked of claims that `key` has signed, for whichever purpose.
pub(crate) fn judge(
    key: PublicKey,
    claims: Claims,
    expectation: &Expectation<'_>,
) -> Result<VerifiedRegistration, VerifyError> {
    expectation.check(&claims)?;
    // After everything that costs nothing: each statement is a signature more.
    let chain = Chain::leading_to(key, claims.chain.clone())?;
    chain.check_domain(expectation.domain)?;
    let host = wanted_host(&claims, &chain, expectation.domain).map_err(VerifyError::BadHost)?;
    let tunnel = match &host {
        Some(host) => grant_id(host).map_err(VerifyError::BadHost)?,
        None => chain.keys()[0].tunnel_id(claims.name.as_deref()),
    };
    Ok(VerifiedRegistration {
        chain,
        host,
        tunnel,
        claims,
    })
}

/// The host that is wanted by its name, not by that of the key.
fn wanted_host(claims: &Claims, chain: &Chain, domain: &str) -> Result<Option<String>, HostError> {
    if !claims.auto {
        return Ok(claims.host.clone());
    }
    canonical_host(&format!("{}.{domain}", auto_name(chain.root()))).map(Some)
}

/// A registration whose key, signature and claims were proved for one link. Only [`verify_registration`] builds it, so
/// a function that takes one cannot be called without a proof.
#[derive(Debug, Clone)]
#[must_use]
pub struct VerifiedRegistration {
    chain: Chain,
    host: Option<String>,
    tunnel: TunnelId,
    claims: Claims,
}

impl VerifiedRegistration {
    /// The key that was proved: the last of its chain.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.chain.current()
    }

    /// Who it is, however often the key was rotated: the tunnel of the chain's first key.
    #[must_use]
    pub fn root(&self) -> TunnelId {
        self.chain.root()
    }

    /// All keys of the chain, the root first: a denied one denies them all.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        self.chain.keys()
    }

    /// How often the key was rotated.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.chain.sequence()
    }

    /// What tells this chain from another of the same length: the SHA-256 of its last statement, zeros without one.
    #[must_use]
    pub fn tip(&self) -> [u8; 32] {
        self.chain.tip()
    }

    /// The tips of the chain from its first statement on. A chain that is *longer* than one that is remembered must hold the
    /// remembered tip at its place ([`Chain::tips`]): comparing lengths alone would let an old key outrun its successors.
    #[must_use]
    pub fn tips(&self) -> Vec<[u8; 32]> {
        self.chain.tips()
    }

    /// The host it wants that is not its key's, canonical: the claimed one, or the readable name for `auto`. Whether it may
    /// have it is not said by this.
    #[must_use]
    pub fn wanted_host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// What it claimed, all of it checked against the link.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The tunnel it claims: one that its root key owns, or that of [`VerifiedRegistration::wanted_host`].
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
