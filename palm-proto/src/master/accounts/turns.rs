//! Whose message is next.

use crate::collections::{List, Slab, Slot, Table};

use super::super::task::{InQueue, Task};
use super::{Accounts, Sender};

/// Taken for the size of a result, in bytes, as long as none has been seen.
const RESULT_SIZE_UNSEEN: u64 = 64 << 10;
/// Senders that were held back that are looked at in a call.
const REVIVED_A_CALL: usize = 4;

impl<T: Table<Slot<Sender>>> Accounts<T> {
    /// Messages queued.
    pub(in super::super) fn queued(&self) -> usize {
        self.queued
    }

    /// Puts a message at the end of its sender's queue of its priority.
    pub(in super::super) fn enqueue<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, task: u32) {
        let (id, priority) = (tasks[task].sender, tasks[task].priority);
        let sender = &mut self.senders[id];
        sender.queues[usize::from(priority)].push_back(tasks, task);
        sender.queued += 1;
        self.queued += 1;
        let turn = priority.min(self.across);
        if !sender.turn_link.is_linked() {
            sender.turn = turn;
            self.turns[usize::from(turn)].push_back(&mut self.senders, id);
        } else if turn > sender.turn {
            self.change_turn(id, turn);
        }
    }

    /// Puts a message back to the head of its sender's queue of its priority, whose turn among its equals is next; or
    /// to the head of those that are kept apart.
    pub(in super::super) fn put_back<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, task: u32) {
        let (id, priority) = (tasks[task].sender, tasks[task].priority);
        let sender = &mut self.senders[id];
        sender.queued += 1;
        self.queued += 1;
        if tasks[task].doubted {
            self.doubted.push_back(tasks, task);
            return;
        }
        if tasks[task].apart {
            self.apart.push_front(tasks, task);
            return;
        }
        sender.queues[usize::from(priority)].push_front(tasks, task);
        let turn = priority.min(self.across);
        if sender.turn_link.is_linked() && turn < sender.turn {
            return;
        }
        self.leave_turn(id);
        self.senders[id].turn = turn;
        self.turns[usize::from(turn)].push_front(&mut self.senders, id);
    }

    /// Takes a message out of its sender's queue that goes to a worker, and lets the others have their turn.
    pub(in super::super) fn dispatch<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, task: u32) {
        let id = tasks[task].sender;
        self.dequeue(tasks, task);
        if tasks[task].apart {
            return;
        }
        let sender = &self.senders[id];
        if sender.turn_link.is_linked() && !sender.held_back {
            self.turns[usize::from(sender.turn)].move_to_back(&mut self.senders, id);
        }
    }

    /// Takes a message out of its queue that nobody is to do any more; that is no turn.
    pub(in super::super) fn dequeue<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, task: u32) {
        let (id, priority) = (tasks[task].sender, tasks[task].priority);
        let sender = &mut self.senders[id];
        sender.queued -= 1;
        self.queued -= 1;
        if core::mem::take(&mut tasks[task].doubted) {
            self.doubted.remove(tasks, task);
            return;
        }
        if tasks[task].apart {
            self.apart.remove(tasks, task);
            return;
        }
        sender.queues[usize::from(priority)].remove(tasks, task);
        match sender.highest().map(|highest| highest.min(self.across)) {
            None => self.leave_turn(id),
            Some(turn) if turn != sender.turn => self.change_turn(id, turn),
            Some(_) => {}
        }
    }

    /// The message whose turn it is. Senders whose results would take too much are held back.
    pub(in super::super) fn next_queued(&mut self) -> Option<u32> {
        while !self.nothing_waits() {
            let id = self.turns.iter().rev().find_map(|turn| turn.front())?;
            if self.may_dispatch(id) {
                return self.senders[id].first();
            }
            self.leave_turn(id);
            self.held_back.push_back(&mut self.senders, id);
            self.senders[id].held_back = true;
        }
        None
    }

    /// The first message that is kept apart.
    pub(in super::super) fn next_apart(&self) -> Option<u32> {
        self.apart.front()
    }

    /// The messages in doubt: those of which it is known first are first.
    pub(in super::super) fn doubted(&self) -> &List<InQueue> {
        &self.doubted
    }

    /// Whether a message is kept apart.
    pub(in super::super) fn keeps_apart(&self) -> bool {
        !self.apart.is_empty()
    }

    /// Some message that is queued, also of a sender that is held back.
    pub(in super::super) fn any_queued(&self) -> Option<u32> {
        if let Some(task) = self.next_apart().or_else(|| self.doubted.front()) {
            return Some(task);
        }
        let id = self.turns.iter().rev().find_map(|turn| turn.front()).or_else(|| self.held_back.front())?;
        self.senders[id].first()
    }

    /// Whether no message is queued.
    pub(in super::super) fn nothing_waits(&self) -> bool {
        self.queued == 0
    }

    /// Whether a sender is held back, or may be with a message that is kept apart.
    pub(in super::super) fn holds_back(&self) -> bool {
        !self.held_back.is_empty() || self.keeps_apart()
    }

    /// Gives some of those that are held back their turns, if there is room for their results again.
    pub(in super::super) fn revive(&mut self) {
        for _ in 0..REVIVED_A_CALL.min(self.held_back.len()) {
            let Some(id) = self.held_back.pop_front(&mut self.senders) else { return };
            let may = self.may_dispatch(id);
            self.senders[id].held_back = !may;
            let turn = usize::from(self.senders[id].turn);
            if may {
                self.turns[turn].push_back(&mut self.senders, id);
            } else {
                self.held_back.push_back(&mut self.senders, id);
            }
        }
    }

    /// Whether the result of one more message of this sender is likely to find room beside those that wait or are out. One is
    /// let through in any case.
    pub(in super::super) fn may_dispatch(&self, id: u32) -> bool {
        let sender = &self.senders[id];
        let size = if sender.result_size == 0 { RESULT_SIZE_UNSEEN } else { sender.result_size };
        let out = sender.leased();
        (out == 0 && sender.result_bytes == 0) || sender.result_bytes + (out + 1) * size <= self.free()
    }

    fn leave_turn(&mut self, id: u32) {
        if self.senders[id].turn_link.is_linked() {
            let was_held_back = core::mem::take(&mut self.senders[id].held_back);
            let turn = usize::from(self.senders[id].turn);
            if was_held_back {
                self.held_back.remove(&mut self.senders, id);
            } else {
                self.turns[turn].remove(&mut self.senders, id);
            }
        }
    }

    /// The sender's highest priority has changed; it joins the end of that turn.
    fn change_turn(&mut self, id: u32, turn: u8) {
        let sender = &mut self.senders[id];
        let before = core::mem::replace(&mut sender.turn, turn);
        if !sender.held_back {
            self.turns[usize::from(before)].remove(&mut self.senders, id);
            self.turns[usize::from(turn)].push_back(&mut self.senders, id);
        }
    }
}
