//! Whose message is next.

use super::Model;

impl Model {
    /// The priority of the first message of a sender, as far as it counts across senders.
    pub(super) fn turn(&self, sender: usize) -> Option<u8> {
        self.senders[sender].queue.front().map(|number| self.level(self.tasks[number].priority))
    }

    fn level(&self, priority: u8) -> u8 {
        priority.min(self.config.priority_across)
    }

    /// Puts a message before all of its sender that `comes_later` says come later.
    pub(super) fn insert(&mut self, number: usize, comes_later: impl Fn(u8) -> bool) {
        let sender = self.tasks[&number].sender;
        let queue = &self.senders[sender].queue;
        let position = queue.iter().position(|other| comes_later(self.tasks[other].priority)).unwrap_or(queue.len());
        self.senders[sender].queue.insert(position, number);
    }

    pub(super) fn enqueue_task(&mut self, number: usize) {
        let (sender, priority) = (self.tasks[&number].sender, self.tasks[&number].priority);
        let before = self.turn(sender);
        self.insert(number, |other| other < priority);
        if !self.held_back.contains(&sender) && before.is_none_or(|before| self.level(priority) > before) {
            self.turns.retain(|&other| other != sender);
            self.turns.push_back(sender);
        }
    }

    pub(super) fn put_back(&mut self, number: usize) {
        if self.tasks[&number].apart {
            return self.apart.push_front(number);
        }
        let (sender, priority) = (self.tasks[&number].sender, self.tasks[&number].priority);
        let before = self.turn(sender);
        self.insert(number, |other| other <= priority);
        if before.is_none_or(|before| self.level(priority) >= before) {
            self.turns.retain(|&other| other != sender);
            self.held_back.retain(|&other| other != sender);
            self.turns.push_front(sender);
        }
    }

    /// `turn`: the others have theirs then.
    pub(super) fn dequeue(&mut self, number: usize, turn: bool) {
        if self.tasks[&number].apart {
            return self.apart.retain(|&other| other != number);
        }
        let sender = self.tasks[&number].sender;
        let before = self.turn(sender);
        self.senders[sender].queue.retain(|&other| other != number);
        let after = self.turn(sender);
        if after.is_none() {
            self.turns.retain(|&other| other != sender);
            self.held_back.retain(|&other| other != sender);
        } else if (turn || before != after) && !self.held_back.contains(&sender) {
            self.turns.retain(|&other| other != sender);
            self.turns.push_back(sender);
        }
    }

    /// The sender whose turn it is: the first of those that have the highest priority waiting.
    pub(super) fn next_sender(&self) -> Option<usize> {
        let highest = self.turns.iter().filter_map(|&sender| self.turn(sender)).max()?;
        self.turns.iter().copied().find(|&sender| self.turn(sender) == Some(highest))
    }

    pub(super) fn is_queued(&self, number: usize) -> bool {
        self.apart.contains(&number) || self.senders[self.tasks[&number].sender].queue.contains(&number)
    }

    /// How many messages of a sender wait.
    pub(super) fn queued(&self, sender: usize) -> usize {
        let apart = self.apart.iter().filter(|number| self.tasks[number].sender == sender).count();
        self.senders[sender].queue.len() + apart
    }

    /// The message whose turn it is.
    pub(super) fn next_queued(&mut self) -> Option<usize> {
        while let Some(sender) = self.next_sender() {
            if self.may_dispatch(sender) {
                return self.senders[sender].queue.front().copied();
            }
            self.turns.retain(|&other| other != sender);
            self.held_back.push_back(sender);
        }
        None
    }

    pub(super) fn revive(&mut self) {
        for _ in 0..self.held_back.len().min(4) {
            let Some(sender) = self.held_back.pop_front() else { return };
            let may = self.may_dispatch(sender);
            (if may { &mut self.turns } else { &mut self.held_back }).push_back(sender);
        }
    }
}
