//! What a master is to do, said as plainly as possible: everything is in vectors, and nothing is fast.

mod answers;
mod results;
mod spares;
mod turns;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use palm_proto::master::{Counters, MESSAGE_OVERHEAD};
use palm_proto::{Instant, MasterConfig, Status};

/// A message, result or failure, as far as anybody looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) client: &'static str,
    pub(crate) payload: Vec<u8>,
    pub(crate) status: Status,
    pub(crate) partial: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Good,
    Suspended,
    Tried,
}

/// A worker that had a message and was taken to hang, and the attempt.
type Taken = (usize, u32);

#[derive(Debug)]
struct Task {
    content: Content,
    len: usize,
    sender: usize,
    /// Length of the message without its payload field.
    bare: usize,
    deadline: Option<Instant>,
    priority: u8,
    /// What the master calls it.
    name: u64,
    attempt: u32,
    losses: u32,
    spent: bool,
    apart: bool,
    taken: Option<Taken>,
}

#[derive(Debug)]
struct Worker {
    /// An identity, 0 for none, and whether answers come under it.
    holder: (u8, bool),
    jobs: usize,
    window: usize,
    /// Messages that were taken from it since it last answered.
    in_vain: usize,
    tasks: Vec<usize>,
    sent: usize,
    standing: Standing,
    awaited: Option<(usize, u32)>,
    apart: bool,
    draining: bool,
    head_since: Instant,
}

#[derive(Debug, Default)]
struct Sender {
    open: bool,
    tasks: u64,
    held: usize,
    bytes: u64,
    result_bytes: u64,
    result_size: u64,
    /// The highest priority first; without those that are kept apart.
    queue: VecDeque<usize>,
}

#[derive(Clone, Debug)]
struct Delivery {
    id: usize,
    content: Content,
    len: usize,
    sender: Option<usize>,
    since: Instant,
    /// When one who has left last took something of its topic.
    last_taken: Instant,
    /// In whose queue it is.
    holder: Option<usize>,
    rank: Rank,
    /// Another subscriber has taken a copy.
    taken: bool,
    /// Copies of one result have the same, of those who have subscribed to its topic.
    publication: usize,
    /// The one that waits for the client, of another's copy.
    of: Option<usize>,
}

/// What is full is on its sender's account; what is kept or extra gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    Full,
    Kept,
    Extra,
}

#[derive(Debug)]
struct Subscriber {
    /// What had waited under a topic when it subscribed to that.
    claimed: Vec<usize>,
    queue: Vec<usize>,
    last_taken: Instant,
}

/// A message that comes in: of `len` bytes, `bare` of them beside its payload field.
#[derive(Clone, Debug)]
pub(crate) struct Submitted {
    pub(crate) sender: usize,
    pub(crate) content: Content,
    pub(crate) len: usize,
    pub(crate) bare: usize,
    pub(crate) deadline: Option<u64>,
    pub(crate) priority: u8,
    pub(crate) forged: bool,
}

/// How many entries each table has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacities {
    pub(crate) tasks: usize,
    pub(crate) peers: usize,
    pub(crate) senders: usize,
    pub(crate) deliveries: usize,
    pub(crate) subscriptions: usize,
    pub(crate) finished: usize,
}

#[derive(Debug)]
pub(crate) struct Model {
    config: MasterConfig,
    capacities: Capacities,
    now: Instant,
    senders: Vec<Sender>,
    tasks: BTreeMap<usize, Task>,
    task_count: usize,
    /// Senders with something queued, whose turn it is, and those whose results would take too much.
    turns: VecDeque<usize>,
    held_back: VecDeque<usize>,
    /// Messages that are kept apart.
    apart: VecDeque<usize>,
    /// Bytes of results that are on nobody's account.
    stray: u64,
    dispatched_at: Instant,
    workers: BTreeMap<usize, Worker>,
    worker_count: usize,
    /// Workers with credit, by messages outstanding, in the order in which they came to have so many.
    levels: Vec<Vec<usize>>,
    /// Workers with messages, or suspended, by since when.
    leases: Vec<usize>,
    /// A worker that is to become idle.
    cleared: Option<usize>,
    suspects: Vec<usize>,
    finished: VecDeque<(usize, u32, Option<Taken>)>,
    /// By age.
    deliveries: Vec<Delivery>,
    delivery_count: usize,
    /// Deliveries that wait under their topics, in order.
    waiting: Vec<usize>,
    /// Deliveries that give way, in order.
    kept: Vec<usize>,
    extras: Vec<usize>,
    subscribers: BTreeMap<usize, Subscriber>,
    subscriber_count: usize,
    /// Prefix, subscriber, and how often it was asked for.
    subscriptions: Vec<(&'static str, usize, u32)>,
    used: u64,
    stopped: bool,
    /// Messages and attempts that were taken from workers.
    pub(crate) revoked: Vec<(usize, u32)>,
    pub(crate) counters: Counters,
}

impl Model {
    pub(crate) fn new(config: MasterConfig, capacities: Capacities) -> Self {
        Self {
            config,
            capacities,
            now: Instant::ZERO,
            senders: Vec::new(),
            tasks: BTreeMap::new(),
            task_count: 0,
            turns: VecDeque::new(),
            held_back: VecDeque::new(),
            apart: VecDeque::new(),
            stray: 0,
            dispatched_at: Instant::ZERO,
            workers: BTreeMap::new(),
            worker_count: 0,
            levels: vec![Vec::new(); 20],
            leases: Vec::new(),
            cleared: None,
            suspects: Vec::new(),
            finished: VecDeque::new(),
            deliveries: Vec::new(),
            delivery_count: 0,
            waiting: Vec::new(),
            kept: Vec::new(),
            extras: Vec::new(),
            subscribers: BTreeMap::new(),
            subscriber_count: 0,
            subscriptions: Vec::new(),
            used: 0,
            stopped: false,
            revoked: Vec::new(),
            counters: Counters::default(),
        }
    }

    // Accounts

    pub(crate) fn add_sender(&mut self) -> Option<usize> {
        if self.accounts() == self.capacities.senders {
            self.drop_parked();
        }
        let there = self.accounts();
        (there < self.capacities.senders).then(|| {
            self.senders.push(Sender { open: true, ..Sender::default() });
            self.senders.len() - 1
        })
    }

    pub(crate) fn remove_sender(&mut self, sender: usize) {
        self.senders[sender].open = false;
    }

    fn count(&mut self, sender: Option<usize>, len: usize, sign: i64) {
        let bytes = len as u64 + MESSAGE_OVERHEAD;
        self.used = self.used.checked_add_signed(sign * bytes as i64).expect("what is released was reserved");
        if let Some(sender) = sender {
            let sender = &mut self.senders[sender];
            sender.held = sender.held.checked_add_signed(sign as isize).unwrap();
            sender.bytes = sender.bytes.checked_add_signed(sign * bytes as i64).unwrap();
        }
    }

    pub(crate) fn memory(&self) -> u64 {
        self.used + self.spare_bytes()
    }

    fn accounts(&self) -> usize {
        let is_there = |sender: &usize| {
            self.senders[*sender].open || self.senders[*sender].held > 0 || self.kept_bytes(Some(*sender)) > 0
        };
        (0..self.senders.len()).filter(is_there).count()
    }

    fn free(&self) -> u64 {
        self.config.memory.saturating_sub(self.used)
    }

    fn room(&self) -> usize {
        self.capacities.deliveries.saturating_sub(self.full() + self.tasks.len())
    }

    pub(crate) fn may_submit(&self, sender: usize, len: usize) -> bool {
        let account = &self.senders[sender];
        let claim = account.bytes + account.tasks * account.result_size + len as u64 + MESSAGE_OVERHEAD;
        self.tasks.len() < self.capacities.tasks
            && claim <= self.free().saturating_sub(self.config.memory / 8)
            && account.held + 1 < self.room()
    }

    fn may_take_stray(&self, len: usize) -> bool {
        self.stray == 0 || self.stray + len as u64 + MESSAGE_OVERHEAD <= self.free()
    }

    /// Whether the result of one more message of a sender is likely to find room.
    fn may_dispatch(&self, id: usize) -> bool {
        let sender = &self.senders[id];
        let size = if sender.result_size == 0 { 64 << 10 } else { sender.result_size };
        let out = sender.tasks - self.queued(id) as u64;
        out == 0 && sender.result_bytes == 0 || sender.result_bytes + (out + 1) * size <= self.free()
    }

    // Time

    pub(crate) fn advance(&mut self, to: Instant) {
        self.now = to;
    }

    fn lease_timeout(&self) -> Option<Instant> {
        Some(self.workers[self.leases.first()?].head_since + self.config.lease?)
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        let result = self.deliveries.first().map(|oldest| oldest.since + self.config.keep);
        let held_back = (!self.held_back.is_empty() || !self.apart.is_empty())
            .then(|| self.dispatched_at + Duration::from_millis(20));
        let deadline = self.tasks.values().filter_map(|task| task.deadline).min();
        [self.lease_timeout(), result, held_back, deadline].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self) {
        let due = |(&number, task): (&usize, &Task)| task.deadline.map(|deadline| (deadline, task.name, number));
        let mut deadlines: Vec<_> = self.tasks.iter().filter_map(due).collect();
        deadlines.retain(|&(deadline, ..)| deadline <= self.now);
        deadlines.sort();
        for (.., number) in deadlines {
            self.exceed(number);
        }
        while self.lease_timeout().is_some_and(|due| due <= self.now) {
            let id = self.leases[0];
            let worker = self.workers.get_mut(&id).unwrap();
            if worker.standing == Standing::Suspended {
                worker.standing = Standing::Tried;
                self.leases.remove(0);
                self.settle(id);
                continue;
            }
            if worker.standing == Standing::Good {
                worker.awaited = worker.tasks.first().map(|number| (*number, self.tasks[number].attempt));
                self.suspects.push(id);
            }
            let held = self.take_back(id, true);
            let worker = self.workers.get_mut(&id).unwrap();
            (worker.standing, worker.head_since) = (Standing::Suspended, self.now);
            self.settle(id);
            self.leases.push(id);
            self.counters.leases_expired += 1;
            self.counters.redispatched += held as u64;
        }
        while let Some(oldest) = self.deliveries.first()
            && oldest.since + self.config.keep <= self.now
        {
            let takes = |(id, subscriber): (&usize, &Subscriber)| {
                let is_its = oldest.holder == Some(*id) || subscriber.claimed.contains(&oldest.id);
                is_its.then_some(subscriber.last_taken)
            };
            let waits = self.waiting.contains(&oldest.id).then_some(oldest.last_taken);
            let taken = self.subscribers.iter().filter_map(takes).chain(waits).max();
            let last_taken = taken.expect("it is somewhere");
            if last_taken > oldest.since && last_taken + self.config.keep > self.now {
                let mut entry = self.deliveries.remove(0);
                entry.since = last_taken;
                self.deliveries.push(entry);
                continue;
            }
            if oldest.rank == Rank::Full {
                self.forget(0);
                self.counters.expired += 1;
            } else {
                self.drop_expired(oldest.id);
            }
        }
        self.dispatch();
    }

    pub(crate) fn abandon(&mut self) {
        self.stopped = true;
        loop {
            let sender = self.next_sender().or(self.held_back.front().copied());
            let first = sender.map(|sender| self.senders[sender].queue[0]);
            let Some(number) = self.apart.front().copied().or(first) else { return };
            self.counters.unavailable += 1;
            self.give_up(number, Status::Unavailable, "the master stopped before the message was done");
        }
    }

    /// Messages queued, messages with workers, results.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let queued = (0..self.senders.len()).map(|sender| self.queued(sender)).sum();
        (queued, self.tasks.len() - queued, self.full())
    }
}
