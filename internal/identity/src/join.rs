//! The join token: a secret that all agents of a server share, shown without being sent.
//!
//! What is sent is a MAC over the nonce of this very link and the host that was dialled, so it is worth nothing on another
//! link, nor to a rogue server that an agent was lured to. The token itself is as strong as its text: a guess can be
//! tried against a captured proof, so tokens are made by a generator, not by people.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Sets this use of the token apart from any other.
const PURPOSE: &[u8] = b"adit-join\0";

/// The proof that its maker knows `token`: HMAC-SHA256 under it of "adit-join" ‖ 0x00 ‖ nonce ‖ audience.
#[must_use]
pub fn make(token: &[u8], nonce: &[u8; 32], audience: &str) -> [u8; 32] {
    mac(token, nonce, audience).finalize().into_bytes().into()
}

/// Whether `proof` was made with `token` for this link. Takes as long whichever byte is wrong.
#[must_use]
pub fn verify(proof: &[u8; 32], token: &[u8], nonce: &[u8; 32], audience: &str) -> bool {
    // Compares by `subtle`, in constant time.
    mac(token, nonce, audience).verify_slice(proof).is_ok()
}

fn mac(token: &[u8], nonce: &[u8; 32], audience: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(token).expect("HMAC takes keys of any length");
    mac.chain_update(PURPOSE)
        .chain_update(nonce)
        .chain_update(audience)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    const NONCE: [u8; 32] = [0xab; 32];

    /// Made with Python's hmac.
    #[test]
    fn a_proof_can_be_computed_by_anyone_who_knows_the_token() {
        let proof = make(b"correct horse", &NONCE, "tunnel.example");
        assert_eq!(
            HEXLOWER.encode(&proof),
            "15fe1b55abc6c908920f7f971cc7d546aae215408577744e1b7bfe7e7fb6f6ca"
        );
        assert!(verify(&proof, b"correct horse", &NONCE, "tunnel.example"));
    }

    #[test]
    fn a_proof_is_worth_nothing_for_another_token_link_or_server() {
        let proof = make(b"token", &NONCE, "tunnel.example");
        assert!(!verify(&proof, b"tokem", &NONCE, "tunnel.example"));
        assert!(!verify(&proof, b"", &NONCE, "tunnel.example"));
        assert!(!verify(&proof, b"token", &[0xcd; 32], "tunnel.example"));
        assert!(!verify(&proof, b"token", &NONCE, "rogue.example"));
        let mut bent = proof;
        bent[31] ^= 1;
        assert!(!verify(&bent, b"token", &NONCE, "tunnel.example"));
    }
}
