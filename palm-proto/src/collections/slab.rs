//! Entries that come and go, under indices that are used again.

use core::marker::PhantomData;
use core::ops;

use super::{ENTRIES_MAX, NONE, Table};

/// Room for one entry of a slab; public only because storage types name it.
#[derive(Debug)]
pub struct Slot<T>(State<T>);

/// The generation is in both, for beside the tag it takes no room.
#[derive(Debug)]
enum State<T> {
    Free { generation: u32, next: u32 },
    Used { generation: u32, entry: T },
}

impl<T> Slot<T> {
    #[inline]
    fn entry(&self) -> Option<&T> {
        match &self.0 {
            State::Used { entry, .. } => Some(entry),
            State::Free { .. } => None,
        }
    }
}

/// A table of entries with O(1) insertion and removal.
///
/// Each slot counts its uses, so that an index and a generation together name an entry even after it is gone.
#[derive(Debug)]
pub(crate) struct Slab<T, S> {
    slots: S,
    first_free: u32,
    len: u32,
    entry: PhantomData<T>,
}

impl<T, S: Table<Slot<T>>> Slab<T, S> {
    /// An empty slab over an empty table.
    pub(crate) fn new(slots: S) -> Self {
        Self { slots, first_free: NONE, len: 0, entry: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity().min(ENTRIES_MAX as usize)
    }

    /// Slots ever used: no entry has a higher index.
    pub(crate) fn slots(&self) -> usize {
        self.slots.as_ref().len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// Adds `entry`; gives it back if the slab is full.
    #[inline]
    pub(crate) fn insert(&mut self, entry: T) -> Result<u32, T> {
        let index = self.first_free;
        if index == NONE {
            return self.insert_new(entry);
        }
        let slot = &mut self.slots.as_mut()[index as usize];
        // The list of free slots holds nothing else; said so, it spares a look at what is overwritten.
        let State::Free { generation, next } = slot.0 else { return Err(entry) };
        self.first_free = next;
        slot.0 = State::Used { generation, entry };
        self.len += 1;
        Ok(index)
    }

    #[inline(never)]
    fn insert_new(&mut self, entry: T) -> Result<u32, T> {
        if self.is_full() {
            return Err(entry);
        }
        let index = self.len;
        let slot = Slot(State::Used { generation: 0, entry });
        if let Err(Slot(State::Used { entry, .. })) = self.slots.push(slot) {
            return Err(entry);
        }
        self.len += 1;
        Ok(index)
    }

    /// Takes the entry out; `None` if there is none at `index`.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.as_mut().get_mut(index as usize)?;
        let State::Used { generation, .. } = slot.0 else { return None };
        let free = State::Free { generation: generation.wrapping_add(1), next: self.first_free };
        let State::Used { entry, .. } = core::mem::replace(&mut slot.0, free) else { return None };
        self.first_free = index;
        self.len -= 1;
        Some(entry)
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.slots.as_ref().get(index as usize)?.entry()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match &mut self.slots.as_mut().get_mut(index as usize)?.0 {
            State::Used { entry, .. } => Some(entry),
            State::Free { .. } => None,
        }
    }

    /// How often the slot has been used before.
    #[inline]
    pub(crate) fn generation(&self, index: u32) -> Option<u32> {
        let Slot(State::Free { generation, .. } | State::Used { generation, .. }) =
            self.slots.as_ref().get(index as usize)?;
        Some(*generation)
    }

    /// Indices of all entries; O(slots ever used).
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> {
        let used = |(index, slot): (usize, &Slot<T>)| slot.entry().is_some().then_some(index as u32);
        self.slots.as_ref().iter().enumerate().filter_map(used)
    }
}

impl<T, S: Table<Slot<T>>> ops::Index<u32> for Slab<T, S> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        self.get(index).expect("machines keep indices of live entries only")
    }
}

impl<T, S: Table<Slot<T>>> ops::IndexMut<u32> for Slab<T, S> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.get_mut(index).expect("machines keep indices of live entries only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuses_slots_under_a_new_generation() {
        let mut slab: Slab<char, heapless::Vec<Slot<char>, 2>> = Slab::new(heapless::Vec::new());
        let a = slab.insert('a').unwrap();
        let b = slab.insert('b').unwrap();
        assert_eq!(slab.insert('c'), Err('c'));
        assert_eq!((slab.generation(a), slab.remove(a), slab.remove(a)), (Some(0), Some('a'), None));
        let c = slab.insert('c').unwrap();
        assert_eq!((c, slab.generation(c), slab[b], slab.len()), (a, Some(1), 'b', 2));
    }
}
