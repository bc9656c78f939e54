//! The lease book: what is taken back from workers, what they hold all the same, and which of them are taken to hang.

use crate::collections::NONE;
use crate::message::TaskId;
use crate::time::Instant;

use super::MasterStorage;
use super::departures::{DepartureId, NO_DEPARTURE, Verdict};
use super::dispatch::Dispatcher;
use super::identity::{Holder, Identity};
use super::revoked::Revoked;
use super::task::Taken;
use super::worker::{Standing, WorkerId};

/// No task has been sent out so often: who claims more has made it up, and the next attempts would have no numbers.
pub(crate) const ATTEMPTS_CLAIMED: u32 = 1 << 30;

/// How often a loss is taken off a message at most. A line is not so bad: a process that is well, and whose connection breaks so often
/// with a message, breaks it because of that.
const FORGIVEN_MAX: u8 = 32;

impl<S: MasterStorage> Dispatcher<S> {
    /// Takes a worker out, and what it held back to the head of the queue. Gives the number of messages. O(messages held), which
    /// its window bounds.
    pub(super) fn remove_worker(&mut self, now: Instant, index: u32) -> usize {
        let departure = match self.workers[index].holder.identity().process() {
            Some(process) if !self.workers[index].tasks.is_empty() => self.departures.add(now, process),
            Some(_) | None => NO_DEPARTURE,
        };
        let held = self.take_back(now, index, None, departure);
        self.workers[index].draining = true;
        self.settle_level(index);
        if self.workers[index].wake_link.is_linked() {
            self.wakes.remove(&mut self.workers, index);
        }
        if self.workers[index].suspect_link.is_linked() {
            self.suspects.remove(&mut self.workers, index);
        }
        if self.workers[index].lease_link.is_linked() {
            self.leases.remove(&mut self.workers, index);
        }
        self.workers.remove(index);
        held
    }

    /// Takes back what a worker holds, in order; what it was sent has one loss more. A worker does what it is sent in order, but
    /// the last of its answers may be lost with it: so the first ones need not be what it was at. What has one attempt left is
    /// therefore kept apart for that one, where nothing else can be to blame.
    fn take_back(&mut self, now: Instant, index: u32, taken_from: Option<WorkerId>, departure: DepartureId) -> usize {
        if taken_from.is_some() {
            self.revoke_all(index);
        }
        let (jobs, attempts) = (self.workers[index].jobs as usize, self.attempts);
        let held = self.workers[index].tasks.len();
        let mut position = held;
        while let Some(task) = self.workers[index].tasks.back() {
            position -= 1;
            let was_sent = self.tasks[task].sent;
            self.unassign(now, task);
            if was_sent {
                self.look_at_loss(now, task);
            }
            let entry = &mut self.tasks[task];
            if was_sent {
                entry.losses += 1;
                entry.lost_with = departure;
                entry.spent = entry.losses >= attempts && position < jobs;
                entry.doubted = entry.spent && departure != NO_DEPARTURE && entry.forgiven < FORGIVEN_MAX;
                entry.apart = entry.losses >= attempts.saturating_sub(1).max(1);
            }
            if let (true, Some(worker)) = (was_sent, taken_from) {
                entry.taken_from = Some(Taken { worker, attempt: entry.attempt });
            }
            self.accounts.put_back(&mut self.tasks, task);
        }
        held
    }

    /// Tells a worker that keeps its connection that what it was sent is not its any more.
    fn revoke_all(&mut self, index: u32) {
        let worker = &self.workers[index];
        let mut next = worker.tasks.front();
        while let Some(task) = next.filter(|&task| self.tasks[task].sent) {
            let (id, attempt) = (self.id(task), self.tasks[task].attempt);
            self.revocations.push(Revoked { worker: worker.token, task: id, attempt });
            next = worker.tasks.next(&self.tasks, task);
        }
    }

    /// A task comes to its end without the worker that was sent it.
    #[cold]
    pub(super) fn revoke(&mut self, task: u32, worker: u32) {
        let (id, attempt) = (self.id(task), self.tasks[task].attempt);
        let holder = &mut self.workers[worker];
        holder.in_vain = holder.in_vain.saturating_add(1);
        self.revocations.push(Revoked { worker: holder.token, task: id, attempt });
    }

    /// Notes that a worker has a message that is in no list as if it had been sent to it.
    pub(super) fn hold(&mut self, now: Instant, task: u32, worker: u32, attempt: u32) {
        self.begin(now, worker);
        let entry = &mut self.tasks[task];
        (entry.worker, entry.sent, entry.attempt) = (worker, true, attempt);
        let bytes = entry.message.len() as u64;
        let holder = &mut self.workers[worker];
        match holder.next_unsent {
            NONE => holder.tasks.push_back(&mut self.tasks, task),
            unsent => holder.tasks.insert_before(&mut self.tasks, unsent, task),
        }
        holder.bytes += bytes;
        self.settle_level(worker);
    }

    /// Takes a message out of its queue, or from a worker that has not been sent it yet, which another says it has as this
    /// attempt. Whether it was there, has not been sent out since, and may be lost once more. The last loss is taken off, unless
    /// that was with another process, or has been done too often.
    pub(super) fn unqueue_for(&mut self, now: Instant, task: u32, attempt: u32, claimant: u32) -> bool {
        let entry = &self.tasks[task];
        let with_worker = entry.worker != NONE;
        if with_worker && entry.sent || entry.attempt > attempt.max(1) || attempt > ATTEMPTS_CLAIMED {
            return false;
        }
        let claimant = self.workers[claimant].holder.identity().process();
        let is_other = self.departures.process(entry.lost_with).is_some_and(|lost| Some(lost) != claimant);
        let is_forgiven = entry.losses > 0 && !is_other && entry.forgiven < FORGIVEN_MAX;
        if !is_forgiven && entry.losses >= self.attempts {
            return false;
        }
        if with_worker {
            self.unassign(now, task);
        } else {
            self.accounts.dequeue(&mut self.tasks, task);
        }
        let attempts = self.attempts;
        let entry = &mut self.tasks[task];
        if is_forgiven {
            entry.losses -= 1;
            entry.forgiven += 1;
            entry.apart = false;
            entry.lost_with = NO_DEPARTURE;
        } else {
            entry.apart = entry.losses >= attempts.saturating_sub(1).max(1);
        }
        entry.spent = false;
        true
    }

    /// If the worker that a message was lost with last has come back, that was no loss.
    fn look_at_loss(&mut self, now: Instant, task: u32) {
        let entry = &mut self.tasks[task];
        let departure = core::mem::replace(&mut entry.lost_with, NO_DEPARTURE);
        let is_back = departure != NO_DEPARTURE && self.departures.verdict(now, departure) == Verdict::Returned;
        if is_back && entry.forgiven < FORGIVEN_MAX {
            entry.forgiven += 1;
            entry.losses = entry.losses.saturating_sub(1);
        }
    }

    /// A worker's process is known. If `resumes`, it is one whose connection broke, else another in its place: so ends the doubt, of the
    /// messages that were lost with it. O(messages in doubt, and departures of the last 15 s).
    pub(super) fn begin_process(&mut self, now: Instant, worker: u32, process: u32, resumes: bool) {
        self.workers[worker].holder = Holder::new(Identity::of_process(process), true);
        if !self.departures.settle(now, process, resumes) {
            return;
        }
        let mut next = self.accounts.doubted().front();
        while let Some(task) = next {
            next = self.accounts.doubted().next(&self.tasks, task);
            if matches!(self.departures.verdict(now, self.tasks[task].lost_with), Verdict::Open(_)) {
                continue;
            }
            self.accounts.dequeue(&mut self.tasks, task);
            self.look_at_loss(now, task);
            let attempts = self.attempts;
            let entry = &mut self.tasks[task];
            entry.spent = entry.losses >= attempts;
            entry.apart = entry.losses >= attempts.saturating_sub(1).max(1);
            self.accounts.put_back(&mut self.tasks, task);
        }
    }

    /// A message whose last worker has not come back: it is to be given up.
    pub(super) fn no_longer_doubted(&self, now: Instant) -> Option<u32> {
        let task = self.accounts.doubted().front()?;
        let verdict = self.departures.verdict(now, self.tasks[task].lost_with);
        (!matches!(verdict, Verdict::Open(_))).then_some(task)
    }

    /// When that is to be looked at next.
    pub(super) fn doubt_timeout(&self, now: Instant) -> Option<Instant> {
        let task = self.accounts.doubted().front()?;
        match self.departures.verdict(now, self.tasks[task].lost_with) {
            Verdict::Open(until) => Some(until),
            Verdict::Returned | Verdict::Lost => Some(now),
        }
    }

    /// A worker that answers in parts is at work: its lease begins again.
    pub(super) fn renew_lease(&mut self, now: Instant, worker: u32) {
        self.workers[worker].head_since = now;
        self.leases.move_to_back(&mut self.workers, worker);
    }

    /// The worker takes no more messages: what has not been sent to it goes back to the head of the queue, in order.
    pub(super) fn drain(&mut self, now: Instant, index: u32) {
        self.workers[index].draining = true;
        while let Some(task) = self.workers[index].tasks.back().filter(|&task| !self.tasks[task].sent) {
            self.unassign(now, task);
            self.accounts.put_back(&mut self.tasks, task);
        }
        self.settle_level(index);
    }

    /// Takes a message back from the worker that stops before it has done it: to the head of the queue.
    pub(super) fn hand_back(&mut self, now: Instant, task: u32) {
        let worker = self.tasks[task].worker;
        if worker == NONE {
            return;
        }
        self.workers[worker].draining = true;
        self.workers[worker].window.narrow();
        self.unassign(now, task);
        self.accounts.put_back(&mut self.tasks, task);
    }

    /// A worker is given nothing before it asks for more.
    pub(super) fn give_no_more(&mut self, worker: u32) {
        self.workers[worker].draining = true;
        self.settle_level(worker);
    }

    /// An attempt of a task was answered: a worker that was taken to hang works after all, if it had that. Its token.
    /// O(workers that are taken to hang).
    pub(super) fn resume(&mut self, task: TaskId, attempt: u32, taken_from: Option<Taken>) -> Option<u32> {
        if self.suspects.is_empty() {
            return None;
        }
        let known = taken_from.filter(|taken| taken.attempt == attempt).and_then(|taken| self.find(taken.worker));
        let index = known.filter(|&index| self.workers[index].standing != Standing::Good).or_else(|| {
            let mut at = self.suspects.front();
            while let Some(index) = at.filter(|&index| self.workers[index].awaited != Some((task, attempt))) {
                at = self.suspects.next(&self.workers, index);
            }
            at
        })?;
        self.trust(index)
    }

    /// A worker has shown that it works: its token, if it was taken to hang.
    pub(super) fn heard_of(&mut self, index: u32) -> Option<u32> {
        if core::mem::take(&mut self.workers[index].in_vain) > 0 {
            self.settle_level(index);
        }
        if self.workers[index].standing == Standing::Good { None } else { self.trust(index) }
    }

    fn trust(&mut self, index: u32) -> Option<u32> {
        self.suspects.remove(&mut self.workers, index);
        if self.workers[index].standing == Standing::Suspended {
            self.leases.remove(&mut self.workers, index);
        }
        let worker = &mut self.workers[index];
        (worker.standing, worker.awaited) = (Standing::Good, None);
        let token = worker.token;
        self.settle_level(index);
        Some(token)
    }

    /// When the next lease runs out.
    pub(super) fn lease_timeout(&self) -> Option<Instant> {
        let first = self.leases.front()?;
        Some(self.workers[first].head_since + self.lease?)
    }

    /// Takes everything back from a worker whose lease has run out, if there is one: its token and the number of messages. One
    /// that has been suspended for as long is tried again, which gives the number 0.
    pub(super) fn expire_lease(&mut self, now: Instant) -> Option<(u32, usize)> {
        if self.lease_timeout()? > now {
            return None;
        }
        let index = self.leases.front()?;
        let token = self.workers[index].token;
        if self.workers[index].standing == Standing::Suspended {
            self.leases.remove(&mut self.workers, index);
            self.workers[index].standing = Standing::Tried;
            self.settle_level(index);
            return Some((token, 0));
        }
        if self.workers[index].standing == Standing::Good {
            let first = self.workers[index].tasks.front();
            self.workers[index].awaited = first.map(|task| (self.id(task), self.tasks[task].attempt));
            self.suspects.push_back(&mut self.workers, index);
        }
        let generation = self.workers.generation(index)?;
        let held = self.take_back(now, index, Some(WorkerId { index, generation }), NO_DEPARTURE);
        let worker = &mut self.workers[index];
        (worker.standing, worker.head_since) = (Standing::Suspended, now);
        self.settle_level(index);
        self.leases.push_back(&mut self.workers, index);
        Some((token, held))
    }
}
