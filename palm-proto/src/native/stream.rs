//! Frames on a byte stream: each has its length before it (`docs/spec.md`, section 9.3).

use core::fmt;
use core::ops::Range;

use crate::message::wire::{put_varint, varint_len};

/// Longest length, in bytes.
pub(super) const PREFIX_MAX: usize = 4;

/// Longest frame that a stream can carry, in bytes.
pub const STREAM_FRAME_MAX: u32 = (1 << 28) - 1;

/// What lies at the front of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Streamed {
    /// A frame that is not whole yet; more input is needed.
    Incomplete {
        /// Its whole length with the length before it, in bytes; a lower bound that exceeds the input's length as long as
        /// that is not whole itself. Never more than the longest frame and 4 bytes.
        total: usize,
    },
    /// Empty frames: a sign of life, no more.
    Skipped {
        /// Number of bytes to take off the input.
        used: usize,
    },
    /// One frame.
    Frame {
        /// Number of bytes to take off the input.
        used: usize,
        /// Where in the input the frame is.
        range: Range<usize>,
    },
}

/// Looks at the front of `input`, all that has been received and not been used yet, for a frame of at most `max` bytes.
///
/// O(1).
///
/// # Errors
/// If the frame is longer, as soon as its length is there. The connection has to be closed then.
#[inline]
pub fn decode_stream(input: &[u8], max: u32) -> Result<Streamed, FrameTooLong> {
    let (prefix, len) = match *input {
        [] => return Ok(Streamed::Incomplete { total: 1 }),
        [len, ..] if len < 0x80 => (1, u32::from(len)),
        [low, high, ..] if high < 0x80 => (2, u32::from(low & 0x7f) | u32::from(high) << 7),
        _ => match long_length(input)? {
            Some(length) => length,
            None => return Ok(Streamed::Incomplete { total: input.len() + 1 }),
        },
    };
    if len > max.min(STREAM_FRAME_MAX) {
        return Err(FrameTooLong);
    }
    let used = prefix + len as usize;
    Ok(match len {
        0 => Streamed::Skipped { used },
        _ if used > input.len() => Streamed::Incomplete { total: used },
        _ => Streamed::Frame { used, range: prefix..used },
    })
}

/// A length of whatever number of bytes, and that number; `None` if it is not whole.
#[cold]
fn long_length(input: &[u8]) -> Result<Option<(usize, u32)>, FrameTooLong> {
    let mut len = 0;
    for (index, &byte) in input.iter().take(PREFIX_MAX).enumerate() {
        len |= u32::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(Some((index + 1, len)));
        }
    }
    if input.len() < PREFIX_MAX { Ok(None) } else { Err(FrameTooLong) }
}

/// The length of a frame as it is written, and how many bytes it takes.
pub(super) fn prefix(len: usize) -> Result<([u8; PREFIX_MAX], usize), FrameTooLong> {
    let len = u32::try_from(len).ok().filter(|&len| len <= STREAM_FRAME_MAX).ok_or(FrameTooLong)?;
    let mut bytes = [0; PREFIX_MAX];
    let used = put_varint(&mut bytes, u64::from(len)).unwrap_or(PREFIX_MAX);
    debug_assert_eq!(used, varint_len(u64::from(len)), "PREFIX_MAX bytes hold up to STREAM_FRAME_MAX");
    Ok((bytes, used))
}

/// A frame is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLong;

impl fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame that is longer than it may be")
    }
}

impl core::error::Error for FrameTooLong {}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn lengths_are_read_back_however_they_are_cut() {
        for len in [1, 2, 127, 128, 300, 16_383, 16_384, 70_000, 2_097_151, 2_097_152] {
            let (bytes, used) = prefix(len).unwrap();
            let prefix = &bytes[..used];
            assert_eq!(prefix.len(), varint_len(len as u64));
            let total = prefix.len() + len;
            for cut in 0..prefix.len() {
                let Ok(Streamed::Incomplete { total: needed }) = decode_stream(&prefix[..cut], u32::MAX) else {
                    panic!("{len} {cut}")
                };
                assert!(cut < needed && needed <= total);
            }
            let mut input = vec![0; total];
            input[..prefix.len()].copy_from_slice(prefix);
            assert_eq!(decode_stream(&input[..total - 1], len as u32), Ok(Streamed::Incomplete { total }));
            let frame = Streamed::Frame { used: total, range: prefix.len()..total };
            assert_eq!(decode_stream(&input, len as u32), Ok(frame));
            assert_eq!(decode_stream(prefix, len as u32 - 1), Err(FrameTooLong), "before any of it is there");
        }
    }

    #[test]
    fn lengths_have_four_bytes_at_most() {
        assert_eq!(prefix(STREAM_FRAME_MAX as usize + 1), Err(FrameTooLong));
        let (prefix, used) = prefix(STREAM_FRAME_MAX as usize).unwrap();
        assert_eq!((prefix, used), ([0xff, 0xff, 0xff, 0x7f], 4));
        assert!(matches!(decode_stream(&prefix, u32::MAX), Ok(Streamed::Incomplete { .. })));
        assert_eq!(decode_stream(&[0xff, 0xff, 0xff, 0xff], u32::MAX), Err(FrameTooLong));
        assert_eq!(decode_stream(&[0x80, 0x80, 0x80, 0x80, 0], u32::MAX), Err(FrameTooLong));
    }

    #[test]
    fn empty_frames_are_passed_over() {
        assert_eq!(decode_stream(&[0, 0, 1, 7], 10), Ok(Streamed::Skipped { used: 1 }));
        assert_eq!(decode_stream(&[0x80, 0, 1, 7], 10), Ok(Streamed::Skipped { used: 2 }));
        assert_eq!(decode_stream(&[1, 7], 10), Ok(Streamed::Frame { used: 2, range: 1..2 }));
    }
}
