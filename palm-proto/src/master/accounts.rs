//! Memory: what is held in all, and by whose doing.
//!
//! Every message is on the account of the connection that sent it, from the first byte until its last result is handed
//! over. A connection may go on sending as long as it holds no more than what is left free: so `n` connections whose
//! results nobody reads leave one part in `n + 1` to the others (dynamic thresholds, Choudhury and Hahne 1998). However many
//! they are, their messages leave an eighth of it to results: a master full of messages could take no answer in.
//!
//! Each sender has a queue of its own for each priority. A message goes before all of a lower priority, whoever sent those; among
//! the senders whose first messages have the same, they have their turns; one whose results would take more than is left free is held
//! back until they have gone home. So neither a long queue nor large results of one client keep the others waiting.

use crate::collections::{Link, Linked, List, Slab, Slot, Table};
use crate::message::PRIORITY_MAX;

use super::MESSAGE_OVERHEAD;
use super::task::{InQueue, Task};

/// Taken for the size of a result, in bytes, as long as none has been seen.
const RESULT_SIZE_UNSEEN: u64 = 64 << 10;
/// Priorities that a message may have, of which the last comes first.
const PRIORITIES: usize = PRIORITY_MAX as usize + 1;
/// Senders that were held back that are looked at in a call.
const REVIVED_A_CALL: usize = 4;

/// A connection over which messages come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SenderId(pub(super) u32);

/// A sender's account; named only by storage types.
#[derive(Debug)]
pub struct Sender {
    open: bool,
    /// Tasks and results on the account.
    held: u32,
    /// Tasks among them.
    tasks: u32,
    bytes: u64,
    /// Bytes of results among them.
    result_bytes: u64,
    /// Moving average of the size of a result; 0: none has been seen.
    result_size: u64,
    /// Messages that wait, by priority, but for those that are kept apart.
    queues: [List<InQueue>; PRIORITIES],
    /// Messages that wait.
    queued: u32,
    turn_link: Link,
    /// The highest priority that waits, if any does: with whom it takes turns.
    turn: u8,
    held_back: bool,
}

#[derive(Debug)]
struct InTurn;

impl Linked<InTurn> for Sender {
    fn link(&mut self) -> &mut Link {
        &mut self.turn_link
    }
    fn peek_link(&self) -> Link {
        self.turn_link
    }
}

impl Sender {
    fn leased(&self) -> u64 {
        u64::from(self.tasks - self.queued)
    }

    /// The highest priority that waits.
    fn highest(&self) -> Option<u8> {
        self.queues.iter().rposition(|queue| !queue.is_empty()).map(|priority| priority as u8)
    }

    /// The first message of the highest priority.
    fn first(&self) -> Option<u32> {
        self.queues[usize::from(self.turn)].front()
    }
}

/// The account of what has no sender any more, or never had one.
pub(super) const NOBODY: u32 = u32::MAX;

/// One part in so many is taken by results only.
const KEPT_FOR_RESULTS: u64 = 8;

#[derive(Debug)]
pub(super) struct Accounts<T> {
    senders: Slab<Sender, T>,
    used: u64,
    limit: u64,
    /// Bytes of results that are on nobody's account.
    stray: u64,
    /// Senders with something queued, whose turn it is, by the highest priority of what they have.
    turns: [List<InTurn>; PRIORITIES],
    /// Senders with something queued, whose results would take too much.
    held_back: List<InTurn>,
    /// Messages of all senders that are kept apart, which come before all others.
    apart: List<InQueue>,
    queued: usize,
}

impl<T: Table<Slot<Sender>>> Accounts<T> {
    pub(super) fn new(senders: T, limit: u64) -> Self {
        Self {
            senders: Slab::new(senders),
            used: 0,
            limit,
            stray: 0,
            turns: [const { List::new() }; PRIORITIES],
            held_back: List::new(),
            apart: List::new(),
            queued: 0,
        }
    }

    pub(super) fn open(&mut self) -> Option<SenderId> {
        let sender = Sender {
            open: true,
            held: 0,
            tasks: 0,
            bytes: 0,
            result_bytes: 0,
            result_size: 0,
            queues: [const { List::new() }; PRIORITIES],
            queued: 0,
            turn_link: Link::UNLINKED,
            turn: 0,
            held_back: false,
        };
        self.senders.insert(sender).ok().map(SenderId)
    }

    /// The account stays until nothing is on it.
    pub(super) fn close(&mut self, SenderId(id): SenderId) {
        if let Some(sender) = self.senders.get_mut(id) {
            sender.open = false;
            self.reap(id);
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Whether a message of `len` bytes may come in, where `room` is how many more messages can be held.
    pub(super) fn may_submit(&self, SenderId(id): SenderId, len: u64, room: usize) -> bool {
        let Some(sender) = self.senders.get(id) else { return false };
        let coming = u64::from(sender.tasks) * sender.result_size;
        let claim = sender.bytes + coming + len + MESSAGE_OVERHEAD;
        let free = self.free().saturating_sub(self.limit / KEPT_FOR_RESULTS);
        claim <= free && (sender.held as usize) < room
    }

    /// How many such messages may come in, of which each leaves less to all others.
    pub(super) fn room_for(&self, SenderId(id): SenderId, len: u64, room: usize) -> usize {
        let Some(sender) = self.senders.get(id) else { return 0 };
        let coming = u64::from(sender.tasks) * sender.result_size;
        let free = self.free().saturating_sub(self.limit / KEPT_FOR_RESULTS);
        let each = 2 * (len + MESSAGE_OVERHEAD) + sender.result_size;
        let by_bytes = free.saturating_sub(sender.bytes + coming) / each;
        let by_count = room.saturating_sub(sender.held as usize).div_ceil(2);
        usize::try_from(by_bytes).unwrap_or(usize::MAX).min(by_count)
    }

    pub(super) fn reserve(&mut self, id: u32, bytes: u64) {
        self.used += bytes;
        if let Some(sender) = self.senders.get_mut(id) {
            sender.bytes += bytes;
        }
    }

    pub(super) fn release(&mut self, id: u32, bytes: u64) {
        debug_assert!(self.used >= bytes, "what is released was reserved");
        self.used = self.used.saturating_sub(bytes);
        if let Some(sender) = self.senders.get_mut(id) {
            sender.bytes = sender.bytes.saturating_sub(bytes);
        }
    }

    pub(super) fn add_task(&mut self, id: u32, footprint: usize) {
        self.reserve(id, footprint as u64 + MESSAGE_OVERHEAD);
        if let Some(sender) = self.senders.get_mut(id) {
            sender.held += 1;
            sender.tasks += 1;
        }
    }

    pub(super) fn remove_task(&mut self, id: u32, footprint: usize) {
        self.release(id, footprint as u64 + MESSAGE_OVERHEAD);
        if let Some(sender) = self.senders.get_mut(id) {
            sender.held -= 1;
            sender.tasks -= 1;
        }
        self.reap(id);
    }

    pub(super) fn add_result(&mut self, id: u32, footprint: usize) {
        let bytes = footprint as u64 + MESSAGE_OVERHEAD;
        self.reserve(id, bytes);
        match self.senders.get_mut(id) {
            Some(sender) => {
                sender.held += 1;
                sender.result_bytes += bytes;
                sender.result_size = if sender.result_size == 0 { bytes } else { (sender.result_size * 7 + bytes) / 8 };
            }
            None => self.stray += bytes,
        }
    }

    pub(super) fn remove_result(&mut self, id: u32, footprint: usize) {
        let bytes = footprint as u64 + MESSAGE_OVERHEAD;
        self.release(id, bytes);
        match self.senders.get_mut(id) {
            Some(sender) => {
                sender.held -= 1;
                sender.result_bytes -= bytes;
            }
            None => self.stray -= bytes,
        }
        self.reap(id);
    }

    /// Whether a result of `len` bytes may come in that is on nobody's account: all of them have the threshold of one sender.
    pub(super) fn may_take_stray(&self, len: u64) -> bool {
        self.stray == 0 || self.stray + len + MESSAGE_OVERHEAD <= self.free()
    }

    /// Messages queued.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Puts a message at the end of its sender's queue of its priority.
    pub(super) fn enqueue<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, task: u32) {
        let (id, priority) = (tasks[task].sender, tasks[task].priority);
        let sender = &mut self.senders[id];
        sender.queues[usize::from(priority)].push_back(tasks, task);
        sender.queued += 1;
        self.queued += 1;
        if !sender.turn_link.is_linked() {
            sender.turn = priority;
            self.turns[usize::from(priority)].push_back(&mut self.senders, id);
        } else if priority > sender.turn {
            self.change_turn(id, priority);
        }
    }

    /// Puts a message back to the head of its sender's queue of its priority, whose turn among those of that priority is next; or
    /// to the head of those that are kept apart.
    pub(super) fn put_back<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, task: u32) {
        let (id, priority) = (tasks[task].sender, tasks[task].priority);
        let sender = &mut self.senders[id];
        sender.queued += 1;
        self.queued += 1;
        if tasks[task].apart {
            self.apart.push_front(tasks, task);
            return;
        }
        sender.queues[usize::from(priority)].push_front(tasks, task);
        if sender.turn_link.is_linked() && priority < sender.turn {
            return;
        }
        self.leave_turn(id);
        self.senders[id].turn = priority;
        self.turns[usize::from(priority)].push_front(&mut self.senders, id);
    }

    /// Takes a message out of its sender's queue that goes to a worker, and lets the others have their turn.
    pub(super) fn dispatch<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, task: u32) {
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
    pub(super) fn dequeue<B, S: Table<Slot<Task<B>>>>(&mut self, tasks: &mut Slab<Task<B>, S>, task: u32) {
        let (id, priority) = (tasks[task].sender, tasks[task].priority);
        let sender = &mut self.senders[id];
        sender.queued -= 1;
        self.queued -= 1;
        if tasks[task].apart {
            self.apart.remove(tasks, task);
            return;
        }
        sender.queues[usize::from(priority)].remove(tasks, task);
        match sender.highest() {
            None => self.leave_turn(id),
            Some(highest) if highest != sender.turn => self.change_turn(id, highest),
            Some(_) => {}
        }
    }

    /// The message whose turn it is. Senders whose results would take too much are held back.
    pub(super) fn next_queued(&mut self) -> Option<u32> {
        while !self.nothing_waits() {
            let id = self.turns.iter().rev().find_map(List::front)?;
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
    pub(super) fn next_apart(&self) -> Option<u32> {
        self.apart.front()
    }

    /// Whether a message is kept apart.
    pub(super) fn keeps_apart(&self) -> bool {
        !self.apart.is_empty()
    }

    /// Some message that is queued, also of a sender that is held back.
    pub(super) fn any_queued(&self) -> Option<u32> {
        if let Some(task) = self.next_apart() {
            return Some(task);
        }
        let id = self.turns.iter().rev().find_map(List::front).or_else(|| self.held_back.front())?;
        self.senders[id].first()
    }

    /// Whether no message is queued.
    pub(super) fn nothing_waits(&self) -> bool {
        self.queued == 0
    }

    /// Whether a sender is held back, or may be with a message that is kept apart.
    pub(super) fn holds_back(&self) -> bool {
        !self.held_back.is_empty() || self.keeps_apart()
    }

    /// Gives some of those that are held back their turns, if there is room for their results again.
    pub(super) fn revive(&mut self) {
        for _ in 0..REVIVED_A_CALL.min(self.held_back.len()) {
            let Some(id) = self.held_back.pop_front(&mut self.senders) else { return };
            let may = self.may_dispatch(id);
            self.senders[id].held_back = !may;
            let turn = usize::from(self.senders[id].turn);
            let list = if may { &mut self.turns[turn] } else { &mut self.held_back };
            list.push_back(&mut self.senders, id);
        }
    }

    /// Whether the result of one more message of this sender is likely to find room beside those that wait or are out. One is
    /// let through in any case.
    pub(super) fn may_dispatch(&self, id: u32) -> bool {
        let sender = &self.senders[id];
        let size = if sender.result_size == 0 { RESULT_SIZE_UNSEEN } else { sender.result_size };
        let out = sender.leased();
        (out == 0 && sender.result_bytes == 0) || sender.result_bytes + (out + 1) * size <= self.free()
    }

    fn leave_turn(&mut self, id: u32) {
        if self.senders[id].turn_link.is_linked() {
            let was_held_back = core::mem::take(&mut self.senders[id].held_back);
            let turn = usize::from(self.senders[id].turn);
            let list = if was_held_back { &mut self.held_back } else { &mut self.turns[turn] };
            list.remove(&mut self.senders, id);
        }
    }

    /// The highest priority that a sender has waiting is another: it is the last of those that have the same.
    fn change_turn(&mut self, id: u32, priority: u8) {
        let sender = &mut self.senders[id];
        let before = core::mem::replace(&mut sender.turn, priority);
        if !sender.held_back {
            self.turns[usize::from(before)].remove(&mut self.senders, id);
            self.turns[usize::from(priority)].push_back(&mut self.senders, id);
        }
    }

    fn reap(&mut self, id: u32) {
        if self.senders.get(id).is_some_and(|sender| !sender.open && sender.held == 0) {
            self.senders.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_much_leaves_room_for_others() {
        let mut accounts: Accounts<heapless::Vec<Slot<Sender>, 64>> = Accounts::new(heapless::Vec::new(), 100_000);
        let [hog, other] = [(); 2].map(|()| accounts.open().unwrap());
        while accounts.may_submit(hog, 1_000, 1_000) {
            accounts.add_task(hog.0, 1_000);
        }
        assert!(accounts.used() <= 44_500 && accounts.used() > 41_000, "{}", accounts.used());
        while accounts.may_submit(other, 1_000, 1_000) {
            accounts.add_task(other.0, 1_000);
        }
        let free = accounts.free();
        assert!(free > 20_000, "a third sender finds room: {free}");
        for _ in 0..50 {
            let another = accounts.open();
            while let Some(another) = another.filter(|&another| accounts.may_submit(another, 1_000, 1_000)) {
                accounts.add_task(another.0, 1_000);
            }
        }
        assert!(accounts.free() >= 12_500, "results find room");
        accounts.close(other);
        assert!(accounts.senders.get(other.0).is_some(), "its messages are still held");
    }
}
