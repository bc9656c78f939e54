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
        let mut state = State::begin(self.key);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state.compress(u64::from_le_bytes(*word));
        }
        state.compress(tail(rest) | (bytes.len() as u64) << 56);
        state.finish(3)
    }

    /// A hash of one word, in fewer steps than that of its bytes. A key is for words or for bytes, not for both.
    #[inline]
    pub(crate) fn word(&self, word: u64) -> u64 {
        let mut state = State::begin(self.key);
        state.compress(word);
        state.finish(3)
    }
}

impl core::fmt::Debug for KeyedHash {
    /// Keeps the key to itself.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeyedHash")
    }
}

/// SipHash-2-4 of eight bytes: of whoever has any number of these nobody finds the key.
pub(crate) fn siphash_2_4(key: &[u8; 16], bytes: [u8; 8]) -> u64 {
    let (words, _) = key.as_chunks::<8>();
    let word = |at: usize| words.get(at).map_or(0, |word| u64::from_le_bytes(*word));
    let mut state = State::begin([word(0), word(1)]);
    for word in [u64::from_le_bytes(bytes), 8 << 56] {
        state.v3 ^= word;
        state.round();
        state.round();
        state.v0 ^= word;
    }
    state.finish(4)
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
    fn begin([k0, k1]: [u64; 2]) -> Self {
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline]
    fn compress(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline]
    fn finish(mut self, rounds: u32) -> u64 {
        self.v2 ^= 0xff;
        (0..rounds).for_each(|_| self.round());
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
    #[expect(deprecated, reason = "it is the reference for what it is")]
    fn is_siphash_2_4_as_its_paper_and_the_standard_library_have_it() {
        let key: [u8; 16] = core::array::from_fn(|index| index as u8);
        assert_eq!(siphash_2_4(&key, [0, 1, 2, 3, 4, 5, 6, 7]), 0x93f5_f579_9a93_2462);
        let mut reference = core::hash::SipHasher::new_with_keys(1, 2);
        reference.write(b"handle 0");
        let key = (2_u128 << 64 | 1).to_le_bytes();
        assert_eq!(siphash_2_4(&key, *b"handle 0"), reference.finish());
    }

    #[test]
    fn the_key_matters() {
        let [one, other] = [1, 2].map(|seed| KeyedHash::new(Seed::from_u64(seed)).hash(b"topic"));
        assert_ne!(one, other);
    }
}
