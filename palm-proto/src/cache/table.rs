//! A hash table in a slice: open addressing, linear probing, and deletion that closes the gap, so that no tombstones are
//! left behind for searches to walk over.

use crate::buffer::Buffer;
use crate::hash::KeyedHash;

/// One slot of a cache's table.
#[derive(Debug)]
pub struct Entry<B>(Option<Occupied<B>>);

#[derive(Debug)]
struct Occupied<B> {
    hash: u32,
    preset: bool,
    key: B,
    value: B,
}

/// Where a key is, or could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Found(usize),
    Free(usize),
    Full,
}

impl<B: Buffer> Entry<B> {
    /// A slot with nothing in it.
    pub const EMPTY: Self = Self(None);

    pub(super) fn is_preset(&self) -> bool {
        self.0.as_ref().is_some_and(|occupied| occupied.preset)
    }

    pub(super) fn key(&self) -> Option<&B> {
        self.0.as_ref().map(|occupied| &occupied.key)
    }

    pub(super) fn value(&self) -> Option<&B> {
        self.0.as_ref().map(|occupied| &occupied.value)
    }

    /// Bytes of key and value.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |occupied| occupied.key.as_ref().len() + occupied.value.as_ref().len())
    }

    /// Puts an entry here, or a new value into the one that is here. `None` if a buffer cannot hold it; nothing has changed
    /// then.
    pub(super) fn fill(&mut self, hash: u32, key: &[u8], value: &[u8], preset: bool) -> Option<()> {
        let value = B::copy_from(value)?;
        match &mut self.0 {
            Some(occupied) => {
                occupied.value = value;
                occupied.preset |= preset;
            }
            None => self.0 = Some(Occupied { hash, preset, key: B::copy_from(key)?, value }),
        }
        Some(())
    }
}

/// Looks for `key`, at most once at each slot.
pub(super) fn find<B: Buffer>(slots: &[Entry<B>], hash: u32, key: &[u8]) -> Place {
    let mut at = KeyedHash::slot(hash, slots.len());
    for _ in 0..slots.len() {
        match slots.get(at) {
            Some(Entry(Some(occupied))) if occupied.hash == hash && occupied.key.as_ref() == key => {
                return Place::Found(at);
            }
            Some(Entry(Some(_))) => at = next(at, slots.len()),
            Some(Entry(None)) => return Place::Free(at),
            None => break,
        }
    }
    Place::Full
}

/// Empties the slot `at`, and moves entries that came to lie further on because of it back towards where their searches
/// begin. The number of bytes that are gone.
pub(super) fn remove<B: Buffer>(slots: &mut [Entry<B>], at: usize) -> usize {
    let len = slots.len();
    let Some(removed) = slots.get_mut(at).map(|slot| core::mem::replace(slot, Entry::EMPTY)) else {
        return 0;
    };
    let mut gap = at;
    let mut candidate = at;
    for _ in 1..len {
        candidate = next(candidate, len);
        let Some(Entry(Some(occupied))) = slots.get(candidate) else {
            break;
        };
        let home = KeyedHash::slot(occupied.hash, len);
        if distance(home, candidate, len) >= distance(gap, candidate, len) {
            slots.swap(gap, candidate);
            gap = candidate;
        }
    }
    removed.bytes()
}

const fn next(at: usize, len: usize) -> usize {
    if at + 1 == len { 0 } else { at + 1 }
}

/// Steps from `from` on to `to`, round the end.
const fn distance(from: usize, to: usize, len: usize) -> usize {
    if to >= from { to - from } else { to + len - from }
}
