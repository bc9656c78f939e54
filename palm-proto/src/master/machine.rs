//! [`Master`] itself: what comes in, what goes out, and what time brings.

use core::fmt;
use core::time::Duration;

use crate::buffer::Span;
use crate::hash::KeyedHash;
use crate::message::{MessageRef, ParseError, RawMessage, Status, TaskId, is_addressed};
use crate::random::{Random, Seed};
use crate::time::Instant;

use super::accounts::{NOBODY, SenderId};
use super::dispatch::{Dispatcher, Taken, Whereabouts, WorkerId};
use super::event::{Event, Events, label};
use super::failure::failure;
use super::finished::{Finished, FinishedBook};
use super::output::{Assignment, Outcome, Tags};
use super::results::{Expiry, Publication, Results, SubscriberId};
use super::storage::{MasterStorage, Tables};
use super::subscriptions::SubscribeError;
use super::{Counters, Gauges, MasterConfig};

/// Time after which further senders that are held back are looked at if nothing else happens.
const HELD_BACK_TURN: Duration = Duration::from_millis(20);
/// Results looked at in one call of [`Master::handle_timeout`].
const EXPIRIES_A_CALL: usize = 256;

/// A master (`docs/spec.md`, section 5).
#[derive(Debug)]
pub struct Master<S: MasterStorage> {
    config: MasterConfig,
    dispatcher: Dispatcher<S>,
    finished: FinishedBook<S::Finished, S::FinishedPlaces>,
    results: Results<S>,
    random: Random,
    events: Events,
    counters: Counters,
    /// No message is given out any more.
    stopped: bool,
    /// The last time that was told.
    now: Instant,
}

/// A master's name does not fit into its buffer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameTooLong;

impl fmt::Display for NameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the master's name does not fit into a message buffer")
    }
}

impl core::error::Error for NameTooLong {}

/// A message was not taken; it comes back where the caller may offer it again.
#[derive(Debug)]
pub struct NotTaken<B> {
    /// Why.
    pub reason: Refusal,
    /// The message.
    pub message: Span<B>,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no room now: offer it again later.
    Full,
    /// It is a result of no message that is out, and as many of those wait as may: offer it again later.
    Stray,
    /// It is no PALM message: throw it away. It has been counted.
    Malformed,
}

impl<S: MasterStorage> Master<S> {
    /// A master with its tables, all empty. `seed` must differ from run to run: task ids, UUIDs and hashes hang on it.
    ///
    /// # Errors
    /// If the name is longer than a message buffer.
    pub fn new(name: &str, config: MasterConfig, tables: Tables<S>, seed: Seed) -> Result<Self, NameTooLong> {
        let mut random = Random::new(seed.derive("master"));
        let first_generation = random.next_u64() as u32;
        let mut results = Results::new(
            tables.deliveries,
            tables.subscribers,
            tables.subscriptions,
            tables.subscription_places,
            tables.topics,
            tables.topic_places,
            KeyedHash::new(seed.derive("topics")),
            config.keep,
        );
        if config.pipelined {
            results.own_topic = Some(Span::copy_from(name.as_bytes()).ok_or(NameTooLong)?);
        }
        Ok(Self {
            config,
            dispatcher: Dispatcher::new(tables.tasks, tables.workers, tables.senders, first_generation, &config),
            finished: FinishedBook::new(tables.finished, tables.finished_places),
            results,
            random,
            events: Events::default(),
            counters: Counters::default(),
            stopped: false,
            now: Instant::ZERO,
        })
    }

    // Senders

    /// Adds a connection over which messages come in; `None` if there is no room for one.
    pub fn add_sender(&mut self) -> Option<SenderId> {
        self.dispatcher.accounts.open()
    }

    /// Takes it out again. Its messages stay.
    pub fn remove_sender(&mut self, sender: SenderId) {
        self.dispatcher.accounts.close(sender);
    }

    /// Whether a message of `len` bytes may be read from this sender now. Ask before reading it, or once its length is known.
    pub fn may_submit(&self, sender: SenderId, len: usize) -> bool {
        let room = self.room_for_messages();
        !self.dispatcher.tasks.is_full() && self.dispatcher.accounts.may_submit(sender, len as u64, room)
    }

    /// Whether there is a place for a message, of which the bytes have been counted with [`reserve`](Self::reserve).
    pub fn has_place(&self) -> bool {
        self.room_for_messages() > 0 && !self.dispatcher.tasks.is_full()
    }

    /// Takes a message from a client. O(1).
    ///
    /// One that names no function is answered with a failure at once: a Python worker that was given it would die of it.
    ///
    /// # Errors
    /// If there is no room for it, or it is no message.
    pub fn handle_submit(
        &mut self,
        now: Instant,
        sender: SenderId,
        message: Span<S::Buffer>,
    ) -> Result<(), NotTaken<S::Buffer>> {
        let mut view = RawMessage::unread(message.as_slice());
        if let Err(error) = view.read_all() {
            self.counters.malformed += 1;
            self.events.push(Event::Malformed { offset: error.offset });
            return Err(NotTaken { reason: Refusal::Malformed, message });
        }
        if self.room_for_messages() == 0 || self.dispatcher.tasks.is_full() {
            return Err(NotTaken { reason: Refusal::Full, message });
        }
        let deadline = view.deadline().map(|millis| now + Duration::from_millis(millis));
        let wants_cache = view.cache().is_empty();
        let is_addressed = is_addressed(view.function(), view.stage);
        let opening = view.opening();
        let task = match self.dispatcher.admit(message, opening, sender.0, deadline, wants_cache) {
            Ok(task) => task,
            Err(message) => return Err(NotTaken { reason: Refusal::Full, message }),
        };
        self.counters.submitted += 1;
        let dispatchable = is_addressed && deadline.is_none() && !self.stopped;
        if dispatchable && let Some(worker) = self.dispatcher.idle_worker(sender.0) {
            // Nothing waits, so that there is no turn to wait for.
            self.now = now;
            self.dispatcher.give(now, task, worker);
            return Ok(());
        }
        self.dispatcher.enqueue(task);
        if !is_addressed {
            self.counters.unaddressed += 1;
            self.give_up(now, task, Status::NoSuchFunction, "the message names no function: expected server.method");
        }
        self.dispatch(now);
        Ok(())
    }

    // Workers

    /// Adds a connection over which messages go out, of a worker that works on `jobs` of them at the same time (1 if it does
    /// not say). [`poll_wake`](Self::poll_wake) names it by `token`. `None` if there is no room for one.
    pub fn add_worker(&mut self, now: Instant, token: u32, jobs: u32) -> Option<WorkerId> {
        let worker = self.dispatcher.add_worker(token, jobs)?;
        self.dispatch(now);
        Some(worker)
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

    /// The message of a task that is with a worker.
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

    // Answers

    /// Whether an answer of `len` bytes may be read now.
    pub fn may_answer(&self, len: usize) -> bool {
        let fits = len as u64 + super::MESSAGE_OVERHEAD <= self.dispatcher.accounts.free();
        // With no result waiting there is nothing whose leaving would make room: let one through.
        self.room() > 0 && fits || self.results.len() == 0
    }

    /// Whether an answer of `len` bytes may be read from a worker whose last one was refused as [`Refusal::Stray`].
    pub fn may_take_stray(&self, len: usize) -> bool {
        self.dispatcher.accounts.may_take_stray(len as u64)
    }

    /// Takes an answer of a worker. O(1), and O(subscribers) for a topic that several have subscribed to.
    ///
    /// # Errors
    /// If there is no room for it, or it is no message.
    pub fn handle_result(&mut self, now: Instant, mut message: Span<S::Buffer>) -> Result<(), NotTaken<S::Buffer>> {
        let mut view = RawMessage::unread(message.as_slice());
        if let Err(error) = self.read_answer(&mut view) {
            self.counters.malformed_results += 1;
            self.events.push(Event::Malformed { offset: error.offset });
            return Err(NotTaken { reason: Refusal::Malformed, message });
        }
        let attempt = view.attempt().max(1);
        let handed_back = view.status() == Status::HandedBack;
        let (untagged, unmarked) = (view.untagged_len(), view.unmarked_len());
        let topic = view.client_place();
        let (sender, live) = match view.task().map(|task| (task, self.dispatcher.locate(task))) {
            Some((_, Whereabouts::Live(index))) if handed_back && self.dispatcher.tasks[index].attempt == attempt => {
                self.counters.handed_back += 1;
                self.dispatcher.hand_back(now, index);
                self.dispatch(now);
                return Ok(());
            }
            _ if handed_back => {
                self.counters.duplicates += 1;
                return Ok(());
            }
            Some((_, Whereabouts::Live(index))) => (self.dispatcher.tasks[index].sender, Some(index)),
            Some((task, Whereabouts::Gone)) => {
                if let Some(known) = self.finished.find(task) {
                    let (accepted, taken_from) = (known.attempt, known.taken_from);
                    if accepted != attempt {
                        self.counters.duplicates += 1;
                        self.resume(now, task, attempt, taken_from);
                        return Ok(());
                    }
                }
                (NOBODY, None)
            }
            None => (NOBODY, None),
        };
        if live.is_none() {
            // One slot for each live task is set aside: an answer beside those takes one of the others.
            if self.room() == 0 {
                return Err(NotTaken { reason: Refusal::Full, message });
            }
            if !self.may_take_stray(message.footprint()) {
                return Err(NotTaken { reason: Refusal::Stray, message });
            }
            match view.task() {
                Some(_) => self.counters.additional += 1,
                None => self.counters.unmatched += 1,
            }
        }
        // The UUID that the master put into the `cache` field is of no use at home.
        let made_cache = live.is_some_and(|index| self.dispatcher.tasks[index].wants_cache) && !self.config.pipelined;
        message.truncate(if made_cache { unmarked } else { untagged });
        if let Some(index) = live {
            self.counters.answered += 1;
            while let Some(passed_over) = self.dispatcher.passed_over(index) {
                self.counters.silent += 1;
                let task = self.dispatcher.finish(now, passed_over, true);
                self.dispatcher.accounts.remove_task(task.sender, task.message.footprint());
            }
            self.complete(now, index, attempt, message, topic, sender);
            self.dispatch(now);
        } else {
            self.publish(now, message, topic, sender);
        }
        Ok(())
    }

    /// Reads an answer. Most end in the task that they answer, and begin as that task's message does.
    #[inline]
    fn read_answer(&self, answer: &mut RawMessage<'_>) -> Result<(), ParseError> {
        match Tags::last_task(answer.as_bytes()).map(|task| self.dispatcher.locate(task)) {
            Some(Whereabouts::Live(index)) => {
                let task = &self.dispatcher.tasks[index];
                answer.read_like(task.message.as_slice(), task.opening)
            }
            Some(Whereabouts::Gone) | None => answer.read_all(),
        }
    }

    // Subscribers

    /// Adds a connection over which results go out. [`poll_wake`](Self::poll_wake) names it by `token`. `None` if there is no
    /// room for one.
    pub fn add_subscriber(&mut self, now: Instant, token: u32) -> Option<SubscriberId> {
        self.results.add_subscriber(now, token)
    }

    /// The subscriber is gone: what it has not taken waits for another. O(results that waited for it).
    pub fn remove_subscriber(&mut self, subscriber: SubscriberId) {
        let accounts = &mut self.dispatcher.accounts;
        self.results.remove_subscriber(subscriber, |removed| accounts.remove_result(removed.sender, removed.footprint));
    }

    /// Subscribes to every topic that begins with `prefix`. O(topics for which results wait, and those results).
    ///
    /// # Errors
    /// If there is no room for another subscription.
    pub fn handle_subscribe(
        &mut self,
        now: Instant,
        subscriber: SubscriberId,
        prefix: &[u8],
    ) -> Result<(), SubscribeError> {
        self.results.subscribe(now, subscriber, prefix)
    }

    /// Takes one subscription back.
    pub fn handle_cancel(&mut self, subscriber: SubscriberId, prefix: &[u8]) {
        self.results.cancel(subscriber, prefix);
    }

    /// The next result for a subscriber, which has it from then on. O(1).
    pub fn poll_result(&mut self, now: Instant, subscriber: SubscriberId) -> Option<Outcome<S::Buffer>> {
        let delivery = self.results.take_next(now, subscriber)?;
        self.dispatcher.accounts.remove_result(delivery.sender, delivery.message.footprint());
        self.counters.delivered += 1;
        if self.dispatcher.accounts.holds_back() {
            self.dispatch(now);
        }
        let (topic, stage) = match self.results.own_topic {
            None => (Some(delivery.topic.start as usize..delivery.topic.end as usize), None),
            Some(_) => {
                let stage = RawMessage::parse(delivery.message.as_slice()).map_or(0, |view| view.stage);
                (None, Some(stage.wrapping_add(1)))
            }
        };
        Some(Outcome { message: delivery.message, topic, stage })
    }

    /// Whether there is a result for a subscriber.
    pub fn has_result(&self, subscriber: SubscriberId) -> bool {
        self.results.has_next(subscriber)
    }

    /// The topic under which all results go out, where they go to the next stage.
    pub fn own_topic(&self) -> Option<&[u8]> {
        self.results.own_topic.as_ref().map(Span::as_slice)
    }

    // Everybody

    /// The token of a worker or subscriber for which there is something new since it was last named. Call until `None`.
    pub fn poll_wake(&mut self) -> Option<u32> {
        self.dispatcher.pop_wake().or_else(|| self.results.pop_wake())
    }

    /// Something worth a line in a log. Call until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Events that found no room in their queue.
    pub fn events_missed(&self) -> u64 {
        self.events.missed()
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called; `None`: nothing is pending. O(1).
    pub fn poll_timeout(&self) -> Option<Instant> {
        // Of many senders that are held back only some are looked at in a call: time brings the others their turn.
        let held_back = self.dispatcher.accounts.holds_back().then(|| self.now + HELD_BACK_TURN);
        [self.dispatcher.lease_timeout(), self.results.timeout(), held_back].into_iter().flatten().min()
    }

    /// Takes back what hung workers hold, and drops results that nobody took in time. Harmless when early. Looks at 256 results
    /// at most; [`poll_timeout`](Self::poll_timeout) is in the past if there are more.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((worker, held)) = self.dispatcher.expire_lease(now) {
            if held == 0 {
                continue;
            }
            self.counters.leases_expired += 1;
            self.counters.redispatched += held as u64;
            self.events.push(Event::LeaseExpired { worker, held });
        }
        for _ in 0..EXPIRIES_A_CALL {
            match self.results.expire(now) {
                Expiry::None => break,
                Expiry::Kept => {}
                Expiry::Dropped(delivery) => {
                    self.dispatcher.accounts.remove_result(delivery.sender, delivery.message.footprint());
                    self.counters.expired += 1;
                    let client = delivery.topic.start as usize..delivery.topic.end as usize;
                    let client = delivery.message.as_slice().get(client).unwrap_or(&[]);
                    self.events
                        .push(Event::ResultExpired { client: label(core::str::from_utf8(client).unwrap_or_default()) });
                }
            }
        }
        self.dispatch(now);
    }

    /// What it has done.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes that it holds, as counted against [`MasterConfig::memory`].
    pub fn memory(&self) -> u64 {
        self.dispatcher.accounts.used()
    }

    /// What it holds.
    pub fn gauges(&self) -> Gauges {
        let queued = self.dispatcher.accounts.queued();
        Gauges {
            queued,
            leased: self.dispatcher.tasks.len() - queued,
            results: self.results.len(),
            memory: self.dispatcher.accounts.used(),
            workers: self.dispatcher.workers.len(),
            subscribers: self.results.subscribers(),
        }
    }

    /// Counts bytes that a caller holds on this master's behalf (a message that has come in part, bytes on their way out), on
    /// a sender's account if it is that sender's doing.
    pub fn reserve(&mut self, sender: Option<SenderId>, bytes: usize) {
        self.dispatcher.accounts.reserve(sender.map_or(NOBODY, |sender| sender.0), bytes as u64);
    }

    /// Counts them no more.
    pub fn release(&mut self, sender: Option<SenderId>, bytes: usize) {
        self.dispatcher.accounts.release(sender.map_or(NOBODY, |sender| sender.0), bytes as u64);
    }

    /// Whether no message is queued or with a worker.
    pub fn is_idle(&self) -> bool {
        self.dispatcher.tasks.is_empty()
    }

    /// Whether no result waits for a subscriber that is connected. O(subscribers).
    pub fn is_flushed(&self) -> bool {
        !self.results.has_takers()
    }

    /// Gives nothing more to workers, and gives up to `count` messages back to their clients as
    /// [`Status::Unavailable`]. The number given back: call again until it is 0.
    pub fn abandon(&mut self, now: Instant, count: usize) -> usize {
        self.stopped = true;
        let mut given_back = 0;
        while given_back < count {
            let first = self.dispatcher.accounts.any_queued();
            let Some(task) = first.or_else(|| self.dispatcher.tasks.indices().next()) else { break };
            self.counters.unavailable += 1;
            self.give_up(now, task, Status::Unavailable, "the master stopped before the message was done");
            given_back += 1;
        }
        given_back
    }

    /// Further messages that can be held: a result is set aside for each task.
    fn room(&self) -> usize {
        self.results.capacity() - (self.results.len() + self.dispatcher.tasks.len()).min(self.results.capacity())
    }

    /// Further messages that may come in: one place is left to a result beside those that are set aside, for messages with
    /// several.
    fn room_for_messages(&self) -> usize {
        self.room().saturating_sub(usize::from(self.results.capacity() > 1))
    }

    /// Gives queued messages to workers as long as there are both.
    fn dispatch(&mut self, now: Instant) {
        self.now = now;
        if self.stopped {
            return;
        }
        self.dispatcher.accounts.revive();
        while let Some(task) = self.dispatcher.accounts.next_queued() {
            if self.dispatcher.spent(task, self.config.attempts) {
                self.bury(now, task);
                continue;
            }
            let Some(worker) = self.dispatcher.next_worker() else { return };
            if self.dispatcher.tasks[task].deadline.is_some_and(|deadline| deadline <= now) {
                self.counters.deadline_exceeded += 1;
                self.give_up(now, task, Status::DeadlineExceeded, "the deadline passed before a worker was free");
            } else {
                self.dispatcher.assign(now, task, worker);
            }
        }
    }

    /// A message that was lost with too many workers.
    fn bury(&mut self, now: Instant, task: u32) {
        self.counters.dead_letters += 1;
        let entry = &self.dispatcher.tasks[task];
        let view = MessageRef::parse(entry.message.as_slice());
        let name = |text: Result<&str, _>| label(text.unwrap_or_default());
        self.events.push(Event::DeadLetter {
            task: self.dispatcher.id(task),
            client: name(view.as_ref().map(|view| view.client)),
            function: name(view.as_ref().map(|view| view.function)),
            attempts: entry.failures,
        });
        self.give_up(now, task, Status::DeadLetter, "every worker that was given the message was lost with it");
    }

    /// Answers a message with a failure, wherever it is.
    fn give_up(&mut self, now: Instant, task: u32, status: Status, text: &str) {
        let entry = &self.dispatcher.tasks[task];
        let sender = entry.sender;
        let message = MessageRef::parse(entry.message.as_slice()).ok();
        let Some(message) = message.and_then(|view| failure::<S::Buffer>(&view, status, text)) else {
            // Only a client id that a small buffer cannot hold beside the failure comes to this.
            let entry = self.dispatcher.finish(now, task, false);
            self.dispatcher.accounts.remove_task(sender, entry.message.footprint());
            return;
        };
        let topic = RawMessage::parse(message.as_slice()).map_or(0..0, |view| view.client_place());
        self.complete(now, task, 0, message, topic, sender);
    }

    /// A live task is answered by `message`, in `attempt` (0: by ourselves, and no attempt's answer counts any more).
    fn complete(
        &mut self,
        now: Instant,
        index: u32,
        attempt: u32,
        message: Span<S::Buffer>,
        topic: core::ops::Range<u32>,
        sender: u32,
    ) {
        let id = self.dispatcher.id(index);
        let task = self.dispatcher.finish(now, index, attempt != 0);
        if task.attempt > 1 || attempt != 1 {
            self.finished.insert(Finished { task: id, attempt, taken_from: task.taken_from() });
        }
        self.publish(now, message, topic, sender);
        self.dispatcher.accounts.remove_task(sender, task.message.footprint());
        // What this sets in motion must find the result in the place that was set aside for it.
        if attempt != 0 {
            self.resume(now, id, attempt, task.taken_from());
        }
    }

    fn publish(&mut self, now: Instant, message: Span<S::Buffer>, topic: core::ops::Range<u32>, sender: u32) {
        // The result itself is in none of the tables at this moment, and takes one place.
        let spare = self.room().saturating_sub(1);
        let accounts = &mut self.dispatcher.accounts;
        let charge = |sender, footprint| accounts.add_result(sender, footprint);
        match self.results.publish(now, Publication { message, topic, sender }, charge, spare) {
            Ok(copies_dropped) => self.counters.copies_dropped += copies_dropped,
            Err(lost) => {
                // Room was set aside; only a topic that a small buffer cannot hold comes to this.
                self.dispatcher.accounts.remove_result(sender, lost.message.footprint());
                self.counters.expired += 1;
            }
        }
    }

    fn resume(&mut self, now: Instant, task: TaskId, attempt: u32, taken_from: Option<Taken>) {
        if let Some(worker) = self.dispatcher.resume(task, attempt, taken_from) {
            self.events.push(Event::WorkerBack { worker });
            self.dispatch(now);
        }
    }
}
