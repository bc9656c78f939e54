//! Random UUIDs (version 4) in their text form, the ids of PALM's pipelines, clients and unnamed cache keys.

use core::fmt;

use crate::random::Random;

/// A version 4 UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(u128);

impl Uuid {
    /// Length of the text form in bytes.
    pub const LEN: usize = 36;

    /// Draws one.
    #[inline]
    pub const fn generate(random: &mut Random) -> Self {
        let bits = (random.next_u64() as u128) << 64 | random.next_u64() as u128;
        let version = 4 << 76;
        let variant = 0b10 << 62;
        Self(bits & !(0xf << 76) & !(0b11 << 62) | version | variant)
    }

    /// Writes the text form, `xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx` in lower case.
    #[inline]
    pub fn write(self, out: &mut [u8; Self::LEN]) {
        let [a, b, c, d] = [96, 64, 32, 0].map(|shift| hex((self.0 >> shift) as u32));
        out[..8].copy_from_slice(&a);
        out[8] = b'-';
        out[9..13].copy_from_slice(&b[..4]);
        out[13] = b'-';
        out[14..18].copy_from_slice(&b[4..]);
        out[18] = b'-';
        out[19..23].copy_from_slice(&c[..4]);
        out[23] = b'-';
        out[24..28].copy_from_slice(&c[4..]);
        out[28..].copy_from_slice(&d);
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = [0; Self::LEN];
        self.write(&mut out);
        f.pad(core::str::from_utf8(&out).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The eight hexadecimal digits of `word`, all at once: each nibble in a byte of its own, then `0` or `a` added to each.
#[inline]
pub(crate) const fn hex(word: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut nibbles = word as u64;
    nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles | nibbles << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // A nibble above 9 carries into bit 4 when 6 is added.
    let letters = (nibbles + 6 * ONES) >> 4 & ONES;
    (nibbles + b'0' as u64 * ONES + letters * (b'a' - b'0' - 10) as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::{collections::BTreeSet, format};

    use super::*;
    use crate::random::Seed;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for word in [0, 1, 0x0123_4567, 0x89ab_cdef, u32::MAX, 0xa0b0_90f0] {
            assert_eq!(core::str::from_utf8(&hex(word)).unwrap(), format!("{word:08x}"));
        }
    }

    #[test]
    fn text_has_the_form_of_version_4_and_all_the_bits() {
        let mut random = Random::new(Seed::from_u64(3));
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let uuid = Uuid::generate(&mut random);
            let text = uuid.to_string();
            let bytes = text.as_bytes();
            assert_eq!([8, 13, 18, 23].map(|at| bytes[at]), [b'-'; 4], "{text}");
            assert_eq!(bytes[14], b'4', "{text}");
            assert!(matches!(bytes[19], b'8' | b'9' | b'a' | b'b'), "{text}");
            assert_eq!(u128::from_str_radix(&text.replace('-', ""), 16).unwrap(), uuid.0);
            assert!(seen.insert(text));
        }
    }
}
