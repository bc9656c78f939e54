//! Which attempt of a task was accepted, for tasks that were dispatched more than once.
//!
//! A task that was dispatched once needs no entry: whatever else comes for it is of its only attempt.

use crate::collections::{Index, NONE, Place, Table};
use crate::message::TaskId;

use super::task::Taken;

/// What is remembered of one task; named only by storage types.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    pub(super) task: TaskId,
    /// The attempt whose answer was accepted; 0: none is.
    pub(super) attempt: u32,
    /// Who had it before and was taken to hang.
    pub(super) taken_from: Option<Taken>,
}

/// The last so many of them: the oldest makes room for the newest.
#[derive(Debug)]
pub(super) struct FinishedBook<F, P> {
    entries: F,
    index: Index<P>,
    /// Where the next entry goes once the table is full.
    next: usize,
}

impl<F: Table<Finished>, P: Table<Place>> FinishedBook<F, P> {
    pub(super) fn new(entries: F, places: P) -> Self {
        Self { entries, index: Index::new(places), next: 0 }
    }

    pub(super) fn insert(&mut self, entry: Finished) {
        let position = if self.entries.push(entry).is_ok() {
            self.entries.as_ref().len() - 1
        } else {
            let position = self.next;
            let capacity = self.entries.capacity();
            let Some(oldest) = self.entries.as_mut().get_mut(position) else { return };
            self.next = (position + 1) % capacity;
            self.index.remove(hash(oldest.task), position as u32);
            *oldest = entry;
            position
        };
        self.index.insert(hash(entry.task), u32::try_from(position).unwrap_or(NONE));
    }

    pub(super) fn find(&self, task: TaskId) -> Option<&Finished> {
        let entries = self.entries.as_ref();
        self.index
            .candidates(hash(task))
            .filter_map(|position| entries.get(position as usize))
            .find(|entry| entry.task == task)
    }
}

/// Task ids are ours, and begin at random: they need no keyed hash.
fn hash(TaskId(id): TaskId) -> u64 {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest() {
        let mut book: FinishedBook<heapless::Vec<Finished, 3>, heapless::Vec<Place, 3>> =
            FinishedBook::new(heapless::Vec::new(), heapless::Vec::new());
        for task in 0..10 {
            book.insert(Finished { task: TaskId(task << 32), attempt: task as u32, taken_from: None });
        }
        for task in 0..10 {
            let found = book.find(TaskId(task << 32)).map(|entry| entry.attempt);
            assert_eq!(found, (task >= 7).then_some(task as u32));
        }
    }
}
