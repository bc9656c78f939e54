//! Entries that come in order, and are looked for by a key: most of them in that order.

use super::index::{Index, Place};
use super::list::{Linked, List};
use super::slab::{Slab, Slot};
use super::{NONE, Table};

/// An entry that can be looked for in a list of kind `K`.
pub(crate) trait Sought<K>: Linked<K> {
    /// Whether it is in the index.
    fn indexed(&mut self) -> &mut bool;
}

/// A list in which the first entry is found at once, and the others by an index.
///
/// Entries are put into the index only when one is looked for that is not first: those that come to their end in the order in
/// which they came never are. Each is at most once, so that a look-up takes amortised O(1); a single one O(entries) at most. The
/// index is shared with other lists, and has a place for each entry of the slab; a `place` is where in it an entry is looked for.
#[derive(Debug)]
pub(crate) struct SoughtList<K> {
    list: List<K>,
    /// The first entry that is not in the index; none behind it is.
    rest: u32,
}

impl<K> SoughtList<K> {
    pub(crate) const fn new() -> Self {
        Self { list: List::new(), rest: NONE }
    }

    pub(crate) const fn list(&self) -> &List<K> {
        &self.list
    }

    /// Adds an entry that is in no list of this kind.
    #[inline]
    pub(crate) fn push_back<T: Sought<K>, S: Table<Slot<T>>>(&mut self, slab: &mut Slab<T, S>, index: u32) {
        self.list.push_back(slab, index);
        if self.rest == NONE {
            self.rest = index;
        }
    }

    /// The entry that is the one looked for.
    #[inline]
    pub(crate) fn find<T: Sought<K>, S: Table<Slot<T>>, P: Table<Place>>(
        &mut self,
        slab: &mut Slab<T, S>,
        places: &mut Index<P>,
        place: impl Fn(&T) -> u64,
        wanted: impl FnOnce() -> u64,
        is: impl Fn(&T) -> bool,
    ) -> Option<u32> {
        let first = self.list.front()?;
        if is(&slab[first]) {
            return Some(first);
        }
        if self.rest != NONE {
            self.index_rest(slab, places, place);
        }
        places.candidates(wanted()).find(|&index| is(&slab[index]))
    }

    /// Takes an entry out that is in this list.
    #[inline]
    pub(crate) fn remove<T: Sought<K>, S: Table<Slot<T>>, P: Table<Place>>(
        &mut self,
        slab: &mut Slab<T, S>,
        places: &mut Index<P>,
        place: impl Fn(&T) -> u64,
        index: u32,
    ) {
        if self.rest == index {
            self.rest = self.list.next(slab, index).unwrap_or(NONE);
        }
        if *slab[index].indexed() {
            places.remove(place(&slab[index]), index);
        }
        self.list.remove(slab, index);
    }

    fn index_rest<T: Sought<K>, S: Table<Slot<T>>, P: Table<Place>>(
        &mut self,
        slab: &mut Slab<T, S>,
        places: &mut Index<P>,
        place: impl Fn(&T) -> u64,
    ) {
        while self.rest != NONE {
            let index = self.rest;
            // An index with fewer places than it is to have loses entries, and nothing else.
            let indexed = places.insert(place(&slab[index]), index);
            *slab[index].indexed() = indexed;
            self.rest = self.list.next(slab, index).unwrap_or(NONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::super::Link;
    use super::*;

    struct Entry {
        key: u64,
        indexed: bool,
        link: Link,
    }
    struct InList;

    impl Linked<InList> for Entry {
        fn link(&mut self) -> &mut Link {
            &mut self.link
        }
        fn peek_link(&self) -> Link {
            self.link
        }
    }

    impl Sought<InList> for Entry {
        fn indexed(&mut self) -> &mut bool {
            &mut self.indexed
        }
    }

    proptest! {
        #[test]
        fn finds_what_is_there_and_nothing_else(operations in prop::collection::vec((any::<bool>(), 0_usize..12), 0..200)) {
            let mut slab: Slab<Entry, heapless::Vec<Slot<Entry>, 8>> = Slab::new(heapless::Vec::new());
            let mut places: Index<heapless::Vec<Place, 8>> = Index::new(heapless::Vec::new());
            let (mut list, mut model) = (SoughtList::<InList>::new(), VecDeque::new());
            // Hashes collide often.
            let hash = |key: u64| (key % 3 + 5) << 61;
            let place = |entry: &Entry| hash(entry.key);
            let mut next = 0;
            for (add, which) in operations {
                if add {
                    if let Ok(index) = slab.insert(Entry { key: next, indexed: false, link: Link::UNLINKED }) {
                        list.push_back(&mut slab, index);
                        model.push_back(next);
                        next += 1;
                    }
                    continue;
                }
                // In order, or any, or one that is not there.
                let key = model.get(which / 2).copied().unwrap_or(next);
                let found = list.find(&mut slab, &mut places, place, || hash(key), |entry| entry.key == key);
                prop_assert_eq!(found.is_some(), model.contains(&key));
                if let Some(index) = found {
                    prop_assert_eq!(slab[index].key, key);
                    list.remove(&mut slab, &mut places, place, index);
                    slab.remove(index);
                    model.retain(|&kept| kept != key);
                }
                prop_assert_eq!(list.list().len(), model.len());
            }
        }
    }
}
