//! What is said of workers, and what they are given.

use core::time::Duration;

use crate::buffer::Span;
use crate::message::{Status, TaskId};
use crate::time::Instant;

use super::dispatch::Whereabouts;
use super::event::Event;
use super::identity::{Holder, Identity};
use super::machine::Master;
use super::output::Assignment;
use super::storage::MasterStorage;
use super::task::Task;
use super::worker::WorkerId;

impl<S: MasterStorage> Master<S> {
    /// Adds a connection over which messages go out, of a worker that works on `jobs` of them at the same time (1 if it does
    /// not say). [`poll_wake`](Self::poll_wake) names it by `token`. `None` if there is no room for one.
    pub fn add_worker(&mut self, now: Instant, token: u32, jobs: u32) -> Option<WorkerId> {
        let worker = self.dispatcher.add_worker(token, jobs)?;
        self.dispatch(now);
        Some(worker)
    }

    /// Adds the connection of a worker that says itself how many messages it takes: it has no more than `window` outstanding, and
    /// as many as [`widen`](Self::widen) adds. It may be working on any of those, and answers each, in any order. `None` if there is
    /// no room for one.
    pub fn add_worker_with_window(&mut self, now: Instant, token: u32, window: u32) -> Option<WorkerId> {
        let worker = self.dispatcher.add_worker_with_window(token, window)?;
        self.dispatch(now);
        Some(worker)
    }

    /// A worker with a window of its own takes `more` messages than before; one that handed messages back is given some again.
    pub fn widen(&mut self, now: Instant, worker: WorkerId, more: u32) {
        if let Some(index) = self.dispatcher.find(worker) {
            self.dispatcher.widen(index, more);
            self.dispatch(now);
        }
    }

    /// The worker is gone: what it held is given to others, in order. O(messages held).
    pub fn remove_worker(&mut self, now: Instant, worker: WorkerId) {
        let Some(index) = self.dispatcher.find(worker) else { return };
        let token = self.dispatcher.workers[index].token;
        let held = self.dispatcher.remove_worker(now, index);
        if held > 0 {
            self.counters.workers_lost += 1;
            self.counters.redispatched += held as u64;
            self.events.push(Event::WorkerLost { worker: token, held });
        }
        self.dispatch(now);
    }

    /// The worker's connection has this identity; `answers`: so has one over which answers come, so that those which come over a
    /// connection without any do not count for what this worker has been sent.
    pub fn set_identity(&mut self, worker: WorkerId, identity: Identity, answers: bool) {
        if let Some(index) = self.dispatcher.find(worker) {
            self.dispatcher.workers[index].holder = Holder::new(identity, answers);
        }
    }

    /// There is a connection of this identity over which answers come. O(workers).
    pub fn expect_answers(&mut self, identity: Identity) {
        self.dispatcher.expect_answers(identity);
    }

    /// The worker answers over this connection alone ([`Identity::OWN`]), and is a process that is known by `process` over all its
    /// connections. If its connection breaks, what it was sent
    /// counts as lost with it only until that process `resumes`, within 15 s: until then nothing is given up that would be. O(messages
    /// that would be, and connections that broke lately).
    pub fn begin_process(&mut self, now: Instant, worker: WorkerId, process: u32, resumes: bool) {
        if let Some(index) = self.dispatcher.find(worker) {
            self.dispatcher.begin_process(now, index, process, resumes);
            self.dispatch(now);
        }
    }

    /// The worker's process does not come back: what it is lost with, it is lost with.
    pub fn end_process(&mut self, worker: WorkerId) {
        if let Some(index) = self.dispatcher.find(worker) {
            self.dispatcher.workers[index].holder = Holder::new(Identity::OWN, true);
        }
    }

    /// The token of a worker of this process. O(workers).
    pub fn worker_of(&self, process: u32) -> Option<u32> {
        let (workers, identity) = (&self.dispatcher.workers, Identity::of_process(process));
        let mut all = workers.indices().map(|index| &workers[index]);
        all.find(|worker| worker.holder.identity() == identity).map(|worker| worker.token)
    }

    /// The way to a worker and back takes this long: its window then covers it.
    pub fn set_round_trip(&mut self, worker: WorkerId, round_trip: Duration) {
        if let Some(index) = self.dispatcher.find(worker) {
            self.dispatcher.workers[index].window.set_round_trip(round_trip);
        }
    }

    /// The next message to send to a worker, which has it from then on. O(1).
    pub fn poll_task(&mut self, worker: WorkerId) -> Option<Assignment<'_, S::Buffer>> {
        let index = self.dispatcher.find(worker)?;
        let assignment = self.dispatcher.send_next(index, &mut self.random)?;
        self.counters.dispatched += 1;
        Some(assignment)
    }

    /// The message that [`poll_task`](Self::poll_task) gives next.
    pub fn next_task(&self, worker: WorkerId) -> Option<&Span<S::Buffer>> {
        self.next_noted(worker).map(|task| &task.message)
    }

    /// The same, with what is noted of it.
    pub(crate) fn next_noted(&self, worker: WorkerId) -> Option<&Task<S::Buffer>> {
        let task = self.dispatcher.next_unsent(self.dispatcher.find(worker)?)?;
        Some(&self.dispatcher.tasks[task])
    }

    /// Has the worker sent the message that [`next_noted`](Self::next_noted) tells; its task. O(1).
    pub(crate) fn take_next(&mut self, worker: WorkerId) -> Option<TaskId> {
        let index = self.dispatcher.find(worker)?;
        let task = self.dispatcher.mark_sent(index)?;
        self.counters.dispatched += 1;
        Some(self.dispatcher.id(task))
    }

    /// The message that [`poll_task`](Self::poll_task) would give next cannot be sent: it is given up. O(log n).
    pub fn refuse_next(&mut self, now: Instant, worker: WorkerId, status: Status, text: &str) {
        if let Some(task) = self.dispatcher.find(worker).and_then(|index| self.dispatcher.next_unsent(index)) {
            self.counters.unsendable += 1;
            self.give_up(now, task, status, text);
            self.dispatch(now);
        }
    }

    /// The worker takes no more messages; what has not been sent to it goes to others. O(messages that it has).
    pub fn drain_worker(&mut self, now: Instant, worker: WorkerId) {
        if let Some(index) = self.dispatcher.find(worker) {
            self.dispatcher.drain(now, index);
            self.dispatch(now);
        }
    }

    /// Whether a task is neither answered nor given up.
    pub fn is_live(&self, task: TaskId) -> bool {
        self.leased(task).is_some()
    }

    /// The message of a task that is live, be it with a worker or queued.
    pub fn leased(&self, task: TaskId) -> Option<&Span<S::Buffer>> {
        match self.dispatcher.locate(task) {
            Whereabouts::Live(index) => Some(&self.dispatcher.tasks[index].message),
            Whereabouts::Gone => None,
        }
    }

    /// Whether there is a message to send to a worker.
    pub fn has_task(&self, worker: WorkerId) -> bool {
        self.dispatcher.find(worker).is_some_and(|index| self.dispatcher.has_unsent(index))
    }

    /// Messages that a worker has outstanding, and how many it may have.
    pub fn load(&self, worker: WorkerId) -> Option<(usize, u32)> {
        let worker = &self.dispatcher.workers[self.dispatcher.find(worker)?];
        Some((worker.outstanding(), worker.window.size()))
    }
}
