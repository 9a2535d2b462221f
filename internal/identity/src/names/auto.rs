//! Readable names that need no table: three words that follow from the key.

use bip39::Language;
use messages::TunnelId;

use super::separated_hash;

/// Bits that choose one of 2048 words.
const BITS: u32 = 11;

const WORDS: u32 = 3;

/// The readable name of an owner, `word-word-word`: the words of the English list of BIP-39 that the first three groups of
/// 11 bits of SHA-256("adit-auto" ‖ 0x00 ‖ label of `root`) number.
///
/// 33 bits tell owners apart for people, not for security: that a name is taken is for the directory to say.
#[must_use]
pub fn auto_name(root: TunnelId) -> String {
    let TunnelId(hash) = separated_hash("adit-auto", &root.label());
    let bits = hash
        .iter()
        .take(8)
        .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let list = Language::English.word_list();
    let word = |index: u32| {
        let number = bits >> (u64::BITS - BITS * (index + 1)) & ((1 << BITS) - 1);
        list[usize::try_from(number).expect("11 bits")]
    };
    (0..WORDS).map(word).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::check_name;

    /// The list is part of the protocol: another would be other names.
    #[test]
    fn the_words_are_those_of_bip_39() {
        let list = Language::English.word_list();
        assert_eq!(
            (list[0], list[1024], list[2047]),
            ("abandon", "length", "zoo")
        );
        assert!(list.is_sorted());
    }

    /// The hash by Python's hashlib: its first three groups of 11 bits are 145, 1438, 1150.
    #[test]
    fn a_name_follows_from_the_root() {
        assert_eq!(auto_name(TunnelId([7; 32])), "banana-record-more");
        assert_eq!(auto_name(TunnelId([7; 32])), auto_name(TunnelId([7; 32])));
        assert_ne!(auto_name(TunnelId([7; 32])), auto_name(TunnelId([8; 32])));
    }

    #[test]
    fn every_name_is_one_label_and_no_key() {
        for byte in 0..=255 {
            let name = auto_name(TunnelId([byte; 32]));
            assert_eq!(check_name(&name), Ok(()), "{name}");
            assert!(TunnelId::from_label(&name).is_err(), "{name}");
        }
    }
}
