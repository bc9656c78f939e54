//! What a client submits, and what it remembers of it (`docs/spec.md`, section 9.7).

use crate::collections::{Index, Link, Linked, List, Place, Slab, Slot, Table};
use crate::native::{Frame, ToMaster};

/// A task to be submitted.
#[derive(Clone, Copy, Debug)]
pub struct Submit<'a> {
    /// What is to be done, `server.method`.
    pub function: &'a str,
    /// The payload.
    pub payload: &'a [u8],
    /// Among the client's own tasks; higher ones are first.
    pub priority: u8,
    /// How long the client waits for it, from now, in milliseconds.
    pub deadline_ms: Option<u32>,
    /// User data.
    pub cache: &'a str,
}

impl<'a> Submit<'a> {
    /// A task of the usual priority, without a deadline or user data.
    pub const fn new(function: &'a str, payload: &'a [u8]) -> Self {
        Self { function, payload, priority: 0, deadline_ms: None, cache: "" }
    }
}

/// A task that is on its way: what is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Submitted<'a> {
    /// The client's number for it.
    pub sequence: u64,
    /// To be sent first, if the master does not know the function's name yet.
    pub declaration: Option<Frame<'a, ToMaster>>,
    /// The task.
    pub task: Frame<'a, ToMaster>,
}

impl<'a> Submitted<'a> {
    /// The frames, in the order in which they are to be sent.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'a, ToMaster>> + use<'a> {
        self.declaration.into_iter().chain([self.task])
    }
}

/// A task that the master may not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resubmit {
    /// The client's number for it.
    pub sequence: u64,
    /// What its caller calls it.
    pub key: u64,
}

/// A task without a last result; named only by storage types.
#[derive(Debug)]
pub struct Submission {
    pub(super) sequence: u64,
    pub(super) key: u64,
    link: Link,
}

/// The list of all, in the order of their sequences.
#[derive(Debug)]
pub(super) struct InOrder;

impl Linked<InOrder> for Submission {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
    fn peek_link(&self) -> Link {
        self.link
    }
}

/// All tasks without a last result, and which are to be submitted again.
#[derive(Debug)]
pub(super) struct Book<S, P> {
    submissions: Slab<Submission, S>,
    by_sequence: Index<P>,
    order: List<InOrder>,
    next_sequence: u64,
    /// The first to be submitted again; all behind it are too.
    again: Option<u32>,
}

impl<S: Table<Slot<Submission>>, P: Table<Place>> Book<S, P> {
    pub(super) fn new(submissions: S, places: P) -> Self {
        Self {
            submissions: Slab::new(submissions, 0),
            by_sequence: Index::new(places),
            order: List::new(),
            next_sequence: 0,
            again: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.submissions.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.submissions.is_full()
    }

    /// The sequence of the next task.
    pub(super) const fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// A new task, under the next sequence; `false` if there is no room.
    pub(super) fn insert(&mut self, key: u64) -> bool {
        let sequence = self.next_sequence;
        let Ok(index) = self.submissions.insert(Submission { sequence, key, link: Link::UNLINKED }) else {
            return false;
        };
        if !self.by_sequence.insert(hash(sequence), index) {
            self.submissions.remove(index);
            return false;
        }
        self.order.push_back(&mut self.submissions, index);
        self.next_sequence += 1;
        true
    }

    pub(super) fn find(&self, sequence: u64) -> Option<(u32, u64)> {
        let is = |&index: &u32| self.submissions.get(index).is_some_and(|found| found.sequence == sequence);
        let index = self.by_sequence.candidates(hash(sequence)).find(is)?;
        Some((index, self.submissions.get(index)?.key))
    }

    pub(super) fn remove(&mut self, index: u32, sequence: u64) {
        if self.again == Some(index) {
            self.again = self.order.next(&self.submissions, index);
        }
        self.by_sequence.remove(hash(sequence), index);
        self.order.remove(&mut self.submissions, index);
        self.submissions.remove(index);
    }

    /// Those from `sequence` on are to be submitted again. O(tasks before it), unless it is there.
    pub(super) fn submit_again(&mut self, sequence: u64) {
        if let Some((index, _)) = self.find(sequence) {
            self.again = Some(index);
            return;
        }
        let mut at = self.order.front();
        while let Some(index) = at
            && self.submissions[index].sequence < sequence
        {
            at = self.order.next(&self.submissions, index);
        }
        self.again = at;
    }

    pub(super) fn submit_none_again(&mut self) {
        self.again = None;
    }

    /// The next to be submitted again.
    pub(super) fn again(&self) -> Option<Resubmit> {
        let Submission { sequence, key, .. } = *self.submissions.get(self.again?)?;
        Some(Resubmit { sequence, key })
    }

    pub(super) fn submitted_again(&mut self) {
        if let Some(index) = self.again {
            self.again = self.order.next(&self.submissions, index);
        }
    }
}

/// Spreads numbers that follow each other. Nobody else chooses them.
const fn hash(sequence: u64) -> u64 {
    sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
