//! Consistent overhead byte stuffing: bytes of any value as bytes that are not zero (`docs/spec.md`, section 9.4).
//!
//! Each block is a code, then as many bytes less one; the zero after a block is left out, unless the code is 255 or the
//! block the last.

use crate::message::{NoRoom, Sink};

/// Most bytes of a block.
const BLOCK_MAX: usize = 254;

/// Most bytes that stuffing makes of `len`.
pub(super) const fn stuffed_max(len: usize) -> usize {
    len + len / BLOCK_MAX + 1
}

/// Appends `parts` to `sink` as if they were one run, stuffed. Needs no buffer: each part is looked at ahead.
pub(super) fn stuff(parts: &[&[u8]], sink: &mut impl Sink) -> Result<(), NoRoom> {
    let mut rest = Rest { parts, offset: 0 };
    loop {
        let (block, ended) = rest.block();
        sink.put(&[block as u8 + 1])?;
        rest.take(block, |bytes| sink.put(bytes))?;
        match ended {
            // The zero is left out.
            Ended::Zero => rest.take(1, |_| Ok(()))?,
            Ended::Full => {}
            Ended::Input => return Ok(()),
        }
    }
}

/// What is left of several parts.
struct Rest<'a> {
    parts: &'a [&'a [u8]],
    /// How much of the first part is gone.
    offset: usize,
}

/// Why a block goes no further.
enum Ended {
    Zero,
    /// It is as long as one can be, and more follows.
    Full,
    Input,
}

impl Rest<'_> {
    /// How many bytes the next block has, and what ends it.
    fn block(&self) -> (usize, Ended) {
        let [first, others @ ..] = self.parts else { return (0, Ended::Input) };
        let first = first.get(self.offset..).unwrap_or(&[]);
        let mut len = 0;
        for &byte in first.iter().chain(others.iter().copied().flatten()) {
            match byte {
                _ if len == BLOCK_MAX => return (len, Ended::Full),
                0 => return (len, Ended::Zero),
                _ => len += 1,
            }
        }
        (len, Ended::Input)
    }

    /// Takes the next `len` bytes, in as few runs as they lie in.
    fn take(&mut self, mut len: usize, mut each: impl FnMut(&[u8]) -> Result<(), NoRoom>) -> Result<(), NoRoom> {
        while len > 0
            && let [part, others @ ..] = self.parts
        {
            let part = part.get(self.offset..).unwrap_or(&[]);
            let taken = len.min(part.len());
            each(part.get(..taken).unwrap_or(part))?;
            len -= taken;
            self.offset += taken;
            if taken == part.len() {
                (self.parts, self.offset) = (others, 0);
            }
        }
        Ok(())
    }
}

/// What one stuffed byte comes to.
pub(super) enum Unstuffed {
    /// Nothing.
    Nothing,
    /// This byte.
    Byte(u8),
}

/// Takes stuffing out again, byte by byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unstuffer {
    /// Bytes that the block still has.
    left: u8,
    /// Whether a zero was left out after the block, if another follows.
    zero: bool,
}

impl Unstuffer {
    /// At the beginning of a run.
    pub(super) const fn new() -> Self {
        Self { left: 0, zero: false }
    }

    /// Takes a byte that is not zero.
    #[inline]
    pub(super) fn put(&mut self, byte: u8) -> Unstuffed {
        if self.left > 0 {
            self.left -= 1;
            return Unstuffed::Byte(byte);
        }
        let zero = core::mem::replace(&mut self.zero, byte != u8::MAX);
        self.left = byte.saturating_sub(1);
        if zero { Unstuffed::Byte(0) } else { Unstuffed::Nothing }
    }

    /// Whether a run may end here.
    pub(super) fn is_whole(self) -> bool {
        self.left == 0
    }

    /// Whether nothing but the end of the last run has come.
    pub(super) fn is_idle(self) -> bool {
        self.left == 0 && !self.zero
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn stuffed(parts: &[&[u8]]) -> Vec<u8> {
        let mut sink = heapless::Vec::<u8, 600>::new();
        stuff(parts, &mut sink).unwrap();
        assert!(sink.len() <= stuffed_max(parts.concat().len()));
        sink.to_vec()
    }

    fn unstuffed(bytes: &[u8]) -> Vec<u8> {
        let mut unstuffer = Unstuffer::new();
        let byte = |&byte: &u8| match unstuffer.put(byte) {
            Unstuffed::Nothing => None,
            Unstuffed::Byte(byte) => Some(byte),
        };
        let run = bytes.iter().filter_map(byte).collect();
        assert!(unstuffer.is_whole());
        run
    }

    #[test]
    fn runs_are_stuffed_as_everybody_does() {
        let ones = [1; 255];
        let long = |front: &[u8], count: usize, back: &[u8]| [front, &ones[..count], back].concat();
        for (run, expected) in [
            (b"".to_vec(), b"\x01".to_vec()),
            (b"\0".to_vec(), b"\x01\x01".to_vec()),
            (b"\0\0".to_vec(), b"\x01\x01\x01".to_vec()),
            (b"\0a\0".to_vec(), b"\x01\x02a\x01".to_vec()),
            (b"ab\0c".to_vec(), b"\x03ab\x02c".to_vec()),
            (long(b"", 253, b""), long(b"\xfe", 253, b"")),
            (long(b"", 254, b""), long(b"\xff", 254, b"")),
            (long(b"", 254, b"\0"), long(b"\xff", 254, b"\x01\x01")),
            (long(b"", 255, b""), long(b"\xff", 254, b"\x02\x01")),
            (long(b"\0", 254, b""), long(b"\x01\xff", 254, b"")),
            (long(b"", 253, b"\0\x05"), long(b"\xfe", 253, b"\x02\x05")),
        ] {
            assert_eq!(stuffed(&[&run]), expected);
            assert_eq!(unstuffed(&expected), run);
            for cut in 0..=run.len() {
                assert_eq!(stuffed(&[&run[..cut], b"", &run[cut..]]), expected, "{cut}");
            }
        }
        // Some put an empty block behind a full one at the end.
        assert_eq!(unstuffed(&long(b"\xff", 254, b"\x01")), ones[..254]);
    }
}
