//! The tasks that a worker has (`docs/spec.md`, section 9.6).

use crate::collections::{Slab, Slot, Table};
use crate::native::{SessionId, TaskNumber};

/// What a worker calls a task, from when it arrives until it is answered, over all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeldId {
    index: u32,
    generation: u32,
}

impl HeldId {
    /// A number below the window that no other task has at the time: a place for what the caller keeps about it.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// A task that a worker has; named only by storage types.
#[derive(Debug)]
pub struct HeldTask {
    pub(super) sequence: u64,
    pub(super) session: SessionId,
    pub(super) attempt: u32,
    /// Its number in this connection.
    pub(super) number: TaskNumber,
    /// Whether it has one: not before its Holding is sent.
    pub(super) numbered: bool,
    pub(super) cancelled: bool,
}

/// All of them, and which are to be announced in this connection.
#[derive(Debug)]
pub(super) struct Book<S> {
    tasks: Slab<HeldTask, S>,
    /// How many have no number yet.
    unannounced: u32,
    /// Where to look for the next of them.
    cursor: u32,
    /// The number that is given to the next of them.
    announced: TaskNumber,
    /// The number of the next task that comes.
    next: TaskNumber,
}

impl<S: Table<Slot<HeldTask>>> Book<S> {
    pub(super) fn new(tasks: S) -> Self {
        Self {
            tasks: Slab::new(tasks),
            unannounced: 0,
            cursor: 0,
            announced: TaskNumber::FIRST,
            next: TaskNumber::FIRST,
        }
    }

    pub(super) fn len(&self) -> u32 {
        // The slab's own length is a u32.
        self.tasks.len() as u32
    }

    pub(super) fn capacity(&self) -> u32 {
        u32::try_from(self.tasks.capacity()).unwrap_or(u32::MAX)
    }

    /// A connection begins: all are to be announced, and none has a number. O(places ever used).
    pub(super) fn begin(&mut self) {
        for index in 0..self.capacity() {
            // Places are used in order.
            if self.tasks.generation(index).is_none() {
                break;
            }
            if let Some(task) = self.tasks.get_mut(index) {
                task.numbered = false;
            }
        }
        (self.unannounced, self.cursor) = (self.len(), 0);
        self.announced = TaskNumber::FIRST;
        self.next = TaskNumber::FIRST.plus(self.unannounced);
    }

    /// Whether all have a number.
    pub(super) const fn is_announced(&self) -> bool {
        self.unannounced == 0
    }

    /// The next to be announced. All together take O(places).
    pub(super) fn poll_announce(&mut self) -> Option<&HeldTask> {
        if self.unannounced == 0 {
            return None;
        }
        while self.tasks.get(self.cursor).is_none_or(|task| task.numbered) {
            if self.cursor >= self.capacity() {
                self.unannounced = 0;
                return None;
            }
            self.cursor += 1;
        }
        let task = self.tasks.get_mut(self.cursor)?;
        (task.number, task.numbered) = (self.announced, true);
        self.announced = self.announced.plus(1);
        self.unannounced -= 1;
        Some(task)
    }

    /// A task has come; `None` if there is no room.
    pub(super) fn insert(&mut self, session: Option<SessionId>, sequence: u64, attempt: u32) -> Option<HeldId> {
        let (number, session) = (self.next, session.unwrap_or(SessionId::NOBODY));
        let task = HeldTask { sequence, session, attempt, number, numbered: true, cancelled: false };
        let index = self.tasks.insert(task).ok()?;
        self.next = self.next.plus(1);
        Some(HeldId { index, generation: self.tasks.generation(index)? })
    }

    pub(super) fn skip(&mut self, numbers: u32) {
        self.next = self.next.plus(numbers);
    }

    /// Nobody wants a task's result; `None` if it has been answered. O(places ever used).
    pub(super) fn cancel(&mut self, number: TaskNumber) -> Option<HeldId> {
        let called = |&index: &u32| self.tasks.get(index).is_some_and(|task| task.numbered && task.number == number);
        let index = self.tasks.indices().find(called)?;
        let task = self.tasks.get_mut(index)?;
        // Its caller may have broken off: in a later connection nobody is to wait for it.
        (task.cancelled, task.session) = (true, SessionId::NOBODY);
        Some(HeldId { index, generation: self.tasks.generation(index)? })
    }

    pub(super) fn get(&self, id: HeldId) -> Option<&HeldTask> {
        let current = self.tasks.generation(id.index) == Some(id.generation);
        self.tasks.get(id.index).filter(|_| current)
    }

    pub(super) fn remove(&mut self, id: HeldId) {
        self.tasks.remove(id.index);
    }
}
