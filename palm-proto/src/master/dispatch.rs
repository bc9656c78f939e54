//! The queue, the workers, and the lease book: which message is where, and who is next.
//!
//! A task is in exactly one list: its sender's queue, that of the tasks kept apart, or that of the worker that holds it. All are
//! in the order in which the messages came, so that what a lost worker held goes back to the head of the queue in order.

use core::time::Duration;

use crate::buffer::Span;
use crate::collections::{Link, List, NONE, Slab};
use crate::message::TaskId;
use crate::random::{Random, Seed};
use crate::time::Instant;
use crate::uuid::Uuid;

use super::accounts::Accounts;
use super::deadlines::Deadlines;
use super::departures::Departures;
use super::identity::{Holder, Identity};
use super::names::TaskNames;
use super::revoked::Revocations;
use super::task::Task;
use super::window::Window;
use super::worker::{
    EXACT_LEVELS, InLease, InLevel, InSuspects, InWake, LEVELS, NO_LEVEL, Standing, Worker, WorkerId, level_of,
};
use super::{Assignment, MasterConfig, MasterStorage};

/// Where an answer's task is.
pub(super) enum Whereabouts {
    /// At this index, not answered yet.
    Live(u32),
    /// Answered, or of another master's time.
    Gone,
}

#[derive(Debug)]
pub(super) struct Dispatcher<S: MasterStorage> {
    pub(super) tasks: Slab<Task<S::Buffer>, S::Tasks>,
    names: TaskNames,
    pub(super) workers: Slab<Worker, S::Workers>,
    /// Who sent what, and in which order it is dispatched.
    pub(super) accounts: Accounts<S::Senders>,
    pub(super) deadlines: Deadlines<S::Deadlines>,
    /// What was taken from workers that are there still.
    pub(super) revocations: Revocations<S::Revocations>,
    /// Workers whose connections broke.
    pub(super) departures: Departures<S::Departures>,
    /// Workers with credit, by load.
    levels: [List<InLevel, ()>; LEVELS],
    /// A bit for each level at which there is a worker.
    levels_in_use: u32,
    /// Workers that hold something, by how long the first of it has been first; and those suspended, by since when.
    pub(super) leases: List<InLease, ()>,
    /// Workers with something to send.
    pub(super) wakes: List<InWake, ()>,
    /// Workers that were taken to hang and have not answered since.
    pub(super) suspects: List<InSuspects, ()>,
    /// A worker that is to become idle, for a message that is kept apart; or `NONE`.
    cleared: u32,
    /// Workers that may be lost with a message.
    pub(super) attempts: u32,
    fixed_window: Option<u32>,
    limits: super::WindowLimits,
    pub(super) lease: Option<Duration>,
    silent_workers: bool,
}

impl<S: MasterStorage> Dispatcher<S> {
    pub(super) fn new(
        tasks: S::Tasks,
        workers: S::Workers,
        senders: S::Senders,
        deadlines: S::Deadlines,
        departures: S::Departures,
        seed: Seed,
        config: &MasterConfig,
    ) -> Self {
        let tasks = Slab::new(tasks);
        Self {
            names: TaskNames::new(seed, tasks.capacity()),
            tasks,
            workers: Slab::new(workers),
            accounts: Accounts::new(senders, config.memory, config.priority_across),
            deadlines: Deadlines::new(deadlines),
            revocations: Revocations::default(),
            departures: Departures::new(departures),
            levels: [const { List::new() }; LEVELS],
            levels_in_use: 0,
            leases: List::new(),
            wakes: List::new(),
            suspects: List::new(),
            cleared: NONE,
            attempts: config.attempts.max(1),
            fixed_window: config.window,
            limits: config.window_limits,
            lease: config.lease,
            silent_workers: config.silent_workers,
        }
    }

    pub(super) fn add_worker(&mut self, token: u32, jobs: u32) -> Option<WorkerId> {
        let ahead = if self.silent_workers { jobs.max(self.limits.silent) } else { jobs };
        let window = Window::new(self.fixed_window, ahead, &self.limits);
        self.insert_worker(token, jobs.max(1), self.silent_workers, window)
    }

    /// Adds a worker that says itself how many messages it takes, and may be working on any of them.
    pub(super) fn add_worker_with_window(&mut self, token: u32, window: u32) -> Option<WorkerId> {
        self.insert_worker(token, window, false, Window::of_size(window, &self.limits))
    }

    fn insert_worker(&mut self, token: u32, jobs: u32, may_be_silent: bool, window: Window) -> Option<WorkerId> {
        let worker = Worker {
            token,
            holder: Holder::UNKNOWN,
            jobs,
            may_be_silent,
            in_vain: 0,
            tasks: List::new(),
            next_unsent: NONE,
            bytes: 0,
            window,
            head_since: Instant::ZERO,
            standing: Standing::Good,
            awaited: None,
            apart: false,
            draining: false,
            level: NO_LEVEL,
            level_link: Link::UNLINKED,
            lease_link: Link::UNLINKED,
            wake_link: Link::UNLINKED,
            suspect_link: Link::UNLINKED,
        };
        let index = self.workers.insert(worker).ok()?;
        let generation = self.workers.generation(index)?;
        self.settle_level(index);
        Some(WorkerId { index, generation })
    }

    /// A worker takes `more` messages than before, also if it handed some back.
    pub(super) fn widen(&mut self, index: u32, more: u32) {
        let worker = &mut self.workers[index];
        worker.window.widen(more);
        worker.jobs = worker.jobs.max(worker.window.size());
        worker.draining = false;
        self.settle_level(index);
    }

    /// Workers of this identity answer over a connection that has it, too.
    pub(super) fn expect_answers(&mut self, identity: Identity) {
        for index in 0..u32::try_from(self.workers.slots()).unwrap_or(NONE) {
            if let Some(worker) = self.workers.get_mut(index).filter(|worker| worker.holder.identity() == identity) {
                worker.holder = Holder::new(identity, true);
            }
        }
    }

    pub(super) fn find(&self, id: WorkerId) -> Option<u32> {
        (self.workers.generation(id.index) == Some(id.generation)).then_some(id.index)
    }

    /// Takes a message in, which is in no list then: [`enqueue`](Self::enqueue) or [`give`](Self::give) comes next. Its task.
    #[inline(always)]
    pub(super) fn admit(&mut self, task: Task<S::Buffer>) -> Result<u32, Span<S::Buffer>> {
        let (footprint, sender, has_deadline) = (task.message.footprint(), task.sender, task.deadline.is_some());
        let index = self.tasks.insert(task).map_err(|task| task.message)?;
        self.tasks[index].id = self.names.next(index);
        self.accounts.add_task(sender, footprint);
        if has_deadline {
            self.deadlines.insert(&mut self.tasks, index);
        }
        Ok(index)
    }

    /// Adds a message to the end of its sender's queue.
    pub(super) fn enqueue(&mut self, task: u32) {
        self.accounts.enqueue(&mut self.tasks, task);
    }

    /// A worker that a message of this sender may be given to at once, since nothing waits at all.
    pub(super) fn idle_worker(&self, sender: u32) -> Option<u32> {
        if self.accounts.nothing_waits() && self.accounts.may_dispatch(sender) { self.next_worker() } else { None }
    }

    /// The next worker, if there is one with credit.
    pub(super) fn next_worker(&self) -> Option<u32> {
        let level = self.levels_in_use.trailing_zeros() as usize;
        self.levels.get(level)?.front()
    }

    /// The next worker with credit that holds nothing. If there is none, one that has credit is given nothing more until it is.
    #[cold]
    pub(super) fn next_idle_worker(&mut self) -> Option<u32> {
        let next = self.next_worker()?;
        if self.workers[next].tasks.is_empty() {
            return Some(next);
        }
        if self.cleared == NONE {
            self.cleared = next;
            self.keep_apart(next);
        }
        None
    }

    /// Nothing is given to a worker beside what it holds.
    fn keep_apart(&mut self, worker: u32) {
        self.workers[worker].apart = true;
        self.settle_level(worker);
    }

    /// Gives a message that is kept apart to a worker that holds nothing.
    #[cold]
    pub(super) fn assign_apart(&mut self, now: Instant, task: u32, worker: u32) {
        self.assign(now, task, worker);
        self.keep_apart(worker);
    }

    /// Gives a message that is queued to a worker.
    pub(super) fn assign(&mut self, now: Instant, task: u32, worker: u32) {
        self.accounts.dispatch(&mut self.tasks, task);
        self.give(now, task, worker);
    }

    /// Gives a message that is in no list to a worker.
    pub(super) fn give(&mut self, now: Instant, task: u32, worker: u32) {
        let entry = &mut self.tasks[task];
        entry.worker = worker;
        entry.sent = false;
        let bytes = entry.message.len() as u64;
        self.begin(now, worker);
        let holder = &mut self.workers[worker];
        holder.tasks.push_back(&mut self.tasks, task);
        holder.bytes += bytes;
        if holder.next_unsent == NONE {
            holder.next_unsent = task;
        }
        self.settle_level(worker);
        if !self.workers[worker].wake_link.is_linked() {
            self.wakes.push_back(&mut self.workers, worker);
        }
    }

    /// A worker is about to be given something.
    #[inline]
    pub(super) fn begin(&mut self, now: Instant, worker: u32) {
        let holder = &mut self.workers[worker];
        if holder.tasks.is_empty() {
            holder.head_since = now;
            holder.window.on_busy(now);
            self.leases.push_back(&mut self.workers, worker);
        }
    }

    /// The next worker that has something to send since it was last asked.
    pub(super) fn pop_wake(&mut self) -> Option<u32> {
        let index = self.wakes.pop_front(&mut self.workers)?;
        Some(self.workers[index].token)
    }

    pub(super) fn has_unsent(&self, index: u32) -> bool {
        self.next_unsent(index).is_some()
    }

    /// What a worker has been given and is sent next.
    pub(super) fn next_unsent(&self, index: u32) -> Option<u32> {
        let task = self.workers[index].next_unsent;
        (task != NONE).then_some(task)
    }

    /// The next message to send to a worker, which has it from then on.
    pub(super) fn send_next(&mut self, index: u32, random: &mut Random) -> Option<Assignment<'_, S::Buffer>> {
        let task = self.mark_sent(index)?;
        let id = self.id(task);
        let entry = &self.tasks[task];
        Some(Assignment {
            task: id,
            attempt: entry.attempt,
            deadline: entry.deadline,
            cache: entry.wants_cache.then(|| Uuid::generate(random)),
            message: &entry.message,
        })
    }

    /// A worker is sent the next message that it has been given: its task.
    #[inline]
    pub(super) fn mark_sent(&mut self, index: u32) -> Option<u32> {
        let task = self.next_unsent(index)?;
        let id = self.id(task);
        let worker = &mut self.workers[index];
        worker.next_unsent = worker.tasks.next(&self.tasks, task).unwrap_or(NONE);
        let entry = &mut self.tasks[task];
        entry.sent = true;
        entry.attempt = entry.attempt.saturating_add(1);
        if worker.standing == Standing::Tried {
            worker.awaited = Some((id, entry.attempt));
        }
        Some(task)
    }

    pub(super) fn id(&self, index: u32) -> TaskId {
        self.tasks[index].id
    }

    #[inline]
    pub(super) fn locate(&self, id: TaskId) -> Whereabouts {
        let index = self.names.place(id);
        let live = self.tasks.get(index).is_some_and(|task| task.id == id);
        if live { Whereabouts::Live(index) } else { Whereabouts::Gone }
    }

    /// Whether an answer of this attempt may come over a connection of this identity. Who answers an attempt that is over, or taken back,
    /// has shown by the task's name that it was sent it.
    #[inline]
    pub(super) fn may_answer(&self, index: u32, attempt: u32, answerer: Identity) -> bool {
        let task = &self.tasks[index];
        if attempt != task.attempt || !task.sent || task.worker == NONE {
            return attempt <= task.attempt;
        }
        self.workers[task.worker].holder.believes(answerer)
    }

    /// Whether a worker has been sent a message as this attempt, and has it still.
    pub(super) fn is_out(&self, index: u32, attempt: u32) -> bool {
        let task = &self.tasks[index];
        task.worker != NONE && task.sent && task.attempt == attempt
    }

    /// Takes a message out that has been answered in `attempt`, or given up (0), wherever it is. If a worker has been sent it in
    /// another attempt, it is told.
    #[inline]
    pub(super) fn finish(&mut self, now: Instant, task: u32, attempt: u32) -> Task<S::Buffer> {
        let entry = &self.tasks[task];
        let (worker, sent, of_last) = (entry.worker, entry.sent, entry.attempt == attempt);
        if entry.due != NONE {
            self.deadlines.remove(&mut self.tasks, task);
        }
        if worker == NONE {
            self.accounts.dequeue(&mut self.tasks, task);
        } else {
            if of_last && sent {
                let holder = &mut self.workers[worker];
                holder.window.on_answer(now);
                holder.in_vain = 0;
            } else if sent {
                self.revoke(task, worker);
            }
            self.unassign(now, task);
        }
        self.tasks.remove(task).expect("the caller located the task")
    }

    /// A message that the worker which now answers `task` was sent before it, and so yielded nothing for.
    pub(super) fn passed_over(&self, task: u32) -> Option<u32> {
        let worker = self.tasks[task].worker;
        if worker == NONE || !self.silent_workers || !self.workers[worker].may_be_silent {
            return None;
        }
        self.workers[worker].tasks.front().filter(|&first| first != task)
    }

    /// The next deadline.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.tasks[self.deadlines.first()?].deadline
    }

    /// A message whose deadline has passed.
    pub(super) fn overdue(&self, now: Instant) -> Option<u32> {
        self.deadlines.first().filter(|&task| self.tasks[task].deadline.is_some_and(|deadline| deadline <= now))
    }

    /// Takes a task out of its worker's list; the caller puts it elsewhere.
    pub(super) fn unassign(&mut self, now: Instant, task: u32) {
        let worker = core::mem::replace(&mut self.tasks[task].worker, NONE);
        let bytes = self.tasks[task].message.len() as u64;
        let holder = &mut self.workers[worker];
        if holder.next_unsent == task {
            holder.next_unsent = holder.tasks.next(&self.tasks, task).unwrap_or(NONE);
        }
        let was_head = holder.tasks.front() == Some(task);
        holder.tasks.remove(&mut self.tasks, task);
        holder.bytes -= bytes;
        if was_head {
            holder.head_since = now;
            let idle = holder.tasks.is_empty();
            if idle {
                holder.window.on_idle();
                if core::mem::take(&mut holder.apart) && self.cleared == worker {
                    self.cleared = NONE;
                }
                self.leases.remove(&mut self.workers, worker);
            } else {
                self.leases.move_to_back(&mut self.workers, worker);
            }
        }
        self.settle_level(worker);
    }

    /// Puts a worker into the list of its load, at the end, or into none if it has no credit.
    pub(super) fn settle_level(&mut self, index: u32) {
        let worker = &self.workers[index];
        let outstanding = worker.tasks.len();
        let window = match worker.standing {
            Standing::Good => worker.window.size() as usize,
            Standing::Tried => 1,
            Standing::Suspended => 0,
        };
        let has_credit = !worker.draining
            && outstanding < window
            && (outstanding == 0 || worker.bytes < self.limits.bytes && !worker.apart);
        let level = if has_credit { level_of(outstanding + worker.in_vain as usize) } else { NO_LEVEL };
        let before = worker.level;
        if before == level {
            // At a level that stands for several loads, it lets the others have their turn.
            if level != NO_LEVEL && level >= EXACT_LEVELS {
                self.levels[level as usize].move_to_back(&mut self.workers, index);
            }
            return;
        }
        if before != NO_LEVEL {
            self.levels[before as usize].remove(&mut self.workers, index);
            if self.levels[before as usize].is_empty() {
                self.levels_in_use &= !(1 << before);
            }
        }
        self.workers[index].level = level;
        if level != NO_LEVEL {
            self.levels[level as usize].push_back(&mut self.workers, index);
            self.levels_in_use |= 1 << level;
        }
    }
}
