//! Randomness for the machines: a seed from outside, and a generator that makes the same of it each time.

use crate::hash::KeyedHash;

/// 128 bits from which a machine draws all its randomness.
///
/// A driver takes them from the operating system or from a hardware generator. A simulator takes a number: the same
/// number gives the same run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u64; 2]);

impl Seed {
    /// The seed made of two random words.
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self(words)
    }

    /// A seed for a simulation or a test: `number` spread over 128 bits.
    pub const fn from_u64(number: u64) -> Self {
        Self([split_mix(number), split_mix(number.wrapping_add(GOLDEN))])
    }

    /// A seed for one purpose.
    ///
    /// Whoever finds out one of them, say from the ids that were drawn from it, learns nothing about the others.
    pub fn derive(self, purpose: &str) -> Self {
        let hash = KeyedHash::new(self);
        let first = hash.hash(purpose.as_bytes());
        let second = KeyedHash::new(Self([self.0[0], !self.0[1]])).hash(purpose.as_bytes());
        Self([first, second])
    }

    pub(crate) const fn words(self) -> [u64; 2] {
        self.0
    }
}

impl core::fmt::Debug for Seed {
    /// Keeps the bits to itself.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed")
    }
}

/// A generator of random numbers, xoshiro256++: fast, and not for secrets.
#[derive(Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The generator that `seed` begins.
    pub const fn new(seed: Seed) -> Self {
        let [low, high] = seed.words();
        // The generator must not begin with four zeros, and these four words cannot all be zero.
        Self { state: [split_mix(low), split_mix(low.wrapping_add(GOLDEN)), split_mix(high), split_mix(!high)] }
    }

    /// 64 random bits.
    #[inline]
    pub const fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = self.state;
        let result = s0.wrapping_add(s3).rotate_left(23).wrapping_add(s0);
        let (s2, s3) = (s2 ^ s0, s3 ^ s1);
        self.state = [s0 ^ s3, s1 ^ s2, s2 ^ (s1 << 17), s3.rotate_left(45)];
        result
    }

    /// A number below `bound`, as good as evenly spread; 0 if `bound` is.
    #[inline]
    pub const fn below(&mut self, bound: u32) -> u32 {
        (((self.next_u64() >> 32) * bound as u64) >> 32) as u32
    }
}

impl core::fmt::Debug for Random {
    /// Keeps the state to itself.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Random")
    }
}

/// The step of splitmix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output of splitmix64 whose state was `number` before: a bijection.
pub(crate) const fn split_mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_gives_the_published_sequence() {
        assert_eq!(split_mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(split_mix(GOLDEN), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn xoshiro_gives_the_published_sequence() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let drawn: [u64; 4] = core::array::from_fn(|_| random.next_u64());
        assert_eq!(drawn, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_purposes_differ() {
        let seed = Seed::from_u64(7);
        let draw = |purpose| Random::new(seed.derive(purpose)).next_u64();
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
        assert_ne!(seed, Seed::from_u64(8));
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::new(Seed::from_u64(1));
        let mut seen = [false; 3];
        for _ in 0..100 {
            seen[random.below(3) as usize] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(random.below(0), 0);
    }
}
