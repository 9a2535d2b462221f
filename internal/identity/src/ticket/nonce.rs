//! Nonces that need not be remembered: a time, something random, and a MAC over both.
//!
//! Whoever holds the key that made one knows it again and how old it is, so asking for nonces costs a server no memory,
//! and the nodes of a fleet that share the key know each other's. Within its life a nonce can be used again; what that
//! yields is another ticket for the same key.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::VerifyError;
use crate::key::SecretKey;
use crate::random_bytes;
use crate::registration::CLOCK_SLACK;

/// How long a nonce is good for, in seconds.
pub const NONCE_LIFETIME: u64 = 30;

/// Sets this use of the key apart from any other.
const PURPOSE: &[u8] = b"adit-ticket-nonce\0";

/// Bytes of a nonce in front of its MAC: 8 of time, 8 random.
const STAMP: usize = 16;

/// Makes nonces and knows them again.
pub struct TicketNonces(Zeroizing<[u8; 32]>);

impl TicketNonces {
    /// Those of a key: of every process that has it.
    #[must_use]
    pub fn of(key: &SecretKey) -> Self {
        Self(key.derive(PURPOSE))
    }

    /// A new one. `now` is in whole seconds since 1970.
    ///
    /// # Panics
    ///
    /// As [`crate::random_bytes`].
    #[must_use]
    pub fn mint(&self, now: u64) -> [u8; 32] {
        self.stamped(now, random_bytes())
    }

    fn stamped(&self, now: u64, random: [u8; 8]) -> [u8; 32] {
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&now.to_be_bytes());
        nonce[8..STAMP].copy_from_slice(&random);
        let mac = self.mac(&nonce[..STAMP]).finalize().into_bytes();
        nonce[STAMP..].copy_from_slice(&mac[..STAMP]);
        nonce
    }

    /// Whether `nonce` was made with this key and is not too old.
    pub(crate) fn check(&self, nonce: &[u8; 32], now: u64) -> Result<(), VerifyError> {
        let (stamp, mac) = nonce.split_at(STAMP);
        // In constant time.
        if self.mac(stamp).verify_truncated_left(mac).is_err() {
            return Err(VerifyError::WrongNonce);
        }
        let made = stamp.first_chunk().copied().map_or(0, u64::from_be_bytes);
        // The clock of another node may be ahead.
        if made > now.saturating_add(CLOCK_SLACK) || now > made.saturating_add(NONCE_LIFETIME) {
            return Err(VerifyError::Stale);
        }
        Ok(())
    }

    fn mac(&self, stamp: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.chain_update(stamp)
    }
}

impl fmt::Debug for TicketNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketNonces(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn nonces(seed: u8) -> TicketNonces {
        TicketNonces::of(&SecretKey::from_seed(&[seed; 32]))
    }

    #[test]
    fn a_nonce_is_good_for_half_a_minute_on_every_node_with_the_key() {
        let nonce = nonces(1).mint(NOW);
        let check = |now| nonces(1).check(&nonce, now);
        assert_eq!(check(NOW), Ok(()));
        assert_eq!(check(NOW - CLOCK_SLACK), Ok(()));
        assert_eq!(check(NOW + NONCE_LIFETIME), Ok(()));
        assert_eq!(check(NOW + NONCE_LIFETIME + 1), Err(VerifyError::Stale));
        assert_eq!(check(NOW - CLOCK_SLACK - 1), Err(VerifyError::Stale));
    }

    #[test]
    fn nobody_without_the_key_makes_or_bends_one() {
        let nonce = nonces(1).mint(NOW);
        assert_eq!(nonces(2).check(&nonce, NOW), Err(VerifyError::WrongNonce));
        assert_eq!(nonces(1).check(&[0; 32], 0), Err(VerifyError::WrongNonce));
        for byte in 0..32 {
            let mut bent = nonce;
            bent[byte] ^= 1;
            assert_eq!(nonces(1).check(&bent, NOW), Err(VerifyError::WrongNonce));
        }
    }

    #[test]
    fn two_nonces_of_a_second_are_two() {
        assert_ne!(nonces(1).mint(NOW), nonces(1).mint(NOW));
    }

    /// The vector of SPEC.md, made with Python's hmac.
    #[test]
    fn the_nodes_of_a_fleet_make_them_alike() {
        assert_eq!(
            HEXLOWER.encode(&nonces(1).stamped(NOW, [2; 8])),
            "000000006b49d2000202020202020202a7acc1e162f3cc79101dc6918003c90a"
        );
    }
}
