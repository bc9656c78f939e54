//! What there is of a result that several are given. Whatever becomes of a copy, it is told to one other at most: so this is O(1),
//! however many there are.

use crate::collections::NONE;

use super::super::MasterStorage;
use super::super::delivery::{Copies, Delivery, Rank};
use super::super::subscriptions::{Cursor, Target};
use super::{Ledger, Publication, Results, topic_of};

impl<S: MasterStorage> Results<S> {
    /// Gives copies of the result at `first` to further subscribers. Those who have subscribed to the topic itself have one each, as
    /// long as there is room; what others have gives way.
    pub(super) fn hand_copies(
        &mut self,
        ledger: &mut Ledger<'_, S>,
        (first, first_target): (u32, Target),
        rest: &[Target],
        mut cursor: Cursor,
        mut spare: usize,
    ) {
        let mut found: heapless::Vec<Target, 8> = heapless::Vec::new();
        found.extend(rest.iter().copied());
        while !found.is_empty() {
            for target in &found {
                self.subscribers[target.subscriber].publication = self.publication;
                if !target.exact {
                    let of = if first_target.exact { Copies::None } else { self.copy_of(first) };
                    self.hand_extra(ledger, first, target.subscriber, of);
                } else if spare == 0 {
                    *ledger.copies_dropped += 1;
                } else {
                    spare -= 1;
                    let copy = self.copy(first);
                    if let Some(index) = self.hand(ledger, copy, target.subscriber) {
                        self.join(first, index);
                    }
                }
            }
            let entry = &self.deliveries[first];
            found = self.targets(topic_of(&entry.message, &entry.topic, self.own_topic.as_ref()), &mut cursor);
        }
    }

    pub(super) fn copy(&self, index: u32) -> Publication<S::Buffer> {
        let entry = &self.deliveries[index];
        Publication {
            message: entry.message.clone(),
            topic: entry.topic.clone(),
            sender: entry.sender,
            note: entry.note.clone(),
        }
    }

    fn copy_of(&self, first: u32) -> Copies {
        Copies::Of { first, generation: self.deliveries.generation(first).unwrap_or(0) }
    }

    /// Puts a new copy into the ring of another.
    pub(super) fn join(&mut self, of: u32, index: u32) {
        let after = if let Copies::Ring { after, .. } = self.deliveries[of].copies() { after } else { of };
        self.deliveries[index].set_copies(Copies::Ring { before: of, after });
        self.link(of, None, Some(index));
        self.link(after, Some(index), None);
    }

    /// A delivery leaves the ring of its copies.
    #[inline]
    pub(super) fn leave_copies(&mut self, index: u32) {
        if let Copies::Ring { before, after } = self.deliveries[index].copies() {
            self.deliveries[index].set_copies(Copies::None);
            self.deliveries[after].taken |= self.deliveries[index].taken;
            if before == after {
                self.deliveries[before].set_copies(Copies::None);
            } else {
                self.link(before, None, Some(after));
                self.link(after, Some(before), None);
            }
        }
    }

    fn link(&mut self, index: u32, new_before: Option<u32>, new_after: Option<u32>) {
        let entry = &mut self.deliveries[index];
        let (before, after) =
            if let Copies::Ring { before, after } = entry.copies() { (before, after) } else { (index, index) };
        entry.set_copies(Copies::Ring { before: new_before.unwrap_or(before), after: new_after.unwrap_or(after) });
    }

    /// A copy is being taken: nobody waits for another. In a ring it is told to the next, and by that to the last that is left.
    pub(super) fn tell_copies(&mut self, ledger: &mut Ledger<'_, S>, index: u32) {
        match self.deliveries[index].copies() {
            Copies::None => {}
            Copies::Ring { after, .. } => self.deliveries[after].taken = true,
            Copies::Of { first, generation } => {
                let waits = |entry: &Delivery<S::Buffer>| entry.rank == Rank::Full && entry.under != NONE;
                if self.deliveries.generation(first) == Some(generation)
                    && self.deliveries.get(first).is_some_and(waits)
                {
                    self.make_spare(ledger, first, Rank::Kept);
                }
            }
        }
    }

    /// Takes a result that is in the queue of one who has subscribed to a prefix and waits for its topic's own client, one of whom is
    /// `taker`. The other has it still, as long as there is room to spare.
    pub(super) fn take_shared(&mut self, ledger: &mut Ledger<'_, S>, index: u32, taker: u32) -> Publication<S::Buffer> {
        let result = self.copy(index);
        let entry = &self.deliveries[index];
        let (is_holder, is_owner) = (entry.holder == taker, self.topics[entry.under].owner == taker);
        if is_holder && is_owner {
            self.take_out(index);
            self.forget(ledger, index);
        } else if is_holder {
            self.leave_queue(index);
            self.make_spare(ledger, index, Rank::Kept);
        } else {
            self.leave_topic(index);
            self.make_spare(ledger, index, Rank::Extra);
        }
        result
    }
}
