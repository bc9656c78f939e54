//! How tasks are named: so that nobody who has seen any number of names guesses another.
//!
//! Who knows the name of a task that is out may answer it over ZeroMQ, where nothing else tells who is who. So a name is drawn from
//! a keyed hash of how many there were before, but for as many of its bits as it takes to number the places of a table: these are the
//! task's place, blurred by the others. The place is found by a multiplication, and a name is that of a task if the task has it.

use crate::hash::KeyedHash;
use crate::message::TaskId;
use crate::random::Seed;

/// Gives out names.
#[derive(Debug)]
pub(super) struct TaskNames {
    hash: KeyedHash,
    /// Names given out.
    count: u64,
    /// What the bits that are hashed are multiplied by to blur the place.
    blur: u64,
    /// Bits that the place takes, 1 to 32.
    bits: u32,
}

impl TaskNames {
    /// Names for tasks in a table of `places`.
    pub(super) fn new(seed: Seed, places: usize) -> Self {
        let highest = u32::try_from(places.saturating_sub(1)).unwrap_or(u32::MAX);
        Self {
            hash: KeyedHash::new(seed.derive("task names")),
            count: 0,
            blur: seed.derive("blur of task names").words()[0] | 1,
            bits: (u32::BITS - highest.leading_zeros()).max(1),
        }
    }

    /// The name of a new task, which lies at `place`.
    #[inline]
    pub(super) fn next(&mut self, place: u32) -> TaskId {
        let hashed = self.hash.word(self.count) & !self.mask();
        self.count = self.count.wrapping_add(1);
        TaskId(hashed | u64::from(place) ^ self.blur_of(hashed))
    }

    /// Where the task lies that has this name, if one has.
    #[inline]
    pub(super) fn place(&self, TaskId(name): TaskId) -> u32 {
        let hashed = name & !self.mask();
        (name & self.mask() ^ self.blur_of(hashed)) as u32
    }

    /// The bits for the place.
    const fn mask(&self) -> u64 {
        (1 << self.bits) - 1
    }

    /// The highest bits of a product depend on all bits of its factors.
    const fn blur_of(&self, hashed: u64) -> u64 {
        hashed.wrapping_mul(self.blur) >> (u64::BITS - self.bits)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_tells_its_masters_table_where_its_task_lies() {
        for places in [0, 1, 2, 3, 64, 100_000, 1 << 31, usize::MAX] {
            let mut names = TaskNames::new(Seed::from_u64(1), places);
            let highest = u32::try_from(places.max(1) - 1).unwrap_or(u32::MAX);
            for place in [0, 1, highest / 3, highest].map(|place: u32| place.min(highest)) {
                let name = names.next(place);
                assert_eq!(names.place(name), place, "{name}, one of {places}");
            }
        }
    }

    #[test]
    fn no_bit_of_a_name_follows_from_those_before() {
        let mut names = TaskNames::new(Seed::from_u64(2), 100_000);
        let mut others = TaskNames::new(Seed::from_u64(3), 100_000);
        // What is guessed easily: places in a row, and the same place again and again.
        for place in [|at: u32| at, |_| 5] {
            let drawn: std::vec::Vec<u64> = (0..2_000).map(|at| names.next(place(at)).0).collect();
            assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), drawn.len());
            for bit in 0..64 {
                let set = drawn.iter().filter(|&&name| name >> bit & 1 != 0).count();
                assert!((850..=1_150).contains(&set), "bit {bit} is set in {set} of 2,000");
                let kept = drawn.windows(2).filter(|pair| (pair[0] ^ pair[1]) >> bit & 1 == 0).count();
                assert!((850..=1_150).contains(&kept), "bit {bit} is as before {kept} times");
            }
            let steps: BTreeSet<u64> = drawn.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
            assert_eq!(steps.len(), drawn.len() - 1, "no step comes twice");
            assert!((0..2_000).all(|at| !drawn.contains(&others.next(place(at)).0)), "another seed, other names");
        }
    }
}
