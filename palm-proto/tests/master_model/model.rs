//! What a master is to do, said as plainly as possible: everything is in vectors, and nothing is fast.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use palm_proto::master::{Counters, MESSAGE_OVERHEAD};
use palm_proto::{Instant, MasterConfig, MessageWriter, Status};

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
    /// Its place in the master's table.
    place: u32,
    attempt: u32,
    failures: u32,
    taken: Option<Taken>,
}

#[derive(Debug)]
struct Worker {
    jobs: usize,
    window: usize,
    /// Messages that were taken from it since it last answered.
    in_vain: usize,
    tasks: Vec<usize>,
    sent: usize,
    standing: Standing,
    awaited: Option<(usize, u32)>,
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
    /// The highest priority first.
    queue: VecDeque<usize>,
}

#[derive(Clone, Debug)]
struct Delivery {
    id: usize,
    content: Content,
    len: usize,
    sender: Option<usize>,
    since: Instant,
    /// `None`: it waits under its topic.
    holder: Option<usize>,
    /// Another subscriber has taken a copy.
    taken: bool,
    /// Copies of one result have the same.
    publication: usize,
}

#[derive(Debug)]
struct Subscriber {
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
    /// Bytes of results that are on nobody's account.
    stray: u64,
    dispatched_at: Instant,
    workers: BTreeMap<usize, Worker>,
    worker_count: usize,
    /// Workers with credit, by messages outstanding, in the order in which they came to have so many.
    levels: Vec<Vec<usize>>,
    /// Workers with messages, or suspended, by since when.
    leases: Vec<usize>,
    suspects: Vec<usize>,
    finished: VecDeque<(usize, u32, Option<Taken>)>,
    /// By age.
    deliveries: Vec<Delivery>,
    delivery_count: usize,
    /// Deliveries that wait under their topics, in order.
    waiting: Vec<usize>,
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
            stray: 0,
            dispatched_at: Instant::ZERO,
            workers: BTreeMap::new(),
            worker_count: 0,
            levels: vec![Vec::new(); 20],
            leases: Vec::new(),
            suspects: Vec::new(),
            finished: VecDeque::new(),
            deliveries: Vec::new(),
            delivery_count: 0,
            waiting: Vec::new(),
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
        let there = self.senders.iter().filter(|sender| sender.open || sender.held > 0).count();
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
        self.used
    }

    fn free(&self) -> u64 {
        self.config.memory.saturating_sub(self.used)
    }

    fn room(&self) -> usize {
        self.capacities.deliveries.saturating_sub(self.deliveries.len() + self.tasks.len())
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
        let out = sender.tasks - sender.queue.len() as u64;
        out == 0 && sender.result_bytes == 0 || sender.result_bytes + (out + 1) * size <= self.free()
    }

    // Turns

    /// The priority of the first message of a sender.
    fn turn(&self, sender: usize) -> Option<u8> {
        self.senders[sender].queue.front().map(|number| self.tasks[number].priority)
    }

    /// Puts a message before all of its sender that `comes_later` says come later.
    fn insert(&mut self, number: usize, comes_later: impl Fn(u8) -> bool) {
        let sender = self.tasks[&number].sender;
        let queue = &self.senders[sender].queue;
        let position = queue.iter().position(|other| comes_later(self.tasks[other].priority)).unwrap_or(queue.len());
        self.senders[sender].queue.insert(position, number);
    }

    fn enqueue_task(&mut self, number: usize) {
        let (sender, priority) = (self.tasks[&number].sender, self.tasks[&number].priority);
        let before = self.turn(sender);
        self.insert(number, |other| other < priority);
        if !self.held_back.contains(&sender) && before.is_none_or(|before| priority > before) {
            self.turns.retain(|&other| other != sender);
            self.turns.push_back(sender);
        }
    }

    fn put_back(&mut self, number: usize) {
        let (sender, priority) = (self.tasks[&number].sender, self.tasks[&number].priority);
        let before = self.turn(sender);
        self.insert(number, |other| other <= priority);
        if before.is_none_or(|before| priority >= before) {
            self.turns.retain(|&other| other != sender);
            self.held_back.retain(|&other| other != sender);
            self.turns.push_front(sender);
        }
    }

    /// `turn`: the others have theirs then.
    fn dequeue(&mut self, number: usize, turn: bool) {
        let sender = self.tasks[&number].sender;
        let before = self.turn(sender);
        self.senders[sender].queue.retain(|&other| other != number);
        let after = self.turn(sender);
        if after.is_none() {
            self.turns.retain(|&other| other != sender);
            self.held_back.retain(|&other| other != sender);
        } else if (turn || before != after) && !self.held_back.contains(&sender) {
            self.turns.retain(|&other| other != sender);
            self.turns.push_back(sender);
        }
    }

    /// The sender whose turn it is: the first of those that have the highest priority waiting.
    fn next_sender(&self) -> Option<usize> {
        let highest = self.turns.iter().filter_map(|&sender| self.turn(sender)).max()?;
        self.turns.iter().copied().find(|&sender| self.turn(sender) == Some(highest))
    }

    fn is_queued(&self, number: usize) -> bool {
        self.senders[self.tasks[&number].sender].queue.contains(&number)
    }

    /// The message whose turn it is.
    fn next_queued(&mut self) -> Option<usize> {
        while let Some(sender) = self.next_sender() {
            if self.may_dispatch(sender) {
                return self.senders[sender].queue.front().copied();
            }
            self.turns.retain(|&other| other != sender);
            self.held_back.push_back(sender);
        }
        None
    }

    fn revive(&mut self) {
        for _ in 0..self.held_back.len().min(4) {
            let Some(sender) = self.held_back.pop_front() else { return };
            let may = self.may_dispatch(sender);
            (if may { &mut self.turns } else { &mut self.held_back }).push_back(sender);
        }
    }

    pub(crate) fn may_answer(&self, len: usize) -> bool {
        self.deliveries.is_empty() || self.room() > 0 && len as u64 + MESSAGE_OVERHEAD <= self.free()
    }

    // Messages and workers

    /// Whether there is room for a message.
    pub(crate) fn may_take(&self) -> bool {
        self.room() > 1 && self.tasks.len() < self.capacities.tasks
    }

    /// Takes a message in that comes to be at `place` in the master's table. A worker may have it already, as some attempt.
    pub(crate) fn submit(&mut self, message: Submitted, place: u32, held: Option<(usize, u32)>) -> usize {
        let Submitted { sender, content, len, bare, deadline, priority } = message;
        let deadline = deadline.map(|millis| self.now + Duration::from_millis(millis));
        let (attempt, failures, taken) = (0, 0, None);
        let task = Task { content, len, bare, sender, deadline, priority, place, attempt, failures, taken };
        let number = self.task_count;
        self.tasks.insert(number, task);
        self.task_count += 1;
        self.count(Some(sender), len, 1);
        self.senders[sender].tasks += 1;
        self.counters.submitted += 1;
        let late = deadline.is_some_and(|deadline| deadline <= self.now);
        match held {
            Some((worker, attempt)) if !late => self.hold(number, worker, attempt),
            _ => self.enqueue_task(number),
        }
        if late {
            self.exceed(number);
        }
        self.dispatch();
        number
    }

    /// A worker has a message that is queued.
    pub(crate) fn claim(&mut self, number: usize, worker: usize, attempt: u32) -> bool {
        let queued = self.tasks.contains_key(&number) && self.is_queued(number);
        if !queued || self.tasks[&number].attempt > attempt {
            return false;
        }
        let task = self.tasks.get_mut(&number).unwrap();
        task.failures = task.failures.saturating_sub(1);
        self.dequeue(number, false);
        self.hold(number, worker, attempt);
        self.dispatch();
        true
    }

    fn hold(&mut self, number: usize, id: usize, attempt: u32) {
        self.heard_of(id);
        self.tasks.get_mut(&number).unwrap().attempt = attempt;
        let worker = self.workers.get_mut(&id).unwrap();
        if worker.tasks.is_empty() {
            worker.head_since = self.now;
            self.leases.push(id);
        }
        worker.tasks.insert(worker.sent, number);
        worker.sent += 1;
        self.counters.claimed += 1;
        self.settle(id);
    }

    fn heard_of(&mut self, id: usize) {
        self.workers.get_mut(&id).unwrap().in_vain = 0;
        self.settle(id);
        if self.workers[&id].standing != Standing::Good {
            self.trust(id);
        }
    }

    /// Whether it was there.
    pub(crate) fn cancel_task(&mut self, number: usize) -> bool {
        let live = self.tasks.contains_key(&number);
        if live {
            self.counters.cancelled += 1;
            self.give_up(number, Status::Cancelled, "its client wanted the message no more");
            self.dispatch();
        }
        live
    }

    fn exceed(&mut self, number: usize) {
        self.counters.deadline_exceeded += 1;
        self.give_up(number, Status::DeadlineExceeded, "the deadline passed before the message was done");
    }

    /// A worker with a window of its own, or with as many jobs.
    pub(crate) fn add_worker(&mut self, jobs: u32, window: Option<u32>) -> Option<usize> {
        if self.workers.len() == self.capacities.peers {
            return None;
        }
        let worker = Worker {
            jobs: window.unwrap_or(jobs.max(1)) as usize,
            window: window.or(self.config.window).unwrap() as usize,
            in_vain: 0,
            tasks: Vec::new(),
            sent: 0,
            standing: Standing::Good,
            awaited: None,
            draining: false,
            head_since: Instant::ZERO,
        };
        let id = self.worker_count;
        self.workers.insert(id, worker);
        self.worker_count += 1;
        self.settle(id);
        self.dispatch();
        Some(id)
    }

    pub(crate) fn widen(&mut self, id: usize, more: u32) {
        let worker = self.workers.get_mut(&id).unwrap();
        worker.window += more as usize;
        worker.jobs = worker.jobs.max(worker.window);
        worker.draining = false;
        self.settle(id);
        self.dispatch();
    }

    pub(crate) fn remove_worker(&mut self, id: usize) {
        let held = self.take_back(id, false);
        self.workers.remove(&id);
        self.levels.iter_mut().for_each(|level| level.retain(|&other| other != id));
        self.leases.retain(|&other| other != id);
        self.suspects.retain(|&other| other != id);
        self.counters.workers_lost += u64::from(held > 0);
        self.counters.redispatched += held as u64;
        self.dispatch();
    }

    pub(crate) fn load(&self, worker: usize) -> usize {
        self.workers[&worker].tasks.len()
    }

    pub(crate) fn has_task(&self, worker: usize) -> bool {
        self.workers[&worker].sent < self.workers[&worker].tasks.len()
    }

    /// Task, attempt and message that a worker is sent next.
    pub(crate) fn take_task(&mut self, id: usize) -> Option<(usize, u32, Content)> {
        let worker = self.workers.get_mut(&id)?;
        let number = *worker.tasks.get(worker.sent)?;
        worker.sent += 1;
        let task = self.tasks.get_mut(&number)?;
        task.attempt += 1;
        if worker.standing == Standing::Tried {
            worker.awaited = Some((number, task.attempt));
        }
        self.counters.dispatched += 1;
        Some((number, task.attempt, task.content.clone()))
    }

    fn dispatch(&mut self) {
        self.dispatched_at = self.now;
        if self.stopped {
            return;
        }
        self.revive();
        while let Some(number) = self.next_queued() {
            let task = &self.tasks[&number];
            if task.failures >= self.config.attempts.max(1) {
                self.counters.dead_letters += 1;
                let text = "every worker that was given the message was lost with it";
                self.give_up(number, Status::DeadLetter, text);
                continue;
            }
            let Some(&id) = self.levels.iter().find_map(|level| level.first()) else { return };
            if task.deadline.is_some_and(|deadline| deadline <= self.now) {
                self.exceed(number);
                continue;
            }
            self.dequeue(number, true);
            let worker = self.workers.get_mut(&id).unwrap();
            if worker.tasks.is_empty() {
                worker.head_since = self.now;
                self.leases.push(id);
            }
            worker.tasks.push(number);
            self.settle(id);
        }
    }

    /// Puts a worker with credit at the end of those with as many messages, unless it is one of them already.
    fn settle(&mut self, id: usize) {
        let worker = &self.workers[&id];
        let outstanding = worker.tasks.len();
        let window = match worker.standing {
            Standing::Good => worker.window,
            Standing::Tried => 1,
            Standing::Suspended => 0,
        };
        let load = outstanding + worker.in_vain;
        let level = if load < 8 { load } else { 5 + load.ilog2() as usize };
        let level = (!worker.draining && outstanding < window).then_some(level);
        if level.is_some_and(|level| level < 8 && self.levels[level].contains(&id)) {
            return;
        }
        self.levels.iter_mut().for_each(|level| level.retain(|&other| other != id));
        if let Some(level) = level {
            self.levels[level].push(id);
        }
    }

    fn holder_of(&self, number: usize) -> Option<usize> {
        self.workers.iter().find(|(_, worker)| worker.tasks.contains(&number)).map(|(&id, _)| id)
    }

    fn unassign(&mut self, number: usize) {
        let Some(id) = self.holder_of(number) else { return };
        let worker = self.workers.get_mut(&id).unwrap();
        let position = worker.tasks.iter().position(|&other| other == number).unwrap();
        worker.tasks.remove(position);
        worker.sent -= usize::from(position < worker.sent);
        if position == 0 {
            worker.head_since = self.now;
            self.leases.retain(|&other| other != id);
            if !worker.tasks.is_empty() {
                self.leases.push(id);
            }
        }
        self.settle(id);
    }

    fn take_back(&mut self, id: usize, hangs: bool) -> usize {
        let worker = &self.workers[&id];
        let (tasks, sent, jobs) = (worker.tasks.clone(), worker.sent, worker.jobs);
        if hangs {
            let sent = tasks[..sent].iter().map(|&number| (number, self.tasks[&number].attempt));
            self.revoked.extend(sent);
        }
        for (position, &number) in tasks.iter().enumerate().rev() {
            self.unassign(number);
            let task = self.tasks.get_mut(&number).unwrap();
            task.failures += u32::from(position < sent && position < jobs);
            if position < sent && hangs {
                task.taken = Some((id, task.attempt));
            }
            self.put_back(number);
        }
        tasks.len()
    }

    // Answers

    /// Whether it is taken.
    pub(crate) fn answer(&mut self, content: Content, len: usize, of: Option<(usize, u32)>) -> bool {
        let handed_back = content.status == Status::HandedBack;
        let live = of.filter(|(number, _)| self.tasks.contains_key(number));
        if handed_back {
            match live {
                Some((number, attempt)) if self.tasks[&number].attempt == attempt => {
                    self.counters.handed_back += 1;
                    if let Some(holder) = self.holder_of(number) {
                        self.hand_back(number, holder);
                    }
                    self.dispatch();
                }
                _ => self.counters.duplicates += 1,
            }
            return true;
        }
        if let Some((number, attempt)) = live {
            self.counters.answered += 1;
            self.complete(number, attempt, content, len);
            self.dispatch();
            return true;
        }
        if let Some((number, attempt)) = of
            && let Some(&(_, accepted, taken)) = self.finished.iter().find(|(other, ..)| *other == number)
            && accepted != attempt
        {
            self.counters.duplicates += 1;
            self.resume(number, attempt, taken);
            return true;
        }
        if self.room() == 0 || !self.may_take_stray(len) {
            return false;
        }
        *(if of.is_some() { &mut self.counters.additional } else { &mut self.counters.unmatched }) += 1;
        self.publish(content, len, None);
        true
    }

    fn hand_back(&mut self, number: usize, holder: usize) {
        let worker = self.workers.get_mut(&holder).unwrap();
        worker.draining = true;
        worker.window = worker.window.saturating_sub(1);
        self.unassign(number);
        self.put_back(number);
    }

    /// The answer to a message that a worker says it has, or a part of it: its content, and whether it is the last. Whether it is
    /// taken.
    pub(crate) fn answer_in_place(
        &mut self,
        id: usize,
        (number, attempt): (usize, u32),
        content: Content,
        last: bool,
    ) -> bool {
        self.heard_of(id);
        let part = !last && content.status == Status::Done;
        let has_it = self.workers[&id].tasks.contains(&number) && self.tasks[&number].attempt == attempt;
        if has_it && content.status == Status::HandedBack {
            self.counters.handed_back += 1;
            self.hand_back(number, id);
        } else if has_it && part {
            if self.room() == 0 && !self.deliveries.is_empty() {
                return false;
            }
            let worker = self.workers.get_mut(&id).unwrap();
            worker.head_since = self.now;
            self.leases.retain(|&other| other != id);
            self.leases.push(id);
            if self.room() == 0 {
                self.counters.duplicates += 1;
            } else {
                self.counters.partials += 1;
                let (bare, sender) = (self.tasks[&number].bare, self.tasks[&number].sender);
                let len = bare + 2 + content.payload.len() + 3;
                self.publish(content, len, Some(sender));
            }
        } else if self.tasks.contains_key(&number) && !part && content.status != Status::HandedBack {
            let len = self.tasks[&number].bare
                + match content.status {
                    Status::Done => 2 + content.payload.len(),
                    _ => 3 + 3 + 3 + "why".len(),
                };
            self.counters.answered += 1;
            self.complete(number, attempt, content, len);
        } else {
            self.counters.duplicates += 1;
        }
        self.dispatch();
        true
    }

    fn complete(&mut self, number: usize, attempt: u32, content: Content, len: usize) {
        if self.is_queued(number) {
            self.dequeue(number, false);
        }
        let of_last = self.tasks[&number].attempt == attempt;
        if let Some(worker) = self.holder_of(number).and_then(|holder| self.workers.get_mut(&holder))
            && worker.tasks[..worker.sent].contains(&number)
        {
            worker.in_vain = if of_last { 0 } else { worker.in_vain + 1 };
            if !of_last {
                self.revoked.push((number, self.tasks[&number].attempt));
            }
        }
        self.unassign(number);
        let task = self.tasks.remove(&number).unwrap();
        if task.attempt > 1 || attempt != 1 && task.attempt != 0 {
            if self.finished.len() == self.capacities.finished {
                self.finished.pop_front();
            }
            self.finished.push_back((number, attempt, task.taken));
        }
        self.publish(content, len, Some(task.sender));
        self.count(Some(task.sender), task.len, -1);
        self.senders[task.sender].tasks -= 1;
        if attempt != 0 {
            self.resume(number, attempt, task.taken);
        }
    }

    fn give_up(&mut self, number: usize, status: Status, text: &str) {
        let client = self.tasks[&number].content.client;
        let mut wire = heapless::Vec::<u8, 512>::new();
        let mut writer = MessageWriter::new(&mut wire);
        writer.client(client).function("s.f").payload(b"0").status(status).error(text).finish().unwrap();
        let content = Content { client, payload: b"0".to_vec(), status, partial: false };
        self.complete(number, 0, content, wire.len());
    }

    fn resume(&mut self, number: usize, attempt: u32, taken: Option<Taken>) {
        let known = taken.filter(|&(id, of)| of == attempt && self.suspects.contains(&id)).map(|(id, _)| id);
        let awaits = |id: &&usize| self.workers[*id].awaited == Some((number, attempt));
        let Some(id) = known.or_else(|| self.suspects.iter().find(awaits).copied()) else { return };
        self.trust(id);
        self.dispatch();
    }

    fn trust(&mut self, id: usize) {
        self.suspects.retain(|&other| other != id);
        let worker = self.workers.get_mut(&id).unwrap();
        if worker.standing == Standing::Suspended {
            self.leases.retain(|&other| other != id);
        }
        (worker.standing, worker.awaited) = (Standing::Good, None);
        self.settle(id);
    }

    // Results

    fn publish(&mut self, content: Content, len: usize, sender: Option<usize>) {
        let mut spare = self.room().saturating_sub(1);
        let targets = self.targets(content.client);
        let publication = self.delivery_count;
        for &target in targets.iter().skip(1) {
            if spare == 0 {
                self.counters.copies_dropped += 1;
            } else {
                spare -= 1;
                self.keep(content.clone(), len, sender, Some(target), publication);
            }
        }
        self.keep(content, len, sender, targets.first().copied(), publication);
    }

    fn keep(&mut self, content: Content, len: usize, sender: Option<usize>, holder: Option<usize>, publication: usize) {
        let (id, since) = (self.delivery_count, self.now);
        self.delivery_count += 1;
        self.deliveries.push(Delivery { id, content, len, sender, since, holder, taken: false, publication });
        self.count(sender, len, 1);
        let bytes = len as u64 + MESSAGE_OVERHEAD;
        match sender.map(|sender| &mut self.senders[sender]) {
            Some(account) => {
                account.result_bytes += bytes;
                let before = account.result_size;
                account.result_size = if before == 0 { bytes } else { (before * 7 + bytes) / 8 };
            }
            None => self.stray += bytes,
        }
        match holder {
            Some(holder) => self.enqueue(id, holder, since),
            None => self.waiting.push(id),
        }
    }

    fn enqueue(&mut self, delivery: usize, holder: usize, at: Instant) {
        let subscriber = self.subscribers.get_mut(&holder).unwrap();
        if subscriber.queue.is_empty() {
            subscriber.last_taken = at;
        }
        subscriber.queue.push(delivery);
    }

    /// Who is to have results of a topic: those with the shortest prefix first, then those who asked first.
    fn targets(&self, topic: &str) -> Vec<usize> {
        let mut matching: Vec<_> = self.subscriptions.iter().filter(|entry| topic.starts_with(entry.0)).collect();
        matching.sort_by_key(|entry| entry.0.len());
        let mut targets = Vec::new();
        for entry in matching {
            if !targets.contains(&entry.1) {
                targets.push(entry.1);
            }
        }
        targets
    }

    pub(crate) fn add_subscriber(&mut self) -> Option<usize> {
        (self.subscribers.len() < self.capacities.peers).then(|| {
            let subscriber = Subscriber { queue: Vec::new(), last_taken: self.now };
            self.subscribers.insert(self.subscriber_count, subscriber);
            self.subscriber_count += 1;
            self.subscriber_count - 1
        })
    }

    pub(crate) fn remove_subscriber(&mut self, id: usize) {
        self.subscriptions.retain(|entry| entry.1 != id);
        let last_taken = self.subscribers[&id].last_taken;
        for delivery in std::mem::take(&mut self.subscribers.get_mut(&id).unwrap().queue) {
            let mut position = self.deliveries.iter().position(|other| other.id == delivery).unwrap();
            if last_taken > self.deliveries[position].since {
                let renewed = self.deliveries.remove(position);
                self.deliveries.push(Delivery { since: last_taken, ..renewed });
                position = self.deliveries.len() - 1;
            }
            let entry = self.deliveries[position].clone();
            let same = |other: &Delivery| other.publication == entry.publication && other.id != entry.id;
            if entry.taken || self.deliveries.iter().any(same) {
                self.forget(position);
                continue;
            }
            let target = self.targets(entry.content.client).first().copied();
            self.deliveries[position].holder = target;
            match target {
                Some(target) => self.enqueue(delivery, target, entry.since),
                None => self.waiting.push(delivery),
            }
        }
        self.subscribers.remove(&id);
    }

    fn forget(&mut self, position: usize) -> Delivery {
        let entry = self.deliveries.remove(position);
        self.waiting.retain(|&other| other != entry.id);
        self.count(entry.sender, entry.len, -1);
        let bytes = entry.len as u64 + MESSAGE_OVERHEAD;
        match entry.sender {
            Some(sender) => self.senders[sender].result_bytes -= bytes,
            None => self.stray -= bytes,
        }
        entry
    }

    /// Whether there is room for it.
    pub(crate) fn subscribe(&mut self, id: usize, prefix: &'static str) -> bool {
        if let Some(known) = self.subscriptions.iter_mut().find(|entry| (entry.0, entry.1) == (prefix, id)) {
            known.2 += 1;
            return true;
        }
        if self.subscriptions.len() == self.capacities.subscriptions {
            return false;
        }
        self.subscriptions.push((prefix, id, 1));
        for delivery in std::mem::take(&mut self.waiting) {
            let entry = self.deliveries.iter_mut().find(|entry| entry.id == delivery).unwrap();
            if entry.content.client.starts_with(prefix) {
                entry.holder = Some(id);
                self.enqueue(delivery, id, self.now);
            } else {
                self.waiting.push(delivery);
            }
        }
        true
    }

    pub(crate) fn cancel(&mut self, id: usize, prefix: &str) {
        if let Some(position) = self.subscriptions.iter().position(|entry| (entry.0, entry.1) == (prefix, id)) {
            self.subscriptions[position].2 -= 1;
            if self.subscriptions[position].2 == 0 {
                self.subscriptions.remove(position);
            }
        }
    }

    pub(crate) fn has_result(&self, id: usize) -> bool {
        !self.subscribers[&id].queue.is_empty()
    }

    /// A subscriber was given `content`, or nothing. Whether that is right: the results of a topic come in order.
    pub(crate) fn take_result(&mut self, id: usize, content: Option<&Content>) -> bool {
        let subscriber = self.subscribers.get_mut(&id).unwrap();
        subscriber.last_taken = self.now;
        let Some(content) = content else { return subscriber.queue.is_empty() };
        let place = |delivery: &usize| self.deliveries.iter().position(|entry| entry.id == *delivery).unwrap();
        let of_topic = |delivery: &usize| self.deliveries[place(delivery)].content.client == content.client;
        let Some(first) = subscriber.queue.iter().position(of_topic) else { return false };
        let position = place(&subscriber.queue.remove(first));
        let entry = self.forget(position);
        for other in &mut self.deliveries {
            other.taken |= other.publication == entry.publication;
        }
        self.counters.delivered += 1;
        if !self.held_back.is_empty() {
            self.dispatch();
        }
        entry.content == *content
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
        let held_back = (!self.held_back.is_empty()).then(|| self.dispatched_at + Duration::from_millis(20));
        let deadline = self.tasks.values().filter_map(|task| task.deadline).min();
        [self.lease_timeout(), result, held_back, deadline].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self) {
        let due = |(&number, task): (&usize, &Task)| task.deadline.map(|deadline| (deadline, task.place, number));
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
            if let Some(holder) = oldest.holder {
                let last_taken = self.subscribers[&holder].last_taken;
                if last_taken > oldest.since && last_taken + self.config.keep > self.now {
                    let mut entry = self.deliveries.remove(0);
                    entry.since = last_taken;
                    self.deliveries.push(entry);
                    continue;
                }
                let id = oldest.id;
                self.subscribers.get_mut(&holder).unwrap().queue.retain(|&other| other != id);
            }
            self.forget(0);
            self.counters.expired += 1;
        }
        self.dispatch();
    }

    pub(crate) fn abandon(&mut self) {
        self.stopped = true;
        while let Some(sender) = self.next_sender().or(self.held_back.front().copied()) {
            let number = self.senders[sender].queue[0];
            self.counters.unavailable += 1;
            self.give_up(number, Status::Unavailable, "the master stopped before the message was done");
        }
    }

    /// Messages queued, messages with workers, results.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let queued = self.senders.iter().map(|sender| sender.queue.len()).sum();
        (queued, self.tasks.len() - queued, self.deliveries.len())
    }
}
