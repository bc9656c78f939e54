//! What waits to be written to one connection: small parts copied together, large ones sent from where they are.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::vec::Vec;

use bytes::{Buf, Bytes};

use super::Buffer;
use crate::endpoint::{Outlet, Transmit};

/// Buffers that are kept to be used again, and how large each may be.
const SPARE: usize = 8;
const SPARE_MAX: usize = 1 << 20;

/// What waits to be written to one connection, for drivers on hosts.
///
/// It grows with what is put in: whoever does asks [`len`](Self::len), or has a machine that gives no more than it should.
#[derive(Debug, Default)]
pub struct Outgoing {
    segments: VecDeque<Segment>,
    len: usize,
}

#[derive(Debug)]
enum Segment {
    /// Copied together; written up to `sent`.
    Copied { bytes: Vec<u8>, sent: usize },
    /// Where it was.
    Shared(Bytes),
}

impl Segment {
    fn rest(&self) -> &[u8] {
        match self {
            Self::Copied { bytes, sent } => bytes.get(*sent..).unwrap_or(&[]),
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Outgoing {
    /// Bytes from this number on are sent from where they are. Below, a copy costs less than a part of a vectored write.
    pub const SHARE_FROM: usize = 16 << 10;

    /// Nothing that waits.
    pub const fn new() -> Self {
        Self { segments: VecDeque::new(), len: 0 }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends a copy of each part.
    #[inline(always)]
    pub fn copy(&mut self, parts: &[&[u8]], spare: &mut Spare) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len == 0 {
            return;
        }
        self.len += len;
        let copied = self.copied(spare);
        copied.reserve(len);
        for part in parts.iter().filter(|part| !part.is_empty()) {
            copied.extend_from_slice(part);
        }
    }

    /// Appends `bytes`, which are copied if they are few.
    pub fn push(&mut self, bytes: Bytes, spare: &mut Spare) {
        if bytes.len() < Self::SHARE_FROM {
            return self.copy(&[&bytes], spare);
        }
        self.len += bytes.len();
        self.segments.push_back(Segment::Shared(bytes));
    }

    /// Appends what an endpoint has for the connection.
    #[inline]
    pub fn push_transmit<B>(&mut self, transmit: Transmit<'_, B>, spare: &mut Spare)
    where
        B: Buffer + Clone + Into<Bytes>,
    {
        let (before, body) = (transmit.before(), transmit.body_bytes());
        if body.len() < Self::SHARE_FROM {
            let [lead, topic_header, topic, header] = before;
            return self.copy(&[lead, topic_header, topic, header, body, transmit.after()], spare);
        }
        self.copy(&before, spare);
        let after = transmit.after().to_vec();
        if let Some(span) = transmit.into_body() {
            let (buffer, range) = span.into_parts();
            self.push(buffer.into().slice(range), spare);
        }
        self.copy(&[&after], spare);
    }

    /// What waits, in its order, to be written in one go: as many parts of it as there is room for.
    pub fn slices<'a, 'r>(&'a self, room: &'r mut [IoSlice<'a>]) -> &'r [IoSlice<'a>] {
        let mut count = 0;
        for (slice, segment) in room.iter_mut().zip(&self.segments) {
            *slice = IoSlice::new(segment.rest());
            count += 1;
        }
        room.get(..count).unwrap_or(&[])
    }

    /// Takes off what was written.
    pub fn advance(&mut self, mut written: usize, spare: &mut Spare) {
        self.len = self.len.saturating_sub(written);
        while let Some(first) = self.segments.front_mut() {
            let rest = first.rest().len();
            if written < rest {
                match first {
                    Segment::Copied { sent, .. } => *sent += written,
                    Segment::Shared(bytes) => bytes.advance(written),
                }
                return;
            }
            written -= rest;
            if let Some(Segment::Copied { bytes, .. }) = self.segments.pop_front() {
                spare.put(bytes);
            }
        }
    }

    /// Takes off all: the connection is gone.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.len = 0;
    }

    /// The last segment, if it is one to copy to, or a new one.
    #[inline]
    fn copied(&mut self, spare: &mut Spare) -> &mut Vec<u8> {
        if !matches!(self.segments.back(), Some(Segment::Copied { .. })) {
            self.segments.push_back(Segment::Copied { bytes: spare.take(), sent: 0 });
        }
        match self.segments.back_mut() {
            Some(Segment::Copied { bytes, .. }) => bytes,
            _ => unreachable!("a segment to copy to was just added"),
        }
    }
}

/// What waits for one connection, with the spare buffers of its thread: where an endpoint puts what is to be sent.
#[derive(Debug)]
pub struct Filling<'a> {
    /// What waits.
    pub outgoing: &'a mut Outgoing,
    /// The spare buffers.
    pub spare: &'a mut Spare,
}

impl<B> Outlet<B> for Filling<'_>
where
    B: Buffer + Clone + Into<Bytes>,
{
    #[inline]
    fn copy(&mut self, head: &[u8], body: &[u8]) {
        self.outgoing.copy(&[head, body], self.spare);
    }

    #[inline]
    fn put(&mut self, transmit: Transmit<'_, B>) {
        self.outgoing.push_transmit(transmit, self.spare);
    }
}

/// Empty buffers for all connections of a thread, so that one that is idle keeps none.
#[derive(Debug, Default)]
pub struct Spare(Vec<Vec<u8>>);

impl Spare {
    /// None yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    fn put(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < SPARE && buffer.capacity() <= SPARE_MAX {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_parts_are_one_and_large_ones_stay_where_they_are() {
        let (mut outgoing, mut spare) = (Outgoing::new(), Spare::new());
        let large = Bytes::from(std::vec![7; Outgoing::SHARE_FROM]);
        outgoing.copy(&[b"a", b"", b"b"], &mut spare);
        outgoing.push(Bytes::from_static(b"c"), &mut spare);
        outgoing.push(large.clone(), &mut spare);
        outgoing.copy(&[b"d"], &mut spare);
        let mut room = [IoSlice::new(&[]); 8];
        let parts: Vec<&[u8]> = outgoing.slices(&mut room).iter().map(|slice| &slice[..]).collect();
        assert_eq!(parts, [b"abc", &large[..], b"d"]);
        assert_eq!(parts[1].as_ptr(), large.as_ptr());
        assert_eq!(outgoing.len(), 4 + Outgoing::SHARE_FROM);
    }

    #[test]
    fn buffers_are_used_again() {
        let (mut outgoing, mut spare) = (Outgoing::new(), Spare::new());
        outgoing.copy(&[b"abc"], &mut spare);
        let place = outgoing.slices(&mut [IoSlice::new(&[])])[0].as_ptr();
        outgoing.advance(3, &mut spare);
        assert!(outgoing.is_empty());
        outgoing.copy(&[b"def"], &mut spare);
        assert_eq!(outgoing.slices(&mut [IoSlice::new(&[])])[0].as_ptr(), place);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_however_it_is_written(
            sizes in proptest::collection::vec(prop_oneof![0usize..40, Outgoing::SHARE_FROM - 1..Outgoing::SHARE_FROM + 9], 0..8),
            writes in proptest::collection::vec(1usize..20_000, 1..64),
        ) {
            let (mut outgoing, mut spare) = (Outgoing::new(), Spare::new());
            let (mut whole, mut out) = (Vec::new(), Vec::new());
            let mut writes = writes.into_iter().cycle();
            for (index, size) in sizes.into_iter().enumerate() {
                let bytes = std::vec![index as u8; size];
                whole.extend_from_slice(&bytes);
                outgoing.push(bytes.into(), &mut spare);
                write(&mut outgoing, writes.next().unwrap(), &mut out, &mut spare);
            }
            while !outgoing.is_empty() {
                write(&mut outgoing, writes.next().unwrap(), &mut out, &mut spare);
            }
            prop_assert_eq!(outgoing.len(), 0);
            prop_assert!(out == whole);
        }
    }

    fn write(outgoing: &mut Outgoing, most: usize, out: &mut Vec<u8>, spare: &mut Spare) {
        let mut room = [IoSlice::new(&[]); 3];
        let bytes: Vec<u8> =
            outgoing.slices(&mut room).iter().flat_map(|slice| slice.iter().copied()).take(most).collect();
        outgoing.advance(bytes.len(), spare);
        out.extend_from_slice(&bytes);
    }
}
