//! What is to happen, by time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use palm_proto::Instant;

use super::network::Side;

/// Something that happens at a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// Bytes, or the end, arrive at an end of a connection.
    Arrival(usize, Side),
    /// A peer's call reaches the master.
    Accept(usize),
    /// The master asked to be called.
    MasterTimer,
    /// The master's kernel gives up on a connection that takes nothing.
    UserTimeout(usize),
    /// A peer asked to be called.
    Wake(usize),
    /// A connection that carried nothing does again.
    Heal(usize),
    /// Something goes wrong.
    Chaos,
}

/// Events that are to come. Those of the same time come in the order in which they were put in.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    count: u64,
}

impl Queue {
    /// Adds an event.
    pub(super) fn push(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, event)));
    }

    /// The next event.
    pub(super) fn pop(&mut self) -> Option<(Instant, Event)> {
        self.events.pop().map(|Reverse((at, _, event))| (at, event))
    }
}
