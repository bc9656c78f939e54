//! [`Master`] itself: what all have in common who come to it, and what time brings.

use core::fmt;
use core::time::Duration;

use crate::buffer::Span;
use crate::hash::KeyedHash;
use crate::message::Status;
use crate::random::{Random, Seed};
use crate::time::Instant;

use super::accounts::{NOBODY, SenderId};
use super::dispatch::Dispatcher;
use super::event::{Event, Events, label};
use super::finished::FinishedBook;
use super::results::{Expiry, Ledger, Results};
use super::revoked::{REVOCATIONS, Revoked};
use super::storage::{MasterStorage, Tables};
use super::{Counters, Gauges, MasterConfig};

/// Time after which further senders that are held back are looked at if nothing else happens.
const HELD_BACK_TURN: Duration = Duration::from_millis(20);
/// Results looked at in one call of [`Master::handle_timeout`].
const EXPIRIES_A_CALL: usize = 256;
/// Leases that run out in one call of it.
const LEASES_A_CALL: usize = 16;

/// A master (`docs/spec.md`, section 5).
#[derive(Debug)]
pub struct Master<S: MasterStorage> {
    pub(super) config: MasterConfig,
    pub(super) dispatcher: Dispatcher<S>,
    pub(super) finished: FinishedBook<S::Finished, S::FinishedPlaces>,
    pub(super) results: Results<S>,
    pub(super) journal: S::Journal,
    pub(super) random: Random,
    pub(super) events: Events<S::Events>,
    pub(super) counters: Counters,
    /// No message is given out any more.
    pub(super) stopped: bool,
    /// The last time that was told.
    pub(super) now: Instant,
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

impl<S: MasterStorage> Master<S> {
    /// A master with its tables, all empty. `seed` must differ from run to run: task ids, UUIDs and hashes hang on it.
    ///
    /// # Errors
    /// If the name is longer than a message buffer.
    pub fn new(name: &str, config: MasterConfig, tables: Tables<S>, seed: Seed) -> Result<Self, NameTooLong> {
        let random = Random::new(seed.derive("master"));
        let mut results = Results::new(
            tables.deliveries,
            tables.subscribers,
            tables.subscriptions,
            tables.subscription_places,
            tables.lengths,
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
            dispatcher: Dispatcher::new(
                tables.tasks,
                tables.workers,
                tables.senders,
                tables.deadlines,
                tables.departures,
                seed,
                &config,
            ),
            finished: FinishedBook::new(tables.finished, tables.finished_places),
            results,
            journal: tables.journal,
            random,
            events: Events::default(),
            counters: Counters::default(),
            stopped: false,
            now: Instant::ZERO,
        })
    }

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

    /// A task that a worker was sent and that is not its any more, though its connection is there. Call until `None` after each
    /// call that takes `now`: the queue holds 32.
    pub fn poll_revoked(&mut self) -> Option<Revoked> {
        self.dispatcher.revocations.pop()
    }

    /// Tasks that were taken from workers and found no room in the queue of those: what these do is in vain.
    pub fn revocations_missed(&self) -> u64 {
        self.dispatcher.revocations.missed()
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called; `None`: nothing is pending. O(1).
    pub fn poll_timeout(&self) -> Option<Instant> {
        // Of many senders that are held back only some are looked at in a call: time brings the others their turn.
        let held_back = self.dispatcher.accounts.holds_back().then(|| self.now + HELD_BACK_TURN);
        let deadline = self.dispatcher.deadline();
        let doubt = self.dispatcher.doubt_timeout(self.now);
        [self.dispatcher.lease_timeout(), self.results.timeout(), held_back, deadline, doubt]
            .into_iter()
            .flatten()
            .min()
    }

    /// Gives messages up whose deadlines have passed, or whose last workers have not come back, takes back what hung workers hold, and
    /// drops results that nobody took in time. Harmless when early. Looks at 32 deadlines, 32 of those messages, 16 leases and 256 results at most; [`poll_timeout`](Self::poll_timeout)
    /// is in the past if there are more.
    pub fn handle_timeout(&mut self, now: Instant) {
        // As many as can be revoked at a time.
        for _ in 0..REVOCATIONS {
            let Some(task) = self.dispatcher.overdue(now) else { break };
            self.exceed(now, task);
        }
        for _ in 0..REVOCATIONS {
            let Some(task) = self.dispatcher.no_longer_doubted(now) else { break };
            self.bury(now, task);
        }
        for _ in 0..LEASES_A_CALL {
            let Some((worker, held)) = self.dispatcher.expire_lease(now) else { break };
            if held == 0 {
                continue;
            }
            self.counters.leases_expired += 1;
            self.counters.redispatched += held as u64;
            self.events.push(Event::LeaseExpired { worker, held });
        }
        for _ in 0..EXPIRIES_A_CALL {
            let (results, mut ledger) = self.results_at(now);
            match results.expire(&mut ledger) {
                Expiry::None => break,
                Expiry::Kept => {}
                Expiry::Dropped(delivery) => {
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

    /// Who is told of all that happens.
    pub fn journal(&mut self) -> &mut S::Journal {
        &mut self.journal
    }

    /// What it has done.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes that it holds, as counted against [`MasterConfig::memory`].
    pub fn memory(&self) -> u64 {
        self.committed() + self.dispatcher.accounts.spare()
    }

    /// The same without copies of results that give way when room is needed.
    pub(crate) fn committed(&self) -> u64 {
        self.dispatcher.accounts.used()
    }

    /// What it holds.
    pub fn gauges(&self) -> Gauges {
        let queued = self.dispatcher.accounts.queued();
        Gauges {
            queued,
            leased: self.dispatcher.tasks.len() - queued,
            results: self.results.len(),
            spare: self.results.spares(),
            memory: self.memory(),
            workers: self.dispatcher.workers.len(),
            subscribers: self.results.subscribers(),
        }
    }

    /// Counts bytes that a caller holds on this master's behalf (a message that has come in part, bytes on their way out), on
    /// a sender's account if it is that sender's doing.
    pub fn reserve(&mut self, sender: Option<SenderId>, bytes: usize) {
        self.dispatcher.accounts.reserve(sender.map_or(NOBODY, |sender| sender.0), bytes as u64);
        self.make_room();
    }

    /// Lets copies of results give way that are beyond what is free now.
    #[inline]
    pub(super) fn make_room(&mut self) {
        let (results, mut ledger) = self.results_at(self.now);
        results.make_room(&mut ledger);
    }

    /// The results, and what goes with a change to them.
    #[inline]
    pub(super) fn results_at(&mut self, now: Instant) -> (&mut Results<S>, Ledger<'_, S>) {
        let ledger = Ledger {
            now,
            journal: &mut self.journal,
            accounts: &mut self.dispatcher.accounts,
            copies_dropped: &mut self.counters.copies_dropped,
            kept_dropped: &mut self.counters.kept_dropped,
        };
        (&mut self.results, ledger)
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
    pub(super) fn room(&self) -> usize {
        self.results.capacity() - (self.results.len() + self.dispatcher.tasks.len()).min(self.results.capacity())
    }

    /// Further messages that may come in: one place is left to a result beside those that are set aside, for messages with
    /// several.
    pub(super) fn room_for_messages(&self) -> usize {
        self.room().saturating_sub(usize::from(self.results.capacity() > 1))
    }

    /// Gives queued messages to workers as long as there are both.
    pub(super) fn dispatch(&mut self, now: Instant) {
        self.now = now;
        if self.stopped {
            return;
        }
        self.dispatcher.accounts.revive();
        if self.dispatcher.accounts.keeps_apart() {
            self.dispatch_apart(now);
        }
        while let Some(task) = self.dispatcher.accounts.next_queued() {
            let Some(worker) = self.dispatcher.next_worker() else { return };
            if self.dispatcher.tasks[task].deadline.is_some_and(|deadline| deadline <= now) {
                self.exceed(now, task);
            } else {
                self.dispatcher.assign(now, task, worker);
            }
        }
    }

    /// Gives messages that are kept apart to workers that hold nothing, as long as there are both, and gives those up that have been
    /// lost with too many.
    #[cold]
    fn dispatch_apart(&mut self, now: Instant) {
        while let Some(task) = self.dispatcher.accounts.next_apart() {
            if self.dispatcher.tasks[task].spent {
                self.bury(now, task);
                continue;
            }
            let Some(worker) = self.dispatcher.next_idle_worker() else { return };
            if !self.dispatcher.accounts.may_dispatch(self.dispatcher.tasks[task].sender) {
                return;
            }
            if self.dispatcher.tasks[task].deadline.is_some_and(|deadline| deadline <= now) {
                self.exceed(now, task);
            } else {
                self.dispatcher.assign_apart(now, task, worker);
            }
        }
    }
}
