//! A table of fixed capacity in storage that the caller brings, with lists through it.
//!
//! The storage is anything that gives a slice: an array on a microcontroller, a `Vec` on a host. Nothing here allocates, and
//! every operation takes constant time.

use core::marker::PhantomData;

/// No slot.
const NIL: u32 = u32::MAX;

/// One place of a table. Make as many as the table is to have with [`Slot::default`], or with `slots` on a host.
#[derive(Clone, Debug)]
pub struct Slot<T> {
    next: u32,
    previous: u32,
    /// Counts the values that have been here, so that a key of an earlier one is recognised.
    generation: u32,
    /// Head of the hash chain with this slot's number, in a table that has an index.
    pub(crate) bucket: u32,
    value: Option<T>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { next: NIL, previous: NIL, generation: 0, bucket: NIL, value: None }
    }
}

/// Storage for a table of `capacity` places.
#[cfg(feature = "alloc")]
pub fn slots<T>(capacity: usize) -> alloc::vec::Vec<Slot<T>> {
    core::iter::repeat_with(Slot::default).take(capacity).collect()
}

/// A place in a table and which of the values that have been there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) index: u32,
    generation: u32,
}

/// A doubly linked list through slots; a slot is in one list at most.
#[derive(Debug)]
pub(crate) struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    pub(crate) const fn new() -> Self {
        Self { head: NIL, tail: NIL, len: 0 }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Slots<T, S> {
    storage: S,
    free: List,
    /// Slots from here on have never been used.
    fresh: u32,
    used: u32,
    marker: PhantomData<T>,
}

impl<T, S: AsRef<[Slot<T>]> + AsMut<[Slot<T>]>> Slots<T, S> {
    pub(crate) fn new(storage: S) -> Self {
        Self { storage, free: List::new(), fresh: 0, used: 0, marker: PhantomData }
    }

    /// Number of places; no more than `u32::MAX - 1` are used.
    pub(crate) fn capacity(&self) -> u32 {
        u32::try_from(self.storage.as_ref().len()).unwrap_or(NIL).min(NIL - 1)
    }

    pub(crate) fn len(&self) -> u32 {
        self.used
    }

    pub(crate) fn room(&self) -> u32 {
        self.capacity() - self.used
    }

    /// Puts `value` into a free place, in no list; gives it back if there is none.
    pub(crate) fn insert(&mut self, value: T) -> Result<Key, T> {
        let mut free = core::mem::replace(&mut self.free, List::new());
        let reused = self.pop_front(&mut free);
        self.free = free;
        let index = match reused {
            Some(index) => index,
            None if self.fresh < self.capacity() => {
                self.fresh += 1;
                self.fresh - 1
            }
            None => return Err(value),
        };
        let Some(slot) = self.slot_mut(index) else { return Err(value) };
        slot.value = Some(value);
        let generation = slot.generation;
        self.used += 1;
        Ok(Key { index, generation })
    }

    /// Takes the value out of a place that is in no list.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slot_mut(index)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.used -= 1;
        let mut free = core::mem::replace(&mut self.free, List::new());
        self.push_back(&mut free, index);
        self.free = free;
        Some(value)
    }

    pub(crate) fn slot(&self, index: u32) -> Option<&Slot<T>> {
        self.storage.as_ref().get(index as usize)
    }

    pub(crate) fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.storage.as_mut().get_mut(index as usize)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.slot(index)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slot_mut(index)?.value.as_mut()
    }

    /// The place of `key`, if its value is still there.
    pub(crate) fn index(&self, key: Key) -> Option<u32> {
        let slot = self.slot(key.index)?;
        (slot.generation == key.generation && slot.value.is_some()).then_some(key.index)
    }

    /// The key of the value that is in a place now.
    pub(crate) fn key(&self, index: u32) -> Option<Key> {
        let slot = self.slot(index)?;
        slot.value.as_ref().map(|_| Key { index, generation: slot.generation })
    }

    pub(crate) fn front(&self, list: &List) -> Option<u32> {
        (list.head != NIL).then_some(list.head)
    }

    pub(crate) fn push_back(&mut self, list: &mut List, index: u32) {
        let tail = list.tail;
        let Some(slot) = self.slot_mut(index) else { return };
        slot.next = NIL;
        slot.previous = tail;
        match self.slot_mut(tail) {
            Some(last) => last.next = index,
            None => list.head = index,
        }
        list.tail = index;
        list.len += 1;
    }

    pub(crate) fn pop_front(&mut self, list: &mut List) -> Option<u32> {
        let index = self.front(list)?;
        self.unlink(list, index);
        Some(index)
    }

    /// Takes a place out of the list that it is in.
    pub(crate) fn unlink(&mut self, list: &mut List, index: u32) {
        let Some(slot) = self.slot_mut(index) else { return };
        let (previous, next) = (slot.previous, slot.next);
        (slot.previous, slot.next) = (NIL, NIL);
        match self.slot_mut(previous) {
            Some(slot) => slot.next = next,
            None => list.head = next,
        }
        match self.slot_mut(next) {
            Some(slot) => slot.previous = previous,
            None => list.tail = previous,
        }
        list.len -= 1;
    }

    /// Puts the whole of `from` before the front of `list`.
    pub(crate) fn prepend(&mut self, list: &mut List, from: &mut List) {
        if from.is_empty() {
            return;
        }
        if let Some(first) = self.slot_mut(list.head) {
            first.previous = from.tail;
        }
        if let Some(last) = self.slot_mut(from.tail) {
            last.next = list.head;
        }
        list.tail = if list.is_empty() { from.tail } else { list.tail };
        list.head = from.head;
        list.len += from.len;
        *from = List::new();
    }

    /// The place after `index` in its list.
    pub(crate) fn next(&self, index: u32) -> Option<u32> {
        self.slot(index).map(|slot| slot.next).filter(|&next| next != NIL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(slots: &Slots<u8, [Slot<u8>; 4]>, list: &List) -> std::vec::Vec<u8> {
        let mut at = slots.front(list);
        let mut values = std::vec::Vec::new();
        while let Some(index) = at {
            values.push(*slots.get(index).unwrap());
            at = slots.next(index);
        }
        assert_eq!(values.len(), list.len() as usize);
        values
    }

    #[test]
    fn a_full_table_gives_the_value_back_and_places_are_used_again() {
        let mut slots = Slots::new(core::array::from_fn::<Slot<u8>, 2, _>(|_| Slot::default()));
        let first = slots.insert(1).unwrap();
        slots.insert(2).unwrap();
        assert_eq!(slots.insert(3), Err(3));
        assert_eq!(slots.remove(first.index), Some(1));
        let again = slots.insert(4).unwrap();
        assert_eq!(again.index, first.index);
        assert_eq!(slots.index(first), None, "the key of the value before is not that of this one");
        assert_eq!(slots.index(again), Some(again.index));
        assert_eq!((slots.len(), slots.room()), (2, 0));
    }

    #[test]
    fn lists_keep_their_order() {
        let mut slots = Slots::new(core::array::from_fn::<Slot<u8>, 4, _>(|_| Slot::default()));
        let keys: std::vec::Vec<_> = (0..4).map(|value| slots.insert(value).unwrap().index).collect();
        let (mut one, mut two) = (List::new(), List::new());
        keys.iter().for_each(|&key| slots.push_back(&mut one, key));
        slots.unlink(&mut one, keys[1]);
        slots.unlink(&mut one, keys[3]);
        slots.push_back(&mut two, keys[1]);
        slots.push_back(&mut two, keys[3]);
        assert_eq!((numbers(&slots, &one), numbers(&slots, &two)), (vec(&[0, 2]), vec(&[1, 3])));
        slots.prepend(&mut one, &mut two);
        assert_eq!(numbers(&slots, &one), [1, 3, 0, 2]);
        assert!(two.is_empty());
        slots.prepend(&mut two, &mut one);
        assert_eq!(slots.pop_front(&mut two), Some(keys[1]));
        slots.push_back(&mut two, keys[1]);
        assert_eq!(numbers(&slots, &two), [3, 0, 2, 1]);
    }

    fn vec(values: &[u8]) -> std::vec::Vec<u8> {
        values.to_vec()
    }
}
