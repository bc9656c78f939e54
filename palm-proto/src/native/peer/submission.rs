//! What a client submits, and what it remembers of it (`docs/spec.md`, section 9.7).

use crate::collections::{Beside, Index, Link, Linked, Place, Slab, Slot, Sought, SoughtList, Table};
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
    /// Whether it is in the index.
    indexed: bool,
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

impl Sought<InOrder> for Submission {
    fn indexed(&mut self) -> &mut bool {
        &mut self.indexed
    }
}

/// All tasks without a last result, and which are to be submitted again.
#[derive(Debug)]
pub(super) struct Book<S, P> {
    submissions: Slab<Submission, S>,
    by_sequence: Index<P>,
    order: SoughtList<InOrder>,
    next_sequence: u64,
    /// The first to be submitted again; all behind it are too.
    again: Option<u32>,
}

impl<S: Table<Slot<Submission>>, P: Table<Place>> Book<S, P> {
    pub(super) fn new(submissions: S, places: P) -> Self {
        Self {
            submissions: Slab::new(submissions),
            by_sequence: Index::new(places),
            order: SoughtList::new(),
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
        let entry = Submission { sequence, key, indexed: false, link: Link::UNLINKED };
        let Ok(index) = self.submissions.insert(entry) else { return false };
        self.order.push_back(&mut self.submissions, index);
        self.next_sequence += 1;
        true
    }

    /// Amortised O(1).
    pub(super) fn find(&mut self, sequence: u64) -> Option<(u32, u64)> {
        let beside = self.by_sequence.beside();
        let index = self.order.find(
            &mut self.submissions,
            &mut self.by_sequence,
            |entry| place(beside, entry.sequence),
            || place(beside, sequence),
            |entry| entry.sequence == sequence,
        )?;
        Some((index, self.submissions.get(index)?.key))
    }

    pub(super) fn remove(&mut self, index: u32) {
        if self.again == Some(index) {
            self.again = self.order.list().next(&self.submissions, index);
        }
        let beside = self.by_sequence.beside();
        let place = |entry: &Submission| place(beside, entry.sequence);
        self.order.remove(&mut self.submissions, &mut self.by_sequence, place, index);
        self.submissions.remove(index);
    }

    /// Those from `sequence` on are to be submitted again. O(tasks before it), unless it is there.
    pub(super) fn submit_again(&mut self, sequence: u64) {
        if let Some((index, _)) = self.find(sequence) {
            self.again = Some(index);
            return;
        }
        let mut at = self.order.list().front();
        while let Some(index) = at
            && self.submissions[index].sequence < sequence
        {
            at = self.order.list().next(&self.submissions, index);
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
            self.again = self.order.list().next(&self.submissions, index);
        }
    }
}

/// So many sequences in a row are looked for side by side.
const SIDE_BY_SIDE: u64 = 8;

/// Where a sequence is looked for. Nobody else chooses them.
const fn place(beside: Beside, sequence: u64) -> u64 {
    let group = (sequence / SIDE_BY_SIDE).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    beside.hash(group, (sequence % SIDE_BY_SIDE) as u32)
}
