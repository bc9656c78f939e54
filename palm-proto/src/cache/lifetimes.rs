//! Whose lifetime is over first: a leftist heap through the entries themselves, so that it takes no table of its own, and
//! values without a lifetime cost it nothing.
//!
//! Each entry is over no later than those below it. An entry's rank is the length of the shortest way down from it to where
//! there is no entry, and the way to the right is one of these: so no way to the right is longer than log2 of the entries, and
//! nothing here goes down any other.

use super::Entry;
use crate::collections::{NONE, Slab, Slot, Table};
use crate::time::Instant;

/// The time that no lifetime reaches: that of values that have none.
pub(super) const NEVER: Instant = Instant::from_micros(u64::MAX);

/// An entry's neighbours in the heap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    above: u32,
    left: u32,
    right: u32,
}

impl Node {
    pub(super) const ALONE: Self = Self { above: NONE, left: NONE, right: NONE };
}

/// The entries with a lifetime.
#[derive(Debug)]
pub(super) struct Lifetimes {
    top: u32,
}

impl Lifetimes {
    pub(super) const fn new() -> Self {
        Self { top: NONE }
    }

    /// An entry whose lifetime is over first; O(1).
    pub(super) fn first(&self) -> Option<u32> {
        (self.top != NONE).then_some(self.top)
    }

    /// Gives an entry another lifetime, or with [`NEVER`] none; O(log n).
    pub(super) fn set<B, S: Table<Slot<Entry<B>>>>(
        &mut self,
        entries: &mut Slab<Entry<B>, S>,
        index: u32,
        expires: Instant,
    ) {
        if entries[index].expires != NEVER {
            self.remove(entries, index);
        }
        let entry = &mut entries[index];
        entry.expires = expires;
        entry.node = Node::ALONE;
        if expires != NEVER {
            entry.rank = 1;
            self.top = merge(entries, self.top, index);
        }
    }

    fn remove<B, S: Table<Slot<Entry<B>>>>(&mut self, entries: &mut Slab<Entry<B>, S>, index: u32) {
        let Node { above, left, right } = entries[index].node;
        let instead = merge(entries, left, right);
        if instead != NONE {
            entries[instead].node.above = above;
        }
        if above == NONE {
            self.top = instead;
            return;
        }
        let node = &mut entries[above].node;
        *if node.left == index { &mut node.left } else { &mut node.right } = instead;
        // Each rank that changes is one more than the one that changed below, so the way up is as short as one to the right.
        let mut at = above;
        while at != NONE && settle(entries, at) {
            at = entries[at].node.above;
        }
    }
}

/// Makes one heap of two, either of which may be `NONE`, and returns its top.
fn merge<B, S: Table<Slot<Entry<B>>>>(entries: &mut Slab<Entry<B>, S>, mut one: u32, mut other: u32) -> u32 {
    let mut top = NONE;
    let mut last = NONE;
    // Both ways to the right become one, in order.
    loop {
        if one == NONE || (other != NONE && entries[other].expires < entries[one].expires) {
            core::mem::swap(&mut one, &mut other);
        }
        if one != NONE {
            entries[one].node.above = last;
        }
        match last {
            NONE => top = one,
            last => entries[last].node.right = one,
        }
        if other == NONE {
            break;
        }
        last = one;
        one = entries[one].node.right;
    }
    while last != NONE {
        settle(entries, last);
        last = entries[last].node.above;
    }
    top
}

/// Puts the lower rank to the right; whether the entry's own rank has changed.
fn settle<B, S: Table<Slot<Entry<B>>>>(entries: &mut Slab<Entry<B>, S>, index: u32) -> bool {
    let rank = |at: u32| if at == NONE { 0 } else { entries[at].rank };
    let Node { left, right, .. } = entries[index].node;
    let (left_rank, right_rank) = (rank(left), rank(right));
    let entry = &mut entries[index];
    if left_rank < right_rank {
        (entry.node.left, entry.node.right) = (right, left);
    }
    let before = core::mem::replace(&mut entry.rank, left_rank.min(right_rank) + 1);
    before != entry.rank
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const ENTRIES: usize = 200;

    type Entries = Slab<Entry<()>, heapless::Vec<Slot<Entry<()>>, ENTRIES>>;

    /// Entries in the heap below `index`; asserts that what is said of ranks and order holds there.
    fn sound(entries: &Entries, index: u32, above: u32) -> usize {
        if index == NONE {
            return 0;
        }
        let Entry { node, rank, expires, .. } = entries[index];
        assert_eq!(node.above, above);
        assert!(above == NONE || entries[above].expires <= expires);
        let below = |at: u32| if at == NONE { 0 } else { entries[at].rank };
        assert!(below(node.left) >= below(node.right));
        assert_eq!(rank, below(node.right) + 1);
        1 + sound(entries, node.left, index) + sound(entries, node.right, index)
    }

    proptest! {
        #[test]
        fn the_first_is_always_on_top(
            operations in prop::collection::vec((0..ENTRIES as u32, prop::option::weighted(0.7, 0_u64..50)), 0..600),
            rising: bool,
        ) {
            let mut entries = Entries::new(heapless::Vec::new());
            let free = || Entry {
                key: (), value: (), version: 0, expires: NEVER, node: Node::ALONE, rank: 0, preset: false,
            };
            while entries.insert(free()).is_ok() {}
            let mut lifetimes = Lifetimes::new();
            let mut model = BTreeMap::new();
            for (step, (index, expires)) in operations.into_iter().enumerate() {
                let expires = expires.map(|micros| Instant::from_micros(if rising { step as u64 } else { micros }));
                lifetimes.set(&mut entries, index, expires.unwrap_or(NEVER));
                match expires {
                    Some(expires) => drop(model.insert(index, expires)),
                    None => drop(model.remove(&index)),
                }
                prop_assert_eq!(sound(&entries, lifetimes.top, NONE), model.len());
                let first = lifetimes.first().map(|index| entries[index].expires);
                prop_assert_eq!(first, model.values().min().copied());
            }
            let mut order = Vec::new();
            while let Some(index) = lifetimes.first() {
                order.push(entries[index].expires);
                lifetimes.set(&mut entries, index, NEVER);
            }
            let mut sorted: Vec<_> = model.into_values().collect();
            sorted.sort();
            prop_assert_eq!(order, sorted);
        }
    }
}
