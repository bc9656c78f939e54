//! Memory: what is held in all, and by whose doing.
//!
//! Every message is on the account of the connection that sent it, from the first byte until its last result is handed
//! over. A connection may go on sending as long as it holds no more than what is left free: so `n` connections whose
//! results nobody reads leave one part in `n + 1` to the others (dynamic thresholds, Choudhury and Hahne 1998). However many
//! they are, their messages leave an eighth of it to results: a master full of messages could take no answer in.

use crate::collections::{Slab, Slot, Table};

use super::MESSAGE_OVERHEAD;

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
    /// Moving average of the size of a result.
    result_size: u64,
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
}

impl<T: Table<Slot<Sender>>> Accounts<T> {
    pub(super) fn new(senders: T, limit: u64) -> Self {
        Self { senders: Slab::new(senders, 0), used: 0, limit }
    }

    pub(super) fn open(&mut self) -> Option<SenderId> {
        let sender = Sender { open: true, held: 0, tasks: 0, bytes: 0, result_size: 0 };
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
        if let Some(sender) = self.senders.get_mut(id) {
            sender.held += 1;
            sender.result_size = (sender.result_size * 7 + bytes) / 8;
        }
    }

    pub(super) fn remove_result(&mut self, id: u32, footprint: usize) {
        self.release(id, footprint as u64 + MESSAGE_OVERHEAD);
        if let Some(sender) = self.senders.get_mut(id) {
            sender.held -= 1;
        }
        self.reap(id);
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
