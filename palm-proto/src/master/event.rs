//! What an operator may want to know.

use crate::collections::Queue;
use crate::message::TaskId;

/// The beginning of a name, for a log line.
pub type Label = heapless::String<48>;

/// Something that happened in a master and is worth a line in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A worker's connection is gone; what it held is dispatched again.
    WorkerLost {
        /// The peer's token.
        worker: u32,
        /// Messages taken back.
        held: usize,
    },
    /// A worker has answered nothing for the lease time; what it held is dispatched again. It gets nothing until
    /// it answers, or the lease time has passed once more: then it is tried with one message.
    LeaseExpired {
        /// The peer's token.
        worker: u32,
        /// Messages taken back.
        held: usize,
    },
    /// A worker that was taken to hang has answered.
    WorkerBack {
        /// The peer's token.
        worker: u32,
    },
    /// A message was given up after too many attempts, and its client sent a failure.
    DeadLetter {
        /// Its task.
        task: TaskId,
        /// Its client.
        client: Label,
        /// Its function.
        function: Label,
        /// How many workers were lost with it.
        attempts: u32,
    },
    /// A result was dropped: nobody took it within the time to keep. Reported for the first, then counted.
    ResultExpired {
        /// Its client.
        client: Label,
    },
    /// A message from a client, or a result, could not be parsed and was thrown away.
    Malformed {
        /// Where in it.
        offset: usize,
    },
}

/// A short queue of events; what finds no room is only counted.
#[derive(Debug, Default)]
pub(super) struct Events<Q> {
    queue: Q,
    missed: u64,
}

impl<Q: Queue<Event>> Events<Q> {
    pub(super) fn push(&mut self, event: Event) {
        if self.queue.push(event).is_err() {
            self.missed += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.queue.pop()
    }

    pub(super) fn missed(&self) -> u64 {
        self.missed
    }
}

/// As much of `text` as fits.
pub(super) fn label(text: &str) -> Label {
    let mut label = Label::new();
    for character in text.chars() {
        if label.push(character).is_err() {
            break;
        }
    }
    label
}
