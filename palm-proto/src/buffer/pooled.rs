//! A buffer for hosts: a block that is used again for a small message, memory of its own for a large one.

use std::boxed::Box;
use std::cell::RefCell;
use std::ops::Range;
use std::vec::Vec;

use bytes::Bytes;

use super::{Buffer, move_together};

/// Bytes in a block.
const BLOCK: usize = 240;
/// Free blocks that a thread keeps: one mebibyte.
const KEPT: usize = 4096;

std::thread_local! {
    #[expect(clippy::vec_box, reason = "each block is lent out on its own")]
    static FREE: RefCell<Vec<Box<[u8; BLOCK]>>> = const { RefCell::new(Vec::new()) };
}

/// What a master on a host keeps a message in.
///
/// Most messages are small and stay for a millisecond: to ask the allocator for each one's memory, and once more for that of
/// its result, would be a tenth of all that a master does. So those of up to 240 bytes are copied into blocks that the thread
/// uses again; it keeps a mebibyte of free ones. What is larger, or stays, is [`Bytes`].
#[derive(Debug)]
pub struct PooledBuffer(Inner);

#[derive(Debug)]
enum Inner {
    Small(Block),
    Large(Bytes),
}

/// A part of a block; the block goes back to the free ones when it is dropped.
#[derive(Debug)]
struct Block {
    len: u8,
    /// `None` only while it is dropped.
    bytes: Option<Box<[u8; BLOCK]>>,
}

impl Block {
    /// `None` if `bytes` are longer than a block.
    fn holding(bytes: &[u8]) -> Option<Self> {
        let len = u8::try_from(bytes.len()).ok()?;
        if bytes.len() > BLOCK {
            return None;
        }
        let mut block = Self::free();
        block[..bytes.len()].copy_from_slice(bytes);
        Some(Self { len, bytes: Some(block) })
    }

    /// `None` if the parts are longer than a block.
    fn joined(parts: &[&[u8]]) -> Option<Self> {
        let mut block = Self::free();
        let mut len = 0;
        for part in parts.iter().filter(|part| !part.is_empty()) {
            block.get_mut(len..len + part.len())?.copy_from_slice(part);
            len += part.len();
        }
        Some(Self { len: len as u8, bytes: Some(block) })
    }

    /// The block that holds what two ranges of this one hold, and then `parts`; the block itself back if that is too long.
    #[inline]
    fn spliced(mut self, kept: &[Range<usize>; 2], parts: &[&[u8]; 4]) -> Result<Self, Self> {
        let added: usize = parts.iter().map(|part| part.len()).sum();
        let fits = kept.iter().map(ExactSizeIterator::len).sum::<usize>().saturating_add(added) <= BLOCK;
        let Some(block) = self.bytes.as_mut().filter(|_| fits) else { return Err(self) };
        let Some(mut len) = move_together(&mut block[..], kept.clone()) else { return Err(self) };
        for part in parts {
            // It fits, as was seen.
            if let Some(room) = block.get_mut(len..len + part.len()) {
                room.copy_from_slice(part);
                len += part.len();
            }
        }
        self.len = len as u8;
        Ok(self)
    }

    fn free() -> Box<[u8; BLOCK]> {
        FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Box::new([0; BLOCK]))
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.as_ref().and_then(|block| block.get(..usize::from(self.len))).unwrap_or(&[])
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(block) = self.bytes.take() {
            // A thread that ends has no list any more: then the block is freed.
            _ = FREE.try_with(|free| {
                let mut free = free.borrow_mut();
                if free.len() < KEPT {
                    free.push(block);
                }
            });
        }
    }
}

impl AsRef<[u8]> for PooledBuffer {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Inner::Small(block) => block.as_slice(),
            Inner::Large(bytes) => bytes,
        }
    }
}

impl Clone for PooledBuffer {
    fn clone(&self) -> Self {
        match &self.0 {
            Inner::Small(block) => Self::passing(block.as_slice()),
            Inner::Large(bytes) => Self(Inner::Large(bytes.clone())),
        }
    }
}

impl PooledBuffer {
    fn passing(bytes: &[u8]) -> Self {
        match Block::holding(bytes) {
            Some(block) => Self(Inner::Small(block)),
            None => Bytes::copy_from_slice(bytes).into(),
        }
    }
}

impl Buffer for PooledBuffer {
    fn copy_from(bytes: &[u8]) -> Option<Self> {
        Some(Bytes::copy_from_slice(bytes).into())
    }

    fn joined(parts: &[&[u8]]) -> Option<Self> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > BLOCK {
            Bytes::joined(parts).map(Self::from)
        } else {
            Block::joined(parts).map(|block| Self(Inner::Small(block)))
        }
    }

    fn spliced(self, kept: [Range<usize>; 2], parts: [&[u8]; 4]) -> Option<Self> {
        let whole = match self.0 {
            Inner::Small(block) => match block.spliced(&kept, &parts) {
                Ok(block) => return Some(Self(Inner::Small(block))),
                Err(block) => Self(Inner::Small(block)),
            },
            Inner::Large(bytes) => Self(Inner::Large(bytes)),
        };
        let [front, back] = kept.map(|range| whole.as_ref().get(range));
        let [first, second, third, fourth] = parts;
        Self::joined(&[front?, back?, first, second, third, fourth])
    }

    #[inline]
    fn copy_passing(bytes: &[u8]) -> Option<Self> {
        Some(Self::passing(bytes))
    }

    #[inline]
    fn footprint(&self) -> usize {
        match &self.0 {
            Inner::Small(_) => BLOCK,
            Inner::Large(bytes) => bytes.len(),
        }
    }
}

impl From<Bytes> for PooledBuffer {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Large(bytes))
    }
}

impl From<PooledBuffer> for Bytes {
    /// Copies a small message.
    fn from(buffer: PooledBuffer) -> Self {
        match buffer.0 {
            Inner::Small(block) => Self::copy_from_slice(block.as_slice()),
            Inner::Large(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Span;

    #[test]
    fn holds_what_was_put_in_whatever_its_length() {
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 255, 256, 10_000] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let passing = PooledBuffer::copy_passing(&bytes).unwrap();
            assert_eq!((passing.as_ref(), passing.clone().as_ref()), (&bytes[..], &bytes[..]));
            assert_eq!(passing.footprint(), len.max(BLOCK));
            let (front, back) = bytes.split_at(len / 3);
            assert_eq!(PooledBuffer::joined(&[front, back]).unwrap().as_ref(), bytes);
            assert_eq!(Bytes::from(passing), bytes);
            assert_eq!(PooledBuffer::copy_from(&bytes).unwrap().footprint(), len);
        }
    }

    #[test]
    fn what_is_cut_out_and_put_behind_gives_the_same_in_place_as_in_a_copy() {
        for len in [0, 5, 100, BLOCK, BLOCK + 1, 1000] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            for (cut, added) in
                [(0..0, 0), (len / 3..len / 2, 9), (0..len, BLOCK), (len / 4..len, 300), (0..len / 2, 1)]
            {
                let (extra, span) = (std::vec![7; added], Span::whole(PooledBuffer::copy_passing(&bytes).unwrap()));
                let whole = [&bytes[..cut.start], &bytes[cut.end..], &[1], &extra[..], &[2, 3]].concat();
                let spliced = span.spliced(cut.clone(), [&[1], &extra, &[], &[2, 3]]).unwrap();
                assert_eq!(spliced.as_slice(), whole, "{len} {cut:?} {added}");
                let fixed = heapless::Vec::<u8, 2000>::from_slice(&bytes).unwrap();
                let spliced = Span::whole(fixed).spliced(cut, [&[1], &extra, &[], &[2, 3]]).unwrap();
                assert_eq!(spliced.as_slice(), whole);
            }
        }
        let span = Span::part(PooledBuffer::copy_passing(b"0123456789").unwrap(), 2..9).unwrap();
        assert!(span.clone().spliced(1..8, [&[]; 4]).is_none(), "it ends before");
        let large = Span::whole(PooledBuffer::copy_from(b"0123456789").unwrap());
        let backwards = core::ops::Range { start: 3, end: 1 };
        assert!(
            large.spliced(backwards.clone(), [&[]; 4]).is_none() && span.clone().spliced(backwards, [&[]; 4]).is_none()
        );
        assert_eq!(span.spliced(1..3, [b"a", b"b", b"c", b"d"]).unwrap().as_slice(), b"25678abcd");
    }

    #[test]
    fn a_block_is_used_again_and_only_so_many_are_kept() {
        let held: Vec<_> = (0..KEPT + 10).map(|_| PooledBuffer::copy_passing(b"message")).collect();
        drop(held);
        assert_eq!(FREE.with_borrow(Vec::len), KEPT);
        let again = PooledBuffer::copy_passing(b"another").unwrap();
        assert_eq!(FREE.with_borrow(Vec::len), KEPT - 1);
        assert_eq!(again.as_ref(), b"another");
    }
}
