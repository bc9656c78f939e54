//! Finds entries of another table by a hash.

use super::{NONE, Table};

/// An open-addressing table from hashes to entry indices; keys stay where the entries are.
///
/// Several entries may have the same hash. Expected O(1) as long as the table is made larger than what is put into it.
#[derive(Debug)]
pub(crate) struct Index<S> {
    places: S,
    beside: Beside,
}

/// One place of an index: an entry and what its hash was.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    entry: u32,
    hash: u32,
}

impl Place {
    const EMPTY: Self = Self { entry: NONE, hash: 0 };
}

impl<S: Table<Place>> Index<S> {
    /// An index with as many places as `places` has capacity.
    pub(crate) fn new(mut places: S) -> Self {
        let count = places.capacity().min(NONE as usize);
        while places.as_ref().len() < count && places.push(Place::EMPTY).is_ok() {}
        let beside = Beside { step: (2_u64 << 32).div_ceil(count.max(1) as u64) as u32 };
        Self { places, beside }
    }

    /// Adds `entry`; `false` if there is no place left.
    pub(crate) fn insert(&mut self, hash: u64, entry: u32) -> bool {
        let hash = upper(hash);
        let places = self.places.as_mut();
        let free = probe(hash, places.len()).find(|&at| places[at].entry == NONE);
        if let Some(at) = free {
            places[at] = Place { entry, hash };
        }
        free.is_some()
    }

    /// How to find hashes whose homes lie side by side.
    #[inline]
    pub(crate) const fn beside(&self) -> Beside {
        self.beside
    }

    /// The entries that may have this hash, the caller compares keys.
    #[inline]
    pub(crate) fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let hash = upper(hash);
        let places = self.places.as_ref();
        let (before, from_home) = places.split_at(home(hash, places.len()));
        from_home
            .iter()
            .chain(before)
            .take_while(|place| place.entry != NONE)
            .filter(move |place| place.hash == hash)
            .map(|place| place.entry)
    }

    /// The same, from where `place` stands on, which goes with it: 0 to begin.
    pub(crate) fn candidates_from<'a>(&'a self, hash: u64, place: &'a mut usize) -> impl Iterator<Item = u32> + 'a {
        let hash = upper(hash);
        let places = self.places.as_ref();
        let (before, from_home) = places.split_at(home(hash, places.len()));
        let rest = from_home.iter().chain(before).skip(*place);
        let used = rest.take_while(|place| place.entry != NONE).inspect(move |_| *place += 1);
        used.filter(move |place| place.hash == hash).map(|place| place.entry)
    }

    /// Takes `entry` out, which was put in under `hash`, and closes the gap, so that no search walks over it.
    pub(crate) fn remove(&mut self, hash: u64, entry: u32) {
        let places = self.places.as_mut();
        let count = places.len();
        let mut way = probe(upper(hash), count).take_while(|&at| places[at].entry != NONE);
        let Some(mut gap) = way.find(|&at| places[at].entry == entry) else { return };
        let mut at = gap;
        for _ in 1..count {
            at = if at + 1 == count { 0 } else { at + 1 };
            if places[at].entry == NONE {
                break;
            }
            // An entry moves into the gap unless its home lies after the gap on the way to where it is now.
            if distance(home(places[at].hash, count), at, count) >= distance(gap, at, count) {
                places[gap] = places[at];
                gap = at;
            }
        }
        places[gap] = Place::EMPTY;
    }
}

/// Finds hashes whose homes lie side by side in an index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside {
    step: u32,
}

impl Beside {
    /// A hash whose home is `steps` steps after that of `hash`: what is looked for one after the other then lies side by side. There
    /// is an empty place between any two, so that a gap is closed at once.
    #[inline]
    pub(crate) const fn hash(self, hash: u64, steps: u32) -> u64 {
        (upper(hash).wrapping_add(steps.wrapping_mul(self.step)) as u64) << 32
    }
}

/// The bits of a hash that are used.
const fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Where among `count` places the search for `hash` begins; 0 if there are none. Any `count` will do, and none costs a
/// division.
const fn home(hash: u32, count: usize) -> usize {
    ((hash as u64 * count as u64) >> 32) as usize
}

/// All places, in the order in which they are searched.
fn probe(hash: u32, count: usize) -> impl Iterator<Item = usize> {
    let home = home(hash, count);
    (home..count).chain(0..home)
}

/// Steps from `from` on to `to`, round the end.
const fn distance(from: usize, to: usize, count: usize) -> usize {
    if to >= from { to - from } else { to + count - from }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_was_put_in_and_nothing_else(operations in prop::collection::vec((any::<bool>(), 0_u32..12), 0..200)) {
            let mut index: Index<heapless::Vec<Place, 8>> = Index::new(heapless::Vec::new());
            let mut model = std::vec::Vec::new();
            // Hashes collide often, and wrap round the end.
            let hash = |entry: u32| u64::from(entry % 3 + 5) << 61;
            for (insert, entry) in operations {
                if insert && !model.contains(&entry) {
                    prop_assert_eq!(index.insert(hash(entry), entry), model.len() < 8);
                    if model.len() < 8 {
                        model.push(entry);
                    }
                } else {
                    index.remove(hash(entry), entry);
                    model.retain(|&kept| kept != entry);
                }
                for entry in 0..12 {
                    let found = index.candidates(hash(entry)).any(|candidate| candidate == entry);
                    prop_assert_eq!(found, model.contains(&entry));
                }
            }
        }
    }

    #[test]
    fn searches_begin_within_the_table_and_spread_over_it() {
        for count in [1, 2, 3, 7, 100] {
            assert_eq!((home(0, count), home(u32::MAX, count)), (0, count - 1));
        }
        let mut empty: Index<heapless::Vec<Place, 0>> = Index::new(heapless::Vec::new());
        empty.remove(u64::MAX, 1);
        assert_eq!((empty.insert(u64::MAX, 1), empty.candidates(u64::MAX).count()), (false, 0));
    }
}
