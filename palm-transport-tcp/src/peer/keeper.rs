//! Payloads that are kept: in the buffer that they have for themselves, or copied out of one that is used again.

use bytes::{Bytes, BytesMut};

/// Payloads up to this length are put beside each other: an allocation for each would cost more than the copy.
const SMALL: usize = 64;
/// Bytes in which they lie. One that is kept for long keeps no more than that.
const CHUNK: usize = 1 << 10;

/// Keeps payloads.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    chunk: BytesMut,
}

impl Keeper {
    /// A part of what was received; `whole` is the buffer that it has for itself, if it has.
    #[inline]
    pub(crate) fn keep(&mut self, part: &[u8], whole: Option<&Bytes>) -> Bytes {
        if (1..=SMALL).contains(&part.len()) && whole.is_none() { self.keep_small(part) } else { kept(part, whole) }
    }

    fn keep_small(&mut self, part: &[u8]) -> Bytes {
        if self.chunk.capacity() < part.len() {
            self.chunk = BytesMut::with_capacity(CHUNK);
        }
        self.chunk.extend_from_slice(part);
        self.chunk.split().freeze()
    }
}

/// Bytes that are kept: in the buffer that they lie in, if that is theirs, else a copy.
pub(super) fn kept(part: &[u8], whole: Option<&Bytes>) -> Bytes {
    match whole {
        Some(whole) if !part.is_empty() => whole.slice_ref(part),
        _ => Bytes::copy_from_slice(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_came_whatever_its_length() {
        let mut keeper = Keeper::default();
        let parts: Vec<Vec<u8>> = (0..500).map(|at| vec![at as u8; at % 90]).collect();
        let kept: Vec<Bytes> = parts.iter().map(|part| keeper.keep(part, None)).collect();
        assert!(kept.iter().zip(&parts).all(|(kept, part)| kept == part));
    }

    #[test]
    fn a_part_of_a_buffer_of_its_own_stays_there() {
        let whole = Bytes::from(vec![7; 100]);
        let kept = Keeper::default().keep(&whole[3..90], Some(&whole));
        assert_eq!((kept.len(), kept.as_ptr()), (87, whole[3..].as_ptr()));
    }
}
