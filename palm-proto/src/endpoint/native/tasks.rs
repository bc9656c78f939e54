//! By which number a worker knows which task, and what workers still hold from before.

use crate::collections::{Beside, Link, Linked, NONE, Sought};
use crate::master::WorkerId;
use crate::message::TaskId;
use crate::native::{SessionId, TaskNumber};
use crate::random::split_mix;

use super::{NativePeer, NativeStorage, Natives};

/// So many numbers in a row are looked for side by side.
pub(super) const SIDE_BY_SIDE: u32 = 8;

/// A task that a worker was sent, or said that it holds, and has not answered; named only by storage types.
#[derive(Debug)]
pub struct Outstanding {
    peer: u32,
    /// How many numbers were given out or left out before its own, which is that modulo their number.
    serial: u32,
    /// Whether it is in the index.
    indexed: bool,
    /// Whether its worker named it, and it is no task that is known here: its room still counts as claimed.
    is_unknown: bool,
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

impl Sought<OfWorker> for Outstanding {
    fn indexed(&mut self) -> &mut bool {
        &mut self.indexed
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

impl Outstanding {
    /// What its worker calls it.
    const fn number(&self) -> TaskNumber {
        TaskNumber::FIRST.plus(self.serial)
    }

    fn place(&self, beside: Beside) -> u64 {
        number_place(beside, self.peer, self.number())
    }
}

/// Where a number is looked for. Both are small and not of the peer's choice, so that nobody can make many meet.
fn number_place(beside: Beside, peer: u32, number: TaskNumber) -> u64 {
    let number = u32::from(number.number());
    let group = split_mix(u64::from(peer) << 16 | u64::from(number / SIDE_BY_SIDE));
    beside.hash(group, number % SIDE_BY_SIDE)
}

impl<N: NativeStorage> Natives<N> {
    /// The task that a worker calls `number`. Amortised O(1).
    #[inline]
    pub(super) fn find_outstanding(&mut self, peer: u32, number: TaskNumber) -> Option<u32> {
        let beside = self.by_number.beside();
        self.peers[peer].outstanding.find(
            &mut self.outstanding,
            &mut self.by_number,
            |entry| entry.place(beside),
            || number_place(beside, peer, number),
            |entry| entry.peer == peer && entry.number() == number,
        )
    }

    /// Numbers from the next one on that are still taken: the worker has to be told that they are left out.
    pub(super) fn taken_numbers(&mut self, peer: u32) -> u32 {
        let NativePeer { outstanding, next_serial, .. } = &self.peers[peer];
        let next = *next_serial;
        let first = outstanding.list().front().map(|first| self.outstanding[first].serial);
        if first.is_none_or(|first| next.wrapping_sub(first) < u32::from(TaskNumber::MODULUS)) {
            // All that are out were given out in this round.
            return 0;
        }
        let mut more = 0;
        while self.find_outstanding(peer, TaskNumber::FIRST.plus(next.wrapping_add(more))).is_some() {
            more += 1;
        }
        more
    }

    /// The next numbers are left out.
    pub(super) fn skip_numbers(&mut self, peer: u32, numbers: u32) {
        let next = &mut self.peers[peer].next_serial;
        *next = next.wrapping_add(numbers);
    }

    /// Whether there is room for one more task with a worker.
    pub(super) fn may_send(&self) -> bool {
        self.room_to_hold() > 0
    }

    /// For how many more tasks with workers there is room, beside those that workers have still to name.
    pub(super) fn room_to_hold(&self) -> usize {
        (self.outstanding.capacity() - self.outstanding.len()).saturating_sub(self.announced as usize)
    }

    /// Whether a worker may say that it holds so many tasks: there is room for them, and, with those that others have still to name or
    /// that nobody here knows, they leave half of all the room to new tasks. One that is alone may have held more.
    pub(super) fn may_announce(&self, holding: u32) -> bool {
        let claimed = self.announced + self.unknown;
        let leaves_half = (claimed + holding) as usize <= self.outstanding.capacity() / 2;
        holding == 0 || holding as usize <= self.room_to_hold() && (claimed == 0 || leaves_half)
    }

    /// What a worker holds is a task that is known here.
    pub(super) fn know(&mut self, index: u32, task: TaskId) {
        let entry = &mut self.outstanding[index];
        entry.task = Some(task);
        self.unknown -= u32::from(core::mem::take(&mut entry.is_unknown));
    }

    /// A worker is sent a task, or holds one: it has the next number. `None` if there is no room for it.
    pub(super) fn add_outstanding(&mut self, peer: u32, task: Option<TaskId>, attempt: u32) -> Option<u32> {
        let holder = &mut self.peers[peer];
        let serial = holder.next_serial;
        let (link, revoked_link) = (Link::UNLINKED, Link::UNLINKED);
        let is_unknown = task.is_none();
        let entry =
            Outstanding { peer, serial, indexed: false, is_unknown, task, attempt, claim: NONE, link, revoked_link };
        let index = self.outstanding.insert(entry).ok()?;
        self.unknown += u32::from(is_unknown);
        holder.outstanding.push_back(&mut self.outstanding, index);
        holder.next_serial = serial.wrapping_add(1);
        Some(index)
    }

    /// A worker has answered a task, and its number is free again. A claim on it ends: what is submitted later is done again.
    pub(super) fn remove_outstanding(&mut self, index: u32) {
        let entry = &self.outstanding[index];
        let (peer, claim, is_revoked) = (entry.peer, entry.claim, entry.revoked_link.is_linked());
        if claim != NONE {
            self.remove_claim(claim);
        }
        let holder = &mut self.peers[peer];
        if is_revoked {
            holder.revoked.remove(&mut self.outstanding, index);
        }
        let beside = self.by_number.beside();
        let place = |entry: &Outstanding| entry.place(beside);
        holder.outstanding.remove(&mut self.outstanding, &mut self.by_number, place, index);
        self.unknown -= self.outstanding.remove(index).map_or(0, |entry| u32::from(entry.is_unknown));
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
        let list = self.peers[peer].outstanding.list();
        core::iter::successors(list.front(), |&at| list.next(&self.outstanding, at)).find(|&at| {
            let entry = &self.outstanding[at];
            entry.task == Some(task) && entry.attempt == attempt
        })
    }

    /// The next task that a worker is to be told nobody wants any more.
    pub(super) fn pop_revoked(&mut self, peer: u32) -> Option<TaskNumber> {
        let index = self.peers[peer].revoked.pop_front(&mut self.outstanding)?;
        Some(self.outstanding[index].number())
    }

    /// The worker is gone. O(tasks that it had).
    pub(super) fn forget_outstanding(&mut self, peer: u32) {
        while let Some(index) = self.peers[peer].outstanding.list().front() {
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
