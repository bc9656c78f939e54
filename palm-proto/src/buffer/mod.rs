//! What holds a message: the caller's choice, the same for every machine.

#[cfg(feature = "std")]
mod outgoing;
#[cfg(feature = "std")]
mod pooled;

use core::ops::Range;

#[cfg(feature = "std")]
pub use outgoing::{Filling, Outgoing, Spare};
#[cfg(feature = "std")]
pub use pooled::PooledBuffer;

/// An owned run of bytes in which a machine keeps a message.
///
/// [`bytes::Bytes`](https://docs.rs/bytes) on hosts (with the `alloc` feature), or `PooledBuffer` (with `std`), which is quicker
/// about small messages; [`heapless::Vec`] on a microcontroller.
pub trait Buffer: AsRef<[u8]> + Sized {
    /// Most bytes that one can hold.
    const CAPACITY: usize = usize::MAX;

    /// Copies `bytes` into a new buffer; `None` if they do not fit.
    fn copy_from(bytes: &[u8]) -> Option<Self>;

    /// Copies what `parts` hold, one after the other, into a new buffer; `None` if it does not fit.
    fn joined(parts: &[&[u8]]) -> Option<Self>;

    /// The bytes in two ranges of this one, then those of `parts`: in its place if there is room, else in a new one; `None` if they
    /// do not fit. The second range comes after the first.
    fn spliced(self, kept: [Range<usize>; 2], parts: [&[u8]; 4]) -> Option<Self> {
        let [front, back] = kept.map(|range| self.as_ref().get(range));
        let [first, second, third, fourth] = parts;
        Self::joined(&[front?, back?, first, second, third, fourth])
    }

    /// The same as [`copy_from`](Self::copy_from) for a message on its way, which is soon gone again: it may take a larger buffer
    /// that is at hand.
    #[inline]
    fn copy_passing(bytes: &[u8]) -> Option<Self> {
        Self::copy_from(bytes)
    }

    /// Number of bytes that it occupies, at least those that it holds.
    #[inline]
    fn footprint(&self) -> usize {
        self.as_ref().len()
    }
}

impl<const N: usize> Buffer for heapless::Vec<u8, N> {
    const CAPACITY: usize = N;

    fn copy_from(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }

    fn joined(parts: &[&[u8]]) -> Option<Self> {
        let mut whole = Self::new();
        parts.iter().try_for_each(|part| whole.extend_from_slice(part)).ok()?;
        Some(whole)
    }

    fn spliced(mut self, kept: [Range<usize>; 2], parts: [&[u8]; 4]) -> Option<Self> {
        let len = move_together(&mut self, kept)?;
        self.truncate(len);
        parts.iter().try_for_each(|part| self.extend_from_slice(part)).ok()?;
        Some(self)
    }
}

/// Moves two ranges of `bytes` to its front, and gives the number of bytes that are there then; `None` if it has no such bytes.
fn move_together(bytes: &mut [u8], [front, back]: [Range<usize>; 2]) -> Option<usize> {
    if front.end > back.start || front.start > front.end || back.start > back.end || back.end > bytes.len() {
        return None;
    }
    let (first, second) = (front.len(), back.len());
    if front.start > 0 {
        bytes.copy_within(front, 0);
    }
    bytes.copy_within(back, first);
    Some(first + second)
}

#[cfg(feature = "alloc")]
impl Buffer for bytes::Bytes {
    fn copy_from(bytes: &[u8]) -> Option<Self> {
        Some(Self::copy_from_slice(bytes))
    }

    fn joined(parts: &[&[u8]]) -> Option<Self> {
        let mut whole = bytes::BytesMut::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| whole.extend_from_slice(part));
        Some(whole.freeze())
    }
}

/// A part of a buffer: what is left of a received frame once its header and our own fields are taken off.
///
/// Lengths are kept as `u32`; no machine takes a message of 4 GiB or more.
#[derive(Clone, Debug)]
pub struct Span<B> {
    buffer: B,
    start: u32,
    end: u32,
}

impl<B: Buffer> Span<B> {
    /// The whole of `buffer`, of which no more than the first 4 GiB less one byte can be seen.
    pub fn whole(buffer: B) -> Self {
        let end = u32::try_from(buffer.as_ref().len()).unwrap_or(u32::MAX);
        Self { buffer, start: 0, end }
    }

    /// The bytes of `buffer` in `range`; `None` if it has no such bytes.
    pub fn part(buffer: B, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > buffer.as_ref().len() {
            return None;
        }
        let start = u32::try_from(range.start).ok()?;
        let end = u32::try_from(range.end).ok()?;
        Some(Self { buffer, start, end })
    }

    /// Copies `bytes`; `None` if they do not fit into a `B`.
    pub fn copy_from(bytes: &[u8]) -> Option<Self> {
        B::copy_from(bytes).map(Self::whole)
    }

    /// Copies the bytes of a message on its way; `None` if they do not fit into a `B`.
    #[inline]
    pub fn copy_passing(bytes: &[u8]) -> Option<Self> {
        B::copy_passing(bytes).map(Self::whole)
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        let whole = self.buffer.as_ref();
        whole.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Number of bytes that the buffer behind it occupies.
    pub fn footprint(&self) -> usize {
        self.buffer.footprint()
    }

    /// Keeps the first `len` bytes, or all if there are fewer.
    pub fn truncate(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// The bytes in `range` of these; `None` if there are no such bytes.
    pub fn narrowed(self, range: Range<usize>) -> Option<Self> {
        let start = self.start as usize;
        Self::part(self.buffer, start.checked_add(range.start)?..start.checked_add(range.end)?)
            .filter(|part| part.end <= self.end)
    }

    /// The first `cut.start` bytes and those from `cut.end` on, then those of `parts`; `None` if they do not fit, or there are no
    /// such bytes.
    pub fn spliced(self, cut: Range<usize>, parts: [&[u8]; 4]) -> Option<Self> {
        if cut.start > cut.end {
            return None;
        }
        let (start, end) = (self.start as usize, self.end as usize);
        let kept = [start..start.checked_add(cut.start)?, start.checked_add(cut.end)?..end];
        self.buffer.spliced(kept, parts).map(Self::whole)
    }

    /// The buffer and where in it the bytes are.
    pub fn into_parts(self) -> (B, Range<usize>) {
        (self.buffer, self.start as usize..self.end as usize)
    }

    /// The buffer and where in it the bytes are.
    pub fn parts(&self) -> (&B, Range<usize>) {
        (&self.buffer, self.start as usize..self.end as usize)
    }
}

impl<B: Buffer> AsRef<[u8]> for Span<B> {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}
