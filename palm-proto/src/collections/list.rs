//! Doubly linked lists through the entries of a slab.

use core::marker::PhantomData;

use super::slab::{Slab, Slot};
use super::{ENTRIES_MAX, NONE, Table};

/// An entry's place in one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// The entry before it, `NONE`, or `OUTSIDE`.
    previous: u32,
    next: u32,
}

/// Stands for the entry before one that is in no list. No entry has this index.
const OUTSIDE: u32 = ENTRIES_MAX;

impl Link {
    /// In no list.
    pub(crate) const UNLINKED: Self = Self { previous: OUTSIDE, next: NONE };

    pub(crate) fn is_linked(self) -> bool {
        self.previous != OUTSIDE
    }
}

/// An entry that can be in a list of kind `K`; an entry has a link for each kind.
pub(crate) trait Linked<K> {
    fn link(&mut self) -> &mut Link;
    fn peek_link(&self) -> Link;
}

/// Whether a list knows how many entries it has: `u32`, or `()` if nobody asks, which takes no room.
pub(crate) trait Count: Copy {
    const ZERO: Self;
    fn up(&mut self);
    fn down(&mut self);
}

impl Count for u32 {
    const ZERO: Self = 0;
    fn up(&mut self) {
        *self += 1;
    }
    fn down(&mut self) {
        *self -= 1;
    }
}

impl Count for () {
    const ZERO: Self = ();
    fn up(&mut self) {}
    fn down(&mut self) {}
}

/// A first-in first-out list of kind `K` through entries of a slab. All operations are O(1).
#[derive(Debug)]
pub(crate) struct List<K, N = u32> {
    head: u32,
    tail: u32,
    len: N,
    kind: PhantomData<K>,
}

impl<K> List<K> {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }
}

impl<K, N: Count> List<K, N> {
    pub(crate) const fn new() -> Self {
        Self { head: NONE, tail: NONE, len: N::ZERO, kind: PhantomData }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    pub(crate) fn front(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(crate) fn back(&self) -> Option<u32> {
        (self.tail != NONE).then_some(self.tail)
    }

    /// The entry after `index`.
    pub(crate) fn next<T: Linked<K>, S: Table<Slot<T>>>(&self, slab: &Slab<T, S>, index: u32) -> Option<u32> {
        let next = slab[index].peek_link().next;
        (next != NONE).then_some(next)
    }

    /// Adds an entry that is in no list of this kind.
    pub(crate) fn push_back<T: Linked<K>, S: Table<Slot<T>>>(&mut self, slab: &mut Slab<T, S>, index: u32) {
        debug_assert!(!slab[index].peek_link().is_linked(), "an entry is in one list of a kind");
        *slab[index].link() = Link { previous: self.tail, next: NONE };
        match self.tail {
            NONE => self.head = index,
            tail => slab[tail].link().next = index,
        }
        self.tail = index;
        self.len.up();
    }

    /// Puts an entry that is in no list of this kind first.
    pub(crate) fn push_front<T: Linked<K>, S: Table<Slot<T>>>(&mut self, slab: &mut Slab<T, S>, index: u32) {
        debug_assert!(!slab[index].peek_link().is_linked(), "an entry is in one list of a kind");
        *slab[index].link() = Link { previous: NONE, next: self.head };
        match self.head {
            NONE => self.tail = index,
            head => slab[head].link().previous = index,
        }
        self.head = index;
        self.len.up();
    }

    /// Puts an entry that is in no list of this kind before one that is in this list.
    pub(crate) fn insert_before<T: Linked<K>, S: Table<Slot<T>>>(
        &mut self,
        slab: &mut Slab<T, S>,
        next: u32,
        index: u32,
    ) {
        debug_assert!(!slab[index].peek_link().is_linked(), "an entry is in one list of a kind");
        let previous = slab[next].peek_link().previous;
        if previous == NONE {
            return self.push_front(slab, index);
        }
        *slab[index].link() = Link { previous, next };
        slab[previous].link().next = index;
        slab[next].link().previous = index;
        self.len.up();
    }

    /// Takes an entry out that is in this list.
    pub(crate) fn remove<T: Linked<K>, S: Table<Slot<T>>>(&mut self, slab: &mut Slab<T, S>, index: u32) {
        let link = core::mem::replace(slab[index].link(), Link::UNLINKED);
        debug_assert!(link.is_linked(), "only an entry that is in the list is taken out");
        match link.previous {
            NONE => self.head = link.next,
            previous => slab[previous].link().next = link.next,
        }
        match link.next {
            NONE => self.tail = link.previous,
            next => slab[next].link().previous = link.previous,
        }
        self.len.down();
    }

    /// Puts an entry that is in this list last. Nothing is touched if it is last already.
    #[inline]
    pub(crate) fn move_to_back<T: Linked<K>, S: Table<Slot<T>>>(&mut self, slab: &mut Slab<T, S>, index: u32) {
        if self.tail != index {
            self.remove(slab, index);
            self.push_back(slab, index);
        }
    }

    pub(crate) fn pop_front<T: Linked<K>, S: Table<Slot<T>>>(&mut self, slab: &mut Slab<T, S>) -> Option<u32> {
        let index = self.front()?;
        let link = core::mem::replace(slab[index].link(), Link::UNLINKED);
        self.head = link.next;
        match link.next {
            NONE => self.tail = NONE,
            next => slab[next].link().previous = NONE,
        }
        self.len.down();
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    struct Entry(Link);
    struct InList;

    impl Linked<InList> for Entry {
        fn link(&mut self) -> &mut Link {
            &mut self.0
        }
        fn peek_link(&self) -> Link {
            self.0
        }
    }

    type Entries = Slab<Entry, heapless::Vec<Slot<Entry>, 6>>;

    fn indices(slab: &Entries, list: &List<InList>) -> Vec<u32> {
        core::iter::successors(list.front(), |&index| list.next(slab, index)).collect()
    }

    proptest! {
        #[test]
        fn is_in_order_whatever_is_put_in_and_taken_out(operations in prop::collection::vec((0..5, 0_u32..6), 0..60)) {
            let mut slab = Entries::new(heapless::Vec::new());
            while slab.insert(Entry(Link::UNLINKED)).is_ok() {}
            let mut list: List<InList> = List::new();
            let mut model = VecDeque::new();
            for (operation, index) in operations {
                match (operation, slab[index].peek_link().is_linked()) {
                    (0, false) => {
                        list.push_front(&mut slab, index);
                        model.push_front(index);
                    }
                    (3, false) if !model.is_empty() => {
                        let place = model.len() / 2;
                        list.insert_before(&mut slab, model[place], index);
                        model.insert(place, index);
                    }
                    (1 | 2, false) => {
                        list.push_back(&mut slab, index);
                        model.push_back(index);
                    }
                    (0, true) => prop_assert_eq!(list.pop_front(&mut slab), model.pop_front()),
                    (1, true) => {
                        list.move_to_back(&mut slab, index);
                        model.retain(|&kept| kept != index);
                        model.push_back(index);
                    }
                    (_, true) => {
                        list.remove(&mut slab, index);
                        model.retain(|&kept| kept != index);
                    }
                    (_, false) => {}
                }
                prop_assert_eq!(indices(&slab, &list), Vec::from_iter(model.iter().copied()));
                prop_assert_eq!((list.len(), list.back()), (model.len(), model.back().copied()));
            }
        }
    }
}
