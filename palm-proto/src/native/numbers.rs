//! Headers that are nothing but small numbers: those of every task and result.
//!
//! postcard writes a number as a varint, and so does this, in a third of the time, as it need not do for all else that serde can
//! say. What it cannot read it leaves to postcard; as does a board, where each byte of code counts.

use super::HEADER_MAX;
use crate::message::wire::{VARINT_MAX, put_varint};

const _: () = assert!(3 * VARINT_MAX < HEADER_MAX, "a header has room for a kind and three numbers");

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

    /// Writes the bytes to `room`, which has [`HEADER_MAX`], and gives their number.
    #[inline]
    pub(super) fn write(self, room: &mut [u8]) -> usize {
        let mut len = put(room, 0, self.kind.into());
        for value in self.values.into_iter().take(self.count.into()) {
            len = put(room, len, value);
        }
        len
    }
}

/// Writes a number to `room` at `at`; where it ends.
#[inline(always)]
fn put(room: &mut [u8], at: usize, value: u64) -> usize {
    if value < 0x80
        && let Some(only) = room.get_mut(at)
    {
        *only = value as u8;
        return at + 1;
    }
    if value < 0x4000
        && let Some([first, second]) = room.get_mut(at..at + 2)
    {
        (*first, *second) = (value as u8 | 0x80, (value >> 7) as u8);
        return at + 2;
    }
    if value < 0x20_0000
        && let Some([first, second, third]) = room.get_mut(at..at + 3)
    {
        (*first, *second, *third) = (value as u8 | 0x80, (value >> 7) as u8 | 0x80, (value >> 14) as u8);
        return at + 3;
    }
    at + room.get_mut(at..).and_then(|rest| put_varint(rest, value)).unwrap_or(0)
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
