//! Outcomes on their way out: as they come, or in the order of their messages.

use std::collections::{BTreeMap, VecDeque};

use crate::launch::job::Outcome;

/// Outcomes that have not been taken.
pub(super) struct Order {
    ready: VecDeque<Outcome>,
    /// Those that wait for their turn; `None` if they come as they arrive.
    waiting: Option<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// The message whose turn it is.
    next: u64,
    /// What has come of messages, and whether that is all.
    came: BTreeMap<u64, (VecDeque<Outcome>, bool)>,
}

impl Order {
    pub(super) fn new(ordered: bool) -> Self {
        Self { ready: VecDeque::new(), waiting: ordered.then(Waiting::default) }
    }

    /// Puts an outcome in; `last` says that its message has no other.
    pub(super) fn put(&mut self, outcome: Outcome, last: bool) {
        let Some(waiting) = &mut self.waiting else { return self.ready.push_back(outcome) };
        let (outcomes, over) = waiting.came.entry(outcome.sequence).or_default();
        outcomes.push_back(outcome);
        *over |= last;
        while let Some((outcomes, over)) = waiting.came.get_mut(&waiting.next) {
            self.ready.append(outcomes);
            if !*over {
                break;
            }
            waiting.came.remove(&waiting.next);
            waiting.next += 1;
        }
    }

    /// The next outcome whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Outcome> {
        self.ready.pop_front()
    }

    /// Whether nothing has a turn.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Of `taken` messages, those whose turn is not over; 0 if there are no turns.
    pub(super) fn waiting(&self, taken: u64) -> u64 {
        self.waiting.as_ref().map_or(0, |waiting| taken - waiting.next)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn turns_are_kept() {
        let mut order = Order::new(true);
        let outcome = |sequence, text: &'static str| Outcome { sequence, result: Ok(Bytes::from(text)) };
        order.put(outcome(1, "b"), true);
        assert!(order.is_empty() && order.waiting(2) == 2);
        order.put(outcome(0, "a 1"), false);
        assert_eq!(order.pop(), Some(outcome(0, "a 1")), "what is there of the first need not wait for the rest of it");
        order.put(outcome(0, "a 2"), true);
        assert_eq!([order.pop(), order.pop(), order.pop()], [Some(outcome(0, "a 2")), Some(outcome(1, "b")), None]);
        assert_eq!(order.waiting(2), 0);
    }

    #[test]
    fn without_order_they_come_as_they_arrive() {
        let mut order = Order::new(false);
        let outcome = |sequence| Outcome { sequence, result: Ok(Bytes::new()) };
        order.put(outcome(7), true);
        assert_eq!((order.waiting(8), order.pop()), (0, Some(outcome(7))));
    }
}
