//! What was taken from a worker that is there still, so that whoever is connected to it can tell it.

use crate::collections::Queue;
use crate::message::TaskId;

/// How many wait to be told at most, on a host.
pub(super) const REVOCATIONS: usize = 32;

/// A task that a worker was sent and that is not its any more: it has been answered, given up, or given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The worker's token.
    pub worker: u32,
    /// The task.
    pub task: TaskId,
    /// Which dispatch of it.
    pub attempt: u32,
}

/// A short queue. What finds no room is only counted: then a worker does something in vain, and no more than that.
#[derive(Debug, Default)]
pub(super) struct Revocations<Q> {
    queue: Q,
    missed: u64,
}

impl<Q: Queue<Revoked>> Revocations<Q> {
    pub(super) fn push(&mut self, revoked: Revoked) {
        if self.queue.push(revoked).is_err() {
            self.missed += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Revoked> {
        self.queue.pop()
    }

    pub(super) fn missed(&self) -> u64 {
        self.missed
    }
}
