//! The hash under every table that a peer chooses keys for: SipHash-1-3 with a secret key.
//!
//! A peer that could foresee where its keys land could make a table probe its whole length at each look-up. SipHash is made
//! against that, and its 1-3 variant is what Rust's own `HashMap` uses; a topic of 36 bytes takes about 140 instructions.

use crate::random::Seed;

/// Hashes bytes under a key that peers do not know.
#[derive(Clone, Copy)]
pub struct KeyedHash {
    key: [u64; 2],
}

impl KeyedHash {
    /// The hash whose key is `seed`.
    pub const fn new(seed: Seed) -> Self {
        Self { key: seed.words() }
    }

    /// The hash of `bytes`.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let [k0, k1] = self.key;
        let mut state = State {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        };
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state.compress(u64::from_le_bytes(*word));
        }
        state.compress(tail(rest) | (bytes.len() as u64) << 56);
        state.finish()
    }
}

impl core::fmt::Debug for KeyedHash {
    /// Keeps the key to itself.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeyedHash")
    }
}

/// Up to 7 bytes as the low bytes of a word.
#[inline]
fn tail(rest: &[u8]) -> u64 {
    let mut word = 0;
    for (index, &byte) in rest.iter().enumerate() {
        word |= u64::from(byte) << (8 * index);
    }
    word
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline]
    fn compress(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline]
    fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    #[test]
    fn is_siphash_1_3_as_the_standard_library_has_it() {
        let hash = KeyedHash::new(Seed::from_words([0, 0]));
        let bytes: [u8; 64] = core::array::from_fn(|index| index as u8);
        for len in 0..=bytes.len() {
            // SipHash-1-3 with a key of zeros.
            let mut reference = std::collections::hash_map::DefaultHasher::new();
            reference.write(&bytes[..len]);
            assert_eq!(hash.hash(&bytes[..len]), reference.finish(), "{len} bytes");
        }
    }

    #[test]
    fn the_key_matters() {
        let [one, other] = [1, 2].map(|seed| KeyedHash::new(Seed::from_u64(seed)).hash(b"topic"));
        assert_ne!(one, other);
    }
}
