//! Memory: what is held in all, and by whose doing.
//!
//! Every message is on the account of the connection that sent it, from the first byte until its last result is handed
//! over. A connection may go on sending as long as it holds no more than what is left free: so `n` connections whose
//! results nobody reads leave one part in `n + 1` to the others (dynamic thresholds, Choudhury and Hahne 1998). However many
//! they are, their messages leave an eighth of it to results: a master full of messages could take no answer in.
//!
//! Each sender has a queue of its own for each priority, and its messages of a higher one go before its others. Senders have their
//! turns, whatever they call their messages: only as far as the owner allows do priorities rank the messages of one sender before
//! those of another. A sender whose results would take more than is left free is held back until they have gone home. So neither a
//! long queue nor large results of one client keep the others waiting, nor does its being urgent.

use crate::collections::{Link, Linked, List, Slab, Slot, Table};
use crate::message::PRIORITY_MAX;

use super::MESSAGE_OVERHEAD;
use super::task::InQueue;

mod spare;
mod turns;

use spare::Spare;
pub(super) use spare::share_of;

/// Priorities that a message may have, of which the last comes first.
const PRIORITIES: usize = PRIORITY_MAX as usize + 1;

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
    /// Bytes of copies of its results that are kept as long as there is room to spare, which are not among them.
    kept_bytes: u64,
    /// Moving average of the size of a result; 0: none has been seen.
    result_size: u64,
    /// Messages that wait, by priority, but for those that are kept apart.
    queues: [List<InQueue, ()>; PRIORITIES],
    /// Messages that wait.
    queued: u32,
    turn_link: Link,
    /// The highest priority that waits, if any does, as far as it counts across senders: with whom it takes turns.
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
        self.queues.iter().rev().find_map(|queue| queue.front())
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
    /// The highest priority that counts across senders.
    across: u8,
    /// Bytes of results that are on nobody's account.
    stray: u64,
    /// Copies that give way when room is needed.
    spare: Spare,
    /// Senders with something queued, whose turn it is, by the highest priority of what they have, as far as it counts.
    turns: [List<InTurn, ()>; PRIORITIES],
    /// Senders with something queued, whose results would take too much.
    held_back: List<InTurn>,
    /// Messages of all senders that are kept apart, which come before all others.
    apart: List<InQueue>,
    /// Messages that nobody is given before it is known whether they killed a worker.
    doubted: List<InQueue>,
    queued: usize,
}

impl<T: Table<Slot<Sender>>> Accounts<T> {
    pub(super) fn new(senders: T, limit: u64, across: u8) -> Self {
        Self {
            senders: Slab::new(senders),
            used: 0,
            limit,
            across,
            stray: 0,
            spare: Spare::default(),
            turns: [const { List::new() }; PRIORITIES],
            held_back: List::new(),
            apart: List::new(),
            doubted: List::new(),
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
            kept_bytes: 0,
            result_size: 0,
            queues: [const { List::new() }; PRIORITIES],
            queued: 0,
            turn_link: Link::UNLINKED,
            turn: 0,
            held_back: false,
        };
        self.senders.insert(sender).ok().map(SenderId)
    }

    /// Whether there is no room for another sender.
    pub(super) fn is_full(&self) -> bool {
        self.senders.is_full()
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

    fn reap(&mut self, id: u32) {
        if self.senders.get(id).is_some_and(|sender| !sender.open && sender.held == 0 && sender.kept_bytes == 0) {
            self.senders.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_much_leaves_room_for_others() {
        let mut accounts: Accounts<heapless::Vec<Slot<Sender>, 64>> = Accounts::new(heapless::Vec::new(), 100_000, 0);
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
