//! Finds entries of another table by a hash.

use super::{NONE, Table};

/// An open-addressing table from hashes to entry indices; keys stay where the entries are.
///
/// Several entries may have the same hash. Expected O(1) as long as the table is made larger than what is put into it.
#[derive(Debug)]
pub(crate) struct Index<S> {
    places: S,
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
        while places.as_ref().len() < places.capacity() && places.push(Place::EMPTY).is_ok() {}
        Self { places }
    }

    /// Adds `entry`; `false` if there is no place left.
    pub(crate) fn insert(&mut self, hash: u64, entry: u32) -> bool {
        let hash = fold(hash);
        let places = self.places.as_mut();
        let count = places.len();
        for step in 0..count {
            let place = &mut places[(hash as usize + step) % count];
            if place.entry == NONE {
                *place = Place { entry, hash };
                return true;
            }
        }
        false
    }

    /// The entries that may have this hash, the caller compares keys.
    pub(crate) fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let hash = fold(hash);
        let places = self.places.as_ref();
        let count = places.len();
        (0..count)
            .map(move |step| places[(hash as usize + step) % count])
            .take_while(|place| place.entry != NONE)
            .filter(move |place| place.hash == hash)
            .map(|place| place.entry)
    }

    /// Takes `entry` out, which was put in under `hash`, and closes the gap.
    pub(crate) fn remove(&mut self, hash: u64, entry: u32) {
        let hash = fold(hash);
        let places = self.places.as_mut();
        let count = places.len();
        let home = |hash: u32| hash as usize % count;
        let probe = (0..count).map(|step| (hash as usize + step) % count);
        let Some(mut gap) = probe.take_while(|&at| places[at].entry != NONE).find(|&at| places[at].entry == entry)
        else {
            return;
        };
        let mut at = gap;
        for _ in 1..count {
            at = (at + 1) % count;
            if places[at].entry == NONE {
                break;
            }
            // An entry moves into the gap unless its home lies after the gap on the way to where it is now.
            let from_home = (at + count - home(places[at].hash)) % count;
            let from_gap = (at + count - gap) % count;
            if from_home >= from_gap {
                places[gap] = places[at];
                gap = at;
            }
        }
        places[gap] = Place::EMPTY;
    }
}

fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
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
            let hash = |entry: u32| u64::from(entry % 3 + 6);
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
}
