//! Headers that are nothing but small numbers: those of every task and result.
//!
//! postcard writes a number as a varint, and so does this, in a third of the time, as it need not do for all else that serde can
//! say. What it cannot read it leaves to postcard; as does a board, where each byte of code counts.

use crate::message::wire::VARINT_MAX;

/// Room for a kind and three numbers, in bytes.
pub(super) const NUMBERS_MAX: usize = 1 + 3 * VARINT_MAX;

/// A kind, and the numbers that follow it.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    kind: u8,
    count: u8,
    values: [u64; 3],
}

impl Numbers {
    #[cfg(feature = "alloc")]
    #[inline]
    pub(super) const fn one(kind: u8, value: u64) -> Self {
        Self { kind, count: 1, values: [value, 0, 0] }
    }

    #[cfg(feature = "alloc")]
    #[inline]
    pub(super) const fn two(kind: u8, [first, second]: [u64; 2]) -> Self {
        Self { kind, count: 2, values: [first, second, 0] }
    }

    #[cfg(feature = "alloc")]
    #[inline]
    pub(super) const fn three(kind: u8, values: [u64; 3]) -> Self {
        Self { kind, count: 3, values }
    }

    /// Writes the bytes to `room`.
    #[inline]
    pub(super) fn write(self, room: &mut [u8; NUMBERS_MAX]) -> &[u8] {
        let mut len = 0;
        let mut put = |byte| {
            // There is room for all that there may be.
            if let Some(place) = room.get_mut(len) {
                (*place, len) = (byte, len + 1);
            }
        };
        put(self.kind);
        for value in self.values.into_iter().take(self.count.into()) {
            let mut rest = value;
            while rest >= 0x80 {
                put(rest as u8 | 0x80);
                rest >>= 7;
            }
            put(rest as u8);
        }
        room.get(..len).unwrap_or(&[])
    }
}

/// Takes a number off the front of `bytes`; `None` if it takes more than four bytes, or is not whole.
#[cfg(feature = "alloc")]
#[inline]
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (value, rest) = match **bytes {
        [first, ref rest @ ..] if first < 0x80 => (u32::from(first), rest),
        [first, second, ref rest @ ..] if second < 0x80 => (u32::from(first & 0x7f) | u32::from(second) << 7, rest),
        [first, second, third, ref rest @ ..] if third < 0x80 => {
            (u32::from(first & 0x7f) | u32::from(second & 0x7f) << 7 | u32::from(third) << 14, rest)
        }
        [first, second, third, fourth, ref rest @ ..] if fourth < 0x80 => {
            let low = u32::from(first & 0x7f) | u32::from(second & 0x7f) << 7;
            (low | u32::from(third & 0x7f) << 14 | u32::from(fourth) << 21, rest)
        }
        _ => return None,
    };
    *bytes = rest;
    Some(value.into())
}

/// The same, of a number that takes two bytes at most.
#[cfg(feature = "alloc")]
#[inline]
pub(super) fn take_short(bytes: &mut &[u8]) -> Option<u16> {
    let (value, rest) = match **bytes {
        [first, ref rest @ ..] if first < 0x80 => (u16::from(first), rest),
        [first, second, ref rest @ ..] if second < 0x80 => (u16::from(first & 0x7f) | u16::from(second) << 7, rest),
        _ => return None,
    };
    *bytes = rest;
    Some(value)
}
