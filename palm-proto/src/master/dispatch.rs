//! The queue, the workers, and the lease book: which message is where, and who is next.
//!
//! A task is in exactly one list: its sender's queue, or that of the worker that holds it. Both are in the order in which the
//! messages came, so that what a lost worker held goes back to the head of the queue in order.

use core::time::Duration;

use crate::buffer::Span;
use crate::collections::{Link, Linked, List, NONE, Slab};
use crate::message::{Opening, TaskId};
use crate::random::Random;
use crate::time::Instant;
use crate::uuid::Uuid;

use super::accounts::Accounts;
use super::window::Window;
use super::{Assignment, MasterConfig, MasterStorage};

/// A connection over which tasks go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// A message that a worker is to do; named only by storage types.
#[derive(Debug)]
pub struct Task<B> {
    pub(super) message: Span<B>,
    /// How the message begins.
    pub(super) opening: Opening,
    link: Link,
    /// On whose account it is.
    pub(super) sender: u32,
    pub(super) deadline: Option<Instant>,
    /// Whether the master puts a UUID into the `cache` field.
    pub(super) wants_cache: bool,
    /// Times it was sent to a worker.
    pub(super) attempt: u32,
    /// Workers that were lost while it was, as far as one can tell, being done.
    pub(super) failures: u32,
    /// Who has it, or `NONE`.
    worker: u32,
    sent: bool,
    /// Who had it before and was taken to hang.
    taken_from: Option<Taken>,
}

/// A worker that was taken to hang, and which attempt of a task it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    worker: WorkerId,
    attempt: u32,
}

/// A worker; named only by storage types.
#[derive(Debug)]
pub struct Worker {
    pub(super) token: u32,
    /// Messages that it may be working on at the same time.
    jobs: u32,
    /// What it holds: first what was sent, then what is still to be sent.
    tasks: List<InQueue>,
    next_unsent: u32,
    bytes: u64,
    pub(super) window: Window,
    /// Since when the first of its tasks is the first.
    head_since: Instant,
    standing: Standing,
    /// What it was at when it was taken to hang, or has been tried with since, and which attempt of that.
    awaited: Option<(TaskId, u32)>,
    /// Gets nothing more at all.
    draining: bool,
    level: u8,
    level_link: Link,
    lease_link: Link,
    wake_link: Link,
    suspect_link: Link,
}

/// What is thought of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Good,
    /// It is taken to hang: it gets nothing until it answers, or the lease time has passed again.
    Suspended,
    /// It gets one message to show that it works. For what it was sent before may have been lost, or its answer.
    Tried,
}

#[derive(Debug)]
pub(super) struct InQueue;
#[derive(Debug)]
struct InLevel;
#[derive(Debug)]
struct InLease;
#[derive(Debug)]
struct InWake;
#[derive(Debug)]
struct InSuspects;

impl<B> Linked<InQueue> for Task<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
    fn peek_link(&self) -> Link {
        self.link
    }
}

impl Linked<InLevel> for Worker {
    fn link(&mut self) -> &mut Link {
        &mut self.level_link
    }
    fn peek_link(&self) -> Link {
        self.level_link
    }
}

impl Linked<InLease> for Worker {
    fn link(&mut self) -> &mut Link {
        &mut self.lease_link
    }
    fn peek_link(&self) -> Link {
        self.lease_link
    }
}

impl Linked<InWake> for Worker {
    fn link(&mut self) -> &mut Link {
        &mut self.wake_link
    }
    fn peek_link(&self) -> Link {
        self.wake_link
    }
}

impl Linked<InSuspects> for Worker {
    fn link(&mut self) -> &mut Link {
        &mut self.suspect_link
    }
    fn peek_link(&self) -> Link {
        self.suspect_link
    }
}

/// Levels of load: exact up to 7 outstanding, then by powers of two.
const LEVELS: usize = 20;
const EXACT_LEVELS: u8 = 8;
/// Level of a worker that is given nothing.
const NO_LEVEL: u8 = u8::MAX;

fn level_of(outstanding: usize) -> u8 {
    let level = match outstanding {
        0..8 => outstanding,
        more => 5 + more.ilog2() as usize,
    };
    level.min(LEVELS - 1) as u8
}

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
    pub(super) workers: Slab<Worker, S::Workers>,
    /// Who sent what, and in which order it is dispatched.
    pub(super) accounts: Accounts<S::Senders>,
    /// Workers with credit, by load.
    levels: [List<InLevel>; LEVELS],
    /// A bit for each level at which there is a worker.
    levels_in_use: u32,
    /// Workers that hold something, by how long the first of it has been first; and those suspended, by since when.
    leases: List<InLease>,
    /// Workers with something to send.
    wakes: List<InWake>,
    /// Workers that were taken to hang and have not answered since.
    suspects: List<InSuspects>,
    fixed_window: Option<u32>,
    limits: super::WindowLimits,
    lease: Option<Duration>,
    silent_workers: bool,
}

impl<S: MasterStorage> Dispatcher<S> {
    pub(super) fn new(
        tasks: S::Tasks,
        workers: S::Workers,
        senders: S::Senders,
        first_generation: u32,
        config: &MasterConfig,
    ) -> Self {
        Self {
            tasks: Slab::new(tasks, first_generation),
            workers: Slab::new(workers, 0),
            accounts: Accounts::new(senders, config.memory),
            levels: [const { List::new() }; LEVELS],
            levels_in_use: 0,
            leases: List::new(),
            wakes: List::new(),
            suspects: List::new(),
            fixed_window: config.window,
            limits: config.window_limits,
            lease: config.lease,
            silent_workers: config.silent_workers,
        }
    }

    pub(super) fn add_worker(&mut self, token: u32, jobs: u32) -> Option<WorkerId> {
        let worker = Worker {
            token,
            jobs: jobs.max(1),
            tasks: List::new(),
            next_unsent: NONE,
            bytes: 0,
            window: Window::new(
                self.fixed_window,
                if self.silent_workers { jobs.max(self.limits.silent) } else { jobs },
                &self.limits,
            ),
            head_since: Instant::ZERO,
            standing: Standing::Good,
            awaited: None,
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

    pub(super) fn find(&self, id: WorkerId) -> Option<u32> {
        (self.workers.generation(id.index) == Some(id.generation)).then_some(id.index)
    }

    /// Takes a worker out, and what it held back to the head of the queue. Gives the number of messages; those that it was,
    /// as far as one can tell, working on have one failure more. O(messages held), which its window bounds.
    pub(super) fn remove_worker(&mut self, now: Instant, index: u32) -> usize {
        let held = self.take_back(now, index, None);
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

    /// Takes back what a worker holds. A worker does what it is sent in order, so only the first few can be what it was lost
    /// with.
    fn take_back(&mut self, now: Instant, index: u32, taken_from: Option<WorkerId>) -> usize {
        let jobs = self.workers[index].jobs as usize;
        let held = self.workers[index].tasks.len();
        let mut position = held;
        while let Some(task) = self.workers[index].tasks.back() {
            position -= 1;
            let was_sent = self.tasks[task].sent;
            self.unassign(now, task);
            let entry = &mut self.tasks[task];
            if was_sent && position < jobs {
                entry.failures += 1;
            }
            if let (true, Some(worker)) = (was_sent, taken_from) {
                entry.taken_from = Some(Taken { worker, attempt: entry.attempt });
            }
            self.accounts.put_back(&mut self.tasks, task);
        }
        held
    }

    /// Takes a message in, which is in no list then: [`enqueue`](Self::enqueue) or [`give`](Self::give) comes next. Its task.
    pub(super) fn admit(
        &mut self,
        message: Span<S::Buffer>,
        opening: Opening,
        sender: u32,
        deadline: Option<Instant>,
        wants_cache: bool,
    ) -> Result<u32, Span<S::Buffer>> {
        let footprint = message.footprint();
        let task = Task {
            message,
            opening,
            link: Link::UNLINKED,
            sender,
            deadline,
            wants_cache,
            attempt: 0,
            failures: 0,
            worker: NONE,
            sent: false,
            taken_from: None,
        };
        let index = self.tasks.insert(task).map_err(|task| task.message)?;
        self.accounts.add_task(sender, footprint);
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

    /// Gives a message that is queued to a worker.
    pub(super) fn assign(&mut self, now: Instant, task: u32, worker: u32) {
        self.accounts.dequeue(&mut self.tasks, task);
        self.give(now, task, worker);
    }

    /// Gives a message that is in no list to a worker.
    pub(super) fn give(&mut self, now: Instant, task: u32, worker: u32) {
        let entry = &mut self.tasks[task];
        entry.worker = worker;
        entry.sent = false;
        let bytes = entry.message.len() as u64;
        let holder = &mut self.workers[worker];
        if holder.tasks.is_empty() {
            holder.head_since = now;
            holder.window.on_busy(now);
            self.leases.push_back(&mut self.workers, worker);
        }
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

    /// The next worker that has something to send since it was last asked.
    pub(super) fn pop_wake(&mut self) -> Option<u32> {
        let index = self.wakes.pop_front(&mut self.workers)?;
        Some(self.workers[index].token)
    }

    pub(super) fn has_unsent(&self, index: u32) -> bool {
        self.workers[index].next_unsent != NONE
    }

    /// The next message to send to a worker, which has it from then on.
    pub(super) fn send_next(&mut self, index: u32, random: &mut Random) -> Option<Assignment<'_, S::Buffer>> {
        let worker = &mut self.workers[index];
        let task = worker.next_unsent;
        if task == NONE {
            return None;
        }
        worker.next_unsent = worker.tasks.next(&self.tasks, task).unwrap_or(NONE);
        let id = self.id(task);
        let entry = &mut self.tasks[task];
        entry.sent = true;
        entry.attempt += 1;
        let worker = &mut self.workers[index];
        if worker.standing == Standing::Tried {
            worker.awaited = Some((id, entry.attempt));
        }
        Some(Assignment {
            task: id,
            attempt: entry.attempt,
            deadline: entry.deadline,
            cache: entry.wants_cache.then(|| Uuid::generate(random)),
            message: &entry.message,
        })
    }

    pub(super) fn id(&self, index: u32) -> TaskId {
        let generation = self.tasks.generation(index).unwrap_or(0);
        TaskId(u64::from(generation) << 32 | u64::from(index))
    }

    pub(super) fn locate(&self, TaskId(id): TaskId) -> Whereabouts {
        let index = id as u32;
        let live = self.tasks.get(index).is_some() && self.tasks.generation(index) == Some((id >> 32) as u32);
        if live { Whereabouts::Live(index) } else { Whereabouts::Gone }
    }

    /// Takes a message out that has been answered, or given up, wherever it is. `answered` tells whether its worker's pace
    /// is to be learnt from it.
    pub(super) fn finish(&mut self, now: Instant, task: u32, answered: bool) -> Task<S::Buffer> {
        let worker = self.tasks[task].worker;
        if worker == NONE {
            self.accounts.dequeue(&mut self.tasks, task);
        } else {
            if answered {
                self.workers[worker].window.on_answer(now);
            }
            self.unassign(now, task);
        }
        self.tasks.remove(task).expect("the caller located the task")
    }

    /// A message that the worker which now answers `task` was sent before it, and so yielded nothing for.
    pub(super) fn passed_over(&self, task: u32) -> Option<u32> {
        let worker = self.tasks[task].worker;
        if worker == NONE || !self.silent_workers {
            return None;
        }
        self.workers[worker].tasks.front().filter(|&first| first != task)
    }

    /// Takes a message back from the worker that stops before it has done it: to the head of the queue.
    pub(super) fn hand_back(&mut self, now: Instant, task: u32) {
        let worker = self.tasks[task].worker;
        if worker == NONE {
            return;
        }
        self.workers[worker].draining = true;
        self.unassign(now, task);
        self.accounts.put_back(&mut self.tasks, task);
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
        let held = self.take_back(now, index, Some(WorkerId { index, generation }));
        let worker = &mut self.workers[index];
        (worker.standing, worker.head_since) = (Standing::Suspended, now);
        self.settle_level(index);
        self.leases.push_back(&mut self.workers, index);
        Some((token, held))
    }

    /// A message that is to be given up, because it has been lost with too many workers.
    pub(super) fn spent(&self, task: u32, attempts: u32) -> bool {
        self.tasks[task].failures >= attempts.max(1)
    }

    /// Takes a task out of its worker's list; the caller puts it elsewhere.
    fn unassign(&mut self, now: Instant, task: u32) {
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
            }
            if idle {
                self.leases.remove(&mut self.workers, worker);
            } else {
                self.leases.move_to_back(&mut self.workers, worker);
            }
        }
        self.settle_level(worker);
    }

    /// Puts a worker into the list of its load, at the end, or into none if it has no credit.
    fn settle_level(&mut self, index: u32) {
        let worker = &self.workers[index];
        let outstanding = worker.tasks.len();
        let window = match worker.standing {
            Standing::Good => worker.window.size() as usize,
            Standing::Tried => 1,
            Standing::Suspended => 0,
        };
        let has_credit =
            !worker.draining && outstanding < window && (outstanding == 0 || worker.bytes < self.limits.bytes);
        let level = if has_credit { level_of(outstanding) } else { NO_LEVEL };
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

impl<B> Task<B> {
    /// Who had it before and was taken to hang.
    pub(super) fn taken_from(&self) -> Option<Taken> {
        self.taken_from
    }
}

impl Worker {
    /// Messages outstanding.
    pub(super) fn outstanding(&self) -> usize {
        self.tasks.len()
    }
}
