//! Flow control: who may send how much, who has to wait, and who is given up because nothing comes.

use crate::time::Instant;

use super::input::Next;
use super::machine::Endpoint;
use super::peer::{ConnectionId, Role};
use super::storage::EndpointStorage;
use super::timers::Class;

/// Blocked connections that are looked at after a call.
const UNBLOCKED_A_CALL: usize = 8;
/// Messages beyond this size are large: how many of them may have come in part is bounded.
const LARGE: usize = 64 << 10;

/// The size of a message if it is large, else 0.
fn large(len: usize) -> u64 {
    if len > LARGE { len as u64 } else { 0 }
}

impl<S: EndpointStorage> Endpoint<S> {
    /// How many bytes a driver should read from a connection at a time, so that what all connections have in hand stays small
    /// beside what is free: 4 to 256 KiB.
    pub fn read_share(&self) -> usize {
        let free = self.memory.saturating_sub(self.master.committed());
        let share = free / (2 * self.peers.len() as u64 + 1);
        share.clamp(4 << 10, 256 << 10) as usize
    }

    /// Whether a message may be waited for of which only a part is there. Large ones together are given half the memory, each
    /// at most half of what is left of that: so peers that never end theirs do not keep others from sending.
    pub(super) fn may_begin(&self, index: u32, total: usize) -> bool {
        let left = (self.memory / 2).saturating_sub(self.partial);
        (self.partial == 0 || large(total) <= left / 2) && self.may_read(index, total)
    }

    /// The same for a task of a native client.
    pub(super) fn may_begin_task(&self, index: u32, total: usize) -> bool {
        let left = (self.memory / 2).saturating_sub(self.partial);
        let sender = self.peers[index].sender();
        (self.partial == 0 || large(total) <= left / 2)
            && !self.draining
            && sender.is_some_and(|sender| self.master.may_submit(sender, total))
    }

    /// Sets room aside for a message that has come in part.
    pub(super) fn reserve(&mut self, index: u32, total: usize) {
        let peer = &mut self.peers[index];
        peer.reserved = u32::try_from(total).unwrap_or(u32::MAX);
        let sender = peer.sender();
        self.partial += large(total);
        self.master.reserve(sender, total);
    }

    pub(super) fn may_read(&self, index: u32, len: usize) -> bool {
        let peer = &self.peers[index];
        match peer.role {
            Role::Sender(sender) => !self.draining && self.master.may_submit(sender, len),
            Role::Answerer => self.master.may_answer(len) && (!peer.stray || self.master.may_take_stray(len)),
            // One request at a time, and its reply leaves before the next.
            Role::CacheClient => peer.reply().is_none() && peer.outgoing == 0 && self.master.may_answer(len),
            Role::NativeWorker(_) => self.replied(index) && self.master.may_answer(len),
            // It is only a request to the cache that waits.
            Role::NativeClient { .. } => self.replied(index) && self.master.may_answer(len),
            Role::Stranger | Role::Worker(_) | Role::Subscriber(_) => true,
        }
    }

    /// Whether a message that is whole, and for which room in memory has been set aside, would be taken now.
    fn may_end(&self, index: u32) -> bool {
        let peer = &self.peers[index];
        match peer.role {
            Role::Sender(_) => !self.draining && self.master.has_place(),
            Role::Answerer => {
                self.master.may_answer(0) && (!peer.stray || self.master.may_take_stray(peer.wanted as usize))
            }
            Role::CacheClient => self.may_read(index, 0),
            Role::NativeWorker(_) => self.replied(index) && self.master.may_answer(0),
            Role::NativeClient { .. } => self.replied(index),
            Role::Stranger | Role::Worker(_) | Role::Subscriber(_) => true,
        }
    }

    pub(super) fn unreserve(&mut self, index: u32) {
        let peer = &mut self.peers[index];
        let reserved = core::mem::take(&mut peer.reserved) as usize;
        if reserved > 0 {
            let sender = peer.sender();
            self.partial -= large(reserved);
            self.master.release(sender, reserved);
        }
    }

    pub(super) fn block(&mut self, index: u32, wanted: usize) -> Next {
        let peer = &mut self.peers[index];
        peer.wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        if !peer.is_blocked() {
            self.blocked.push_back(&mut self.peers, index);
        }
        Next::Wait
    }

    pub(super) fn unblock(&mut self, index: u32) {
        self.blocked.remove(&mut self.peers, index);
        self.mark_ready(index);
    }

    /// Lets some of those that wait go on, if there is room for them again.
    pub(super) fn settle(&mut self) {
        for _ in 0..UNBLOCKED_A_CALL.min(self.blocked.len()) {
            let Some(index) = self.blocked.front() else { break };
            let peer = &self.peers[index];
            let may = if peer.reserved > 0 { self.may_end(index) } else { self.may_begin(index, peer.wanted as usize) };
            if may {
                self.unblock(index);
            } else {
                self.blocked.remove(&mut self.peers, index);
                self.blocked.push_back(&mut self.peers, index);
            }
        }
        self.wake_stalled();
    }

    /// Whether a peer that has been asked and has not answered may not have been reached by the question yet: it has taken
    /// something since.
    pub(super) fn is_slow(&mut self, now: Instant, index: u32) -> bool {
        let peer = &mut self.peers[index];
        let takes = core::mem::take(&mut peer.takes);
        if takes {
            peer.heard = now;
        }
        takes
    }

    /// More of a message has come that a driver puts into a buffer of its own, and that is not whole yet: the peer has time
    /// again for the rest.
    pub fn handle_part(&mut self, now: Instant, id: ConnectionId) {
        if let Some(index) = self.find(id) {
            self.heard(now, index);
        }
    }

    /// Something came from a peer: it lives.
    pub(super) fn heard(&mut self, now: Instant, index: u32) {
        self.now = now;
        let peer = &mut self.peers[index];
        peer.heard = now;
        if peer.closing || peer.role == Role::Stranger || peer.timer == Some(Class::Handshake) {
            return;
        }
        if peer.is_blocked() {
            // It is we who do not read: one that could ask whether we live has no answer.
            if peer.native().is_none() {
                self.timers.stop(&mut self.peers, index);
            } else if peer.timer != Some(Class::Unread) {
                self.timers.start(&mut self.peers, now, index, Class::Unread);
            }
        } else if peer.reserved > 0 {
            self.timers.start(&mut self.peers, now, index, Class::Partial);
        } else if peer.speaks_ping() {
            self.timers.start(&mut self.peers, now, index, Class::Quiet);
        } else {
            self.timers.stop(&mut self.peers, index);
        }
    }
}
