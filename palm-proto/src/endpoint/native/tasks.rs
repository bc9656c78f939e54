//! By which number a worker knows which task, and what workers still hold from before.

use crate::collections::{Link, Linked, NONE};
use crate::master::WorkerId;
use crate::message::TaskId;
use crate::native::{SessionId, TaskNumber};
use crate::random::split_mix;

use super::{NativeStorage, Natives};

/// So many numbers in a row are looked for side by side.
pub(super) const SIDE_BY_SIDE: u32 = 8;

/// A task that a worker was sent, or said that it holds, and has not answered; named only by storage types.
#[derive(Debug)]
pub struct Outstanding {
    peer: u32,
    pub(super) number: TaskNumber,
    /// `None`: it is not known here, or nobody wants it any more.
    pub(super) task: Option<TaskId>,
    pub(super) attempt: u32,
    /// What claims the task for it as long as that is not known here, or none.
    claim: u32,
    link: Link,
    revoked_link: Link,
}

/// The list of a worker's tasks.
#[derive(Debug)]
pub(super) struct OfWorker;

/// The list of a worker's tasks that it is to be told about.
#[derive(Debug)]
pub(super) struct IsRevoked;

impl Linked<OfWorker> for Outstanding {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
    fn peek_link(&self) -> Link {
        self.link
    }
}

impl Linked<IsRevoked> for Outstanding {
    fn link(&mut self) -> &mut Link {
        &mut self.revoked_link
    }
    fn peek_link(&self) -> Link {
        self.revoked_link
    }
}

/// A task that a worker still holds from before this master's start, and that its client has not submitted again yet; named
/// only by storage types.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    session: SessionId,
    sequence: u64,
    pub(super) outstanding: u32,
    pub(super) worker: WorkerId,
    pub(super) attempt: u32,
}

impl<N: NativeStorage> Natives<N> {
    /// The task that a worker calls `number`.
    #[inline]
    pub(super) fn find_outstanding(&self, peer: u32, number: TaskNumber) -> Option<u32> {
        // Most are answered in the order in which they are sent.
        let first = self.peers[peer].outstanding.front();
        if first.is_some_and(|first| self.outstanding[first].number == number) {
            return first;
        }
        self.by_number.candidates(self.number_place(peer, number)).find(|&index| {
            let entry = &self.outstanding[index];
            entry.peer == peer && entry.number == number
        })
    }

    /// Where a number is looked for. Both are small and not of the peer's choice, so that nobody can make many meet.
    fn number_place(&self, peer: u32, number: TaskNumber) -> u64 {
        let number = u32::from(number.number());
        self.by_number
            .beside(split_mix(u64::from(peer) << 16 | u64::from(number / SIDE_BY_SIDE)), number % SIDE_BY_SIDE)
    }

    /// Numbers from the next one on that are still taken: the worker has to be told that they are left out.
    pub(super) fn taken_numbers(&self, peer: u32) -> u32 {
        let next = self.peers[peer].next_number;
        (0..).find(|&more| self.find_outstanding(peer, next.plus(more)).is_none()).unwrap_or(0)
    }

    /// Whether there is room for one more task with a worker.
    pub(super) fn may_send(&self) -> bool {
        !self.outstanding.is_full()
    }

    /// A worker is sent a task, or holds one: it has the next number. `None` if there is no room for it.
    pub(super) fn add_outstanding(&mut self, peer: u32, task: Option<TaskId>, attempt: u32) -> Option<u32> {
        let number = self.peers[peer].next_number;
        let (link, revoked_link) = (Link::UNLINKED, Link::UNLINKED);
        let entry = Outstanding { peer, number, task, attempt, claim: NONE, link, revoked_link };
        let index = self.outstanding.insert(entry).ok()?;
        if !self.by_number.insert(self.number_place(peer, number), index) {
            self.outstanding.remove(index);
            return None;
        }
        self.peers[peer].outstanding.push_back(&mut self.outstanding, index);
        self.peers[peer].next_number = number.plus(1);
        Some(index)
    }

    /// A worker has answered a task, and its number is free again. A claim on it ends: what is submitted later is done again.
    pub(super) fn remove_outstanding(&mut self, index: u32) {
        if self.outstanding[index].claim != NONE {
            self.remove_claim(self.outstanding[index].claim);
        }
        let peer = self.outstanding[index].peer;
        if self.outstanding[index].revoked_link.is_linked() {
            self.peers[peer].revoked.remove(&mut self.outstanding, index);
        }
        self.peers[peer].outstanding.remove(&mut self.outstanding, index);
        let number = self.outstanding[index].number;
        self.by_number.remove(self.number_place(peer, number), index);
        self.outstanding.remove(index);
    }

    /// Nobody wants what a worker does under this number any more: it is to be told.
    pub(super) fn revoke(&mut self, index: u32) {
        let entry = &mut self.outstanding[index];
        entry.task = None;
        let peer = entry.peer;
        if !entry.revoked_link.is_linked() {
            self.peers[peer].revoked.push_back(&mut self.outstanding, index);
        }
    }

    /// Where a worker has a task; O(tasks that it has).
    pub(super) fn outstanding_task(&self, peer: u32, task: TaskId, attempt: u32) -> Option<u32> {
        let list = &self.peers[peer].outstanding;
        core::iter::successors(list.front(), |&at| list.next(&self.outstanding, at)).find(|&at| {
            let entry = &self.outstanding[at];
            entry.task == Some(task) && entry.attempt == attempt
        })
    }

    /// The next task that a worker is to be told nobody wants any more.
    pub(super) fn pop_revoked(&mut self, peer: u32) -> Option<TaskNumber> {
        let index = self.peers[peer].revoked.pop_front(&mut self.outstanding)?;
        Some(self.outstanding[index].number)
    }

    /// The worker is gone. O(tasks that it had).
    pub(super) fn forget_outstanding(&mut self, peer: u32) {
        while let Some(index) = self.peers[peer].outstanding.front() {
            self.remove_outstanding(index);
        }
    }

    /// A worker holds a task that is not known here: its client may submit it again. `false` if there is no room to note it.
    pub(super) fn add_claim(&mut self, id: SessionId, sequence: u64, outstanding: u32, worker: WorkerId) -> bool {
        let attempt = self.outstanding[outstanding].attempt;
        let claim = Claim { session: id, sequence, outstanding, worker, attempt };
        let Ok(index) = self.claims.insert(claim) else { return false };
        if self.by_claim.insert(self.claim_place(id, sequence), index) {
            self.outstanding[outstanding].claim = index;
            return true;
        }
        self.claims.remove(index);
        false
    }

    /// The claim on a task that its client submits; it is noted no more.
    pub(super) fn take_claim(&mut self, id: SessionId, sequence: u64) -> Option<Claim> {
        if self.claims.is_empty() {
            return None;
        }
        let place = self.claim_place(id, sequence);
        let index = self.by_claim.candidates(place).find(|&index| {
            let claim = &self.claims[index];
            claim.session == id && claim.sequence == sequence
        })?;
        let claim = self.claims[index];
        self.remove_claim(index);
        Some(claim)
    }

    fn remove_claim(&mut self, index: u32) {
        if let Some(claim) = self.claims.remove(index) {
            self.outstanding[claim.outstanding].claim = NONE;
            self.by_claim.remove(self.claim_place(claim.session, claim.sequence), index);
        }
    }

    /// Where a claim is looked for.
    fn claim_place(&self, SessionId(id): SessionId, sequence: u64) -> u64 {
        let mut key = [0; 24];
        let (session, number) = key.split_at_mut(16);
        session.copy_from_slice(&id);
        number.copy_from_slice(&sequence.to_le_bytes());
        self.hash.hash(&key)
    }
}
