//! Which message's deadline is next.
//!
//! A heap of the tasks that have one; each knows its place in it, so that one that is done leaves at once, and there are never
//! more places in use than tasks. What has no deadline is not in it, and costs nothing.

use crate::collections::{NONE, Slab, Slot, Table};
use crate::message::TaskId;
use crate::time::Instant;

use super::task::Task;

#[derive(Debug)]
pub(super) struct Deadlines<T> {
    heap: T,
}

/// Of two with the same deadline, the one whose name is the lower number comes first.
type Key = (Option<Instant>, TaskId);

impl<T: Table<u32>> Deadlines<T> {
    pub(super) fn new(heap: T) -> Self {
        Self { heap }
    }

    /// The task whose deadline is next. O(1).
    pub(super) fn first(&self) -> Option<u32> {
        self.heap.as_ref().first().copied()
    }

    /// Adds a task that is not in it. O(log n).
    pub(super) fn insert<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, task: u32) {
        let at = self.heap.as_ref().len();
        // A table that is smaller than that of the tasks leaves some to be looked at when their turn comes.
        if self.heap.push(task).is_ok() {
            self.rise(tasks, at);
        }
    }

    /// Takes a task out that is in it. O(log n).
    #[inline(never)]
    pub(super) fn remove<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, task: u32) {
        let at = core::mem::replace(&mut tasks[task].due, NONE) as usize;
        let Some(last) = self.heap.pop().filter(|&last| last != task) else { return };
        self.heap.as_mut()[at] = last;
        self.sink(tasks, at);
        self.rise(tasks, at);
    }

    /// Changes the task at `at` with those above it that come later.
    fn rise<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, mut at: usize) {
        let heap = self.heap.as_mut();
        while at > 0 {
            let above = (at - 1) / 2;
            if key(tasks, heap[above]) <= key(tasks, heap[at]) {
                break;
            }
            heap.swap(above, at);
            tasks[heap[at]].due = at as u32;
            at = above;
        }
        tasks[heap[at]].due = at as u32;
    }

    /// Changes the task at `at` with those below it that come earlier.
    fn sink<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, mut at: usize) {
        let heap = self.heap.as_mut();
        loop {
            let left = 2 * at + 1;
            let below = (left..heap.len().min(left + 2)).min_by_key(|&below| key(tasks, heap[below]));
            let Some(below) = below.filter(|&below| key(tasks, heap[below]) < key(tasks, heap[at])) else { break };
            heap.swap(below, at);
            tasks[heap[at]].due = at as u32;
            at = below;
        }
        tasks[heap[at]].due = at as u32;
    }
}

fn key<B, S: Table<Slot<Task<B>>>>(tasks: &Slab<Task<B>, S>, task: u32) -> Key {
    (tasks[task].deadline, tasks[task].id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::Span;

    type Buffer = heapless::Vec<u8, 4>;
    const TASKS: usize = 16;

    proptest! {
        #[test]
        fn the_earliest_is_first_whatever_comes_and_goes(operations in prop::collection::vec((0..40_u64, 0..3_u8), 0..100)) {
            let mut tasks: Slab<Task<Buffer>, heapless::Vec<Slot<Task<Buffer>>, TASKS>> = Slab::new(heapless::Vec::new());
            let mut deadlines: Deadlines<heapless::Vec<u32, TASKS>> = Deadlines::new(heapless::Vec::new());
            let (mut model, mut name) = (BTreeSet::new(), 1_u64);
            for (number, kind) in operations {
                if kind > 0 {
                    let deadline = Some(Instant::from_millis(number));
                    let id = TaskId(name);
                    name = name.wrapping_mul(5).wrapping_add(3);
                    let task = Task { id, deadline, ..Task::new(Span::whole(Buffer::new()), 0) };
                    if let Ok(task) = tasks.insert(task) {
                        deadlines.insert(&mut tasks, task);
                        model.insert((deadline, id, task));
                    }
                } else if let Some(&entry) = model.iter().nth(number as usize % model.len().max(1)) {
                    deadlines.remove(&mut tasks, entry.2);
                    tasks.remove(entry.2);
                    model.remove(&entry);
                }
                prop_assert_eq!(deadlines.first(), model.first().map(|entry| entry.2));
            }
        }
    }
}
