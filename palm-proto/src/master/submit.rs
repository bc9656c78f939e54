//! Messages come in, are claimed by workers that have them already, and are wanted no more.

use core::time::Duration;

use crate::buffer::Span;
use crate::message::{PRIORITY_MAX, RawMessage, Status, TaskId, copy_without, field, is_addressed};
use crate::time::Instant;

use super::accounts::SenderId;
use super::dispatch::Whereabouts;
use super::event::Event;
use super::journal::{Journal as _, Record};
use super::machine::Master;
use super::origin::{Prepared, Unfit};
use super::storage::MasterStorage;
use super::task::Task;
use super::worker::WorkerId;

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

/// Whether a message that came in is for a worker to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    ToDo,
    /// It names no function.
    Unaddressed,
    /// Its deadline has passed.
    Late,
    /// Its transport could not keep it.
    Unfit(Unfit),
}

impl<S: MasterStorage> Master<S> {
    /// Adds a connection over which messages come in; `None` if there is no room for one.
    pub fn add_sender(&mut self) -> Option<SenderId> {
        if self.dispatcher.accounts.is_full() {
            let (results, mut ledger) = self.results_at(self.now);
            results.drop_parked(&mut ledger);
        }
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

    /// How many messages of `len` bytes may come from this sender, if nobody else sends any. As many results are expected.
    pub fn room_for(&self, sender: SenderId, len: usize) -> usize {
        if !self.may_submit(sender, len) {
            return 0;
        }
        let (room, free) = (self.room_for_messages(), self.dispatcher.tasks.capacity() - self.dispatcher.tasks.len());
        self.dispatcher.accounts.room_for(sender, len as u64, room).max(1).min(free)
    }

    /// Whether there is a place for a message, of which the bytes have been counted with [`reserve`](Self::reserve).
    pub fn has_place(&self) -> bool {
        self.room_for_messages() > 0 && !self.dispatcher.tasks.is_full()
    }

    /// Takes a message from a client; its task. O(1), and O(log n) if it has a deadline.
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
    ) -> Result<TaskId, NotTaken<S::Buffer>> {
        let (task, fate) = self.take_in(now, sender, message)?;
        Ok(self.place(now, sender, task, fate))
    }

    /// The same for a message that its transport has put together itself.
    pub(crate) fn handle_submit_prepared(
        &mut self,
        now: Instant,
        sender: SenderId,
        message: Span<S::Buffer>,
        prepared: &Prepared,
    ) -> Result<TaskId, NotTaken<S::Buffer>> {
        let (task, fate) = self.take_prepared(now, sender, message, prepared)?;
        Ok(self.place(now, sender, task, fate))
    }

    /// Puts a message that was taken in to where it is to be.
    #[inline(always)]
    fn place(&mut self, now: Instant, sender: SenderId, task: u32, fate: Fate) -> TaskId {
        let id = self.dispatcher.id(task);
        if fate == Fate::ToDo
            && !self.stopped
            && let Some(worker) = self.dispatcher.idle_worker(sender.0)
        {
            // Nothing waits, so that there is no turn to wait for.
            self.now = now;
            self.dispatcher.give(now, task, worker);
            return id;
        }
        self.dispatcher.enqueue(task);
        self.settle(now, task, fate);
        self.dispatch(now);
        id
    }

    /// Takes a message from a client that `worker` says it is doing already: it was sent it as this `attempt` before the master
    /// was started anew. The worker has it from then on, beyond its window if need be. If that worker is not there, this is
    /// [`handle_submit`](Self::handle_submit). O(log n).
    ///
    /// # Errors
    /// If there is no room for it, or it is no message.
    pub fn handle_submit_held(
        &mut self,
        now: Instant,
        sender: SenderId,
        message: Span<S::Buffer>,
        worker: WorkerId,
        attempt: u32,
    ) -> Result<TaskId, NotTaken<S::Buffer>> {
        let (task, fate) = self.take_in(now, sender, message)?;
        Ok(self.place_held(now, task, fate, worker, attempt))
    }

    /// The same for a message that its transport has put together itself.
    pub(crate) fn handle_prepared_held(
        &mut self,
        now: Instant,
        sender: SenderId,
        message: Span<S::Buffer>,
        prepared: &Prepared,
        (worker, attempt): (WorkerId, u32),
    ) -> Result<TaskId, NotTaken<S::Buffer>> {
        let (task, fate) = self.take_prepared(now, sender, message, prepared)?;
        Ok(self.place_held(now, task, fate, worker, attempt))
    }

    fn place_held(&mut self, now: Instant, task: u32, fate: Fate, worker: WorkerId, attempt: u32) -> TaskId {
        let id = self.dispatcher.id(task);
        match self.dispatcher.find(worker) {
            Some(worker) => self.hold(now, task, worker, attempt),
            None => self.dispatcher.enqueue(task),
        }
        self.settle(now, task, fate);
        self.dispatch(now);
        id
    }

    /// A worker says that it is doing a task still, which it was sent as this `attempt`: it has it from then on, beyond its window
    /// if need be. Whether that is so: not if the task is done, another has been sent it and may have it, it has been sent to
    /// others since, or it has been lost too often. O(1).
    pub fn claim(&mut self, now: Instant, task: TaskId, worker: WorkerId, attempt: u32) -> bool {
        let (Whereabouts::Live(index), Some(worker)) = (self.dispatcher.locate(task), self.dispatcher.find(worker))
        else {
            return false;
        };
        if !self.dispatcher.unqueue_for(now, index, attempt, worker) {
            return false;
        }
        self.hold(now, index, worker, attempt);
        self.dispatch(now);
        true
    }

    /// Its client wants a message no more: it is given up, wherever it is, and answered with [`Status::Cancelled`]. Whether it
    /// was live. O(log n).
    pub fn cancel(&mut self, now: Instant, task: TaskId) -> bool {
        let Whereabouts::Live(index) = self.dispatcher.locate(task) else { return false };
        self.counters.cancelled += 1;
        self.give_up(now, index, Status::Cancelled, "its client wanted the message no more");
        self.dispatch(now);
        true
    }

    /// Who sent a message is gone for good: it is taken out, wherever it is, and nobody is answered. Whether it was live. O(log n).
    pub fn forget(&mut self, now: Instant, task: TaskId) -> bool {
        let Whereabouts::Live(index) = self.dispatcher.locate(task) else { return false };
        self.counters.cancelled += 1;
        self.take_out(now, index);
        self.dispatch(now);
        true
    }

    /// Takes a message in, which is in no list then. Its place, and what is to become of it.
    // Not inlined, as one with forged fields comes here a second time.
    #[inline]
    fn take_in(
        &mut self,
        now: Instant,
        sender: SenderId,
        message: Span<S::Buffer>,
    ) -> Result<(u32, Fate), NotTaken<S::Buffer>> {
        let mut view = RawMessage::unread(message.as_slice());
        if let Err(error) = view.read_all() {
            self.counters.malformed += 1;
            self.events.push(Event::Malformed { offset: error.offset });
            return Err(NotTaken { reason: Refusal::Malformed, message });
        }
        if self.room_for_messages() == 0 || self.dispatcher.tasks.is_full() {
            return Err(NotTaken { reason: Refusal::Full, message });
        }
        if view.is_marked() {
            return self.take_in_unmarked(now, sender, message);
        }
        let deadline = view.deadline().map(|millis| now + Duration::from_millis(millis));
        let wants_cache = view.cache().is_empty();
        let fate = match is_addressed(view.function(), view.stage) {
            false => Fate::Unaddressed,
            true if deadline.is_some_and(|deadline| deadline <= now) => Fate::Late,
            true => Fate::ToDo,
        };
        let (opening, priority) = (view.opening(), view.priority());
        let payload = view.payload_place();
        let payload = (payload.start as u32, payload.end as u32);
        let task = Task { opening, payload, deadline, priority, wants_cache, ..Task::new(message, sender.0) };
        self.admit(task, fate)
    }

    /// The same for a message with fields that a client may not set, without those: nobody is to take what it says in them for the
    /// word of a master or a worker.
    #[cold]
    #[inline(never)]
    fn take_in_unmarked(
        &mut self,
        now: Instant,
        sender: SenderId,
        message: Span<S::Buffer>,
    ) -> Result<(u32, Fate), NotTaken<S::Buffer>> {
        match copy_without(message.as_slice(), &field::OF_MASTERS).map(Span::whole) {
            Some(clean) => {
                self.counters.unmarked += 1;
                // What may be offered again is the message as it came.
                self.take_in(now, sender, clean).map_err(|NotTaken { reason, .. }| NotTaken { reason, message })
            }
            None => {
                self.counters.malformed += 1;
                self.events.push(Event::Malformed { offset: 0 });
                Err(NotTaken { reason: Refusal::Malformed, message })
            }
        }
    }

    #[inline(always)]
    fn take_prepared(
        &mut self,
        now: Instant,
        sender: SenderId,
        message: Span<S::Buffer>,
        prepared: &Prepared,
    ) -> Result<(u32, Fate), NotTaken<S::Buffer>> {
        if self.room_for_messages() == 0 || self.dispatcher.tasks.is_full() {
            return Err(NotTaken { reason: Refusal::Full, message });
        }
        let fate = match (prepared.unfit, prepared.is_addressed) {
            (Some(unfit), _) => Fate::Unfit(unfit),
            (None, false) => Fate::Unaddressed,
            (None, true) if prepared.deadline == Some(Duration::ZERO) => Fate::Late,
            (None, true) => Fate::ToDo,
        };
        let task = Task {
            opening: prepared.opening,
            payload: (prepared.payload.start, prepared.payload.end),
            origin: prepared.origin,
            deadline: prepared.deadline.map(|deadline| now + deadline),
            priority: prepared.priority.min(PRIORITY_MAX),
            wants_cache: !prepared.has_cache,
            ..Task::new(message, sender.0)
        };
        self.admit(task, fate)
    }

    #[inline(always)]
    fn admit(&mut self, task: Task<S::Buffer>, fate: Fate) -> Result<(u32, Fate), NotTaken<S::Buffer>> {
        match self.dispatcher.admit(task) {
            Ok(task) => {
                self.counters.submitted += 1;
                let (id, entry) = (self.dispatcher.id(task), &self.dispatcher.tasks[task]);
                let record = Record::Submitted { task: id, message: &entry.message, deadline: entry.deadline };
                self.journal.record(record);
                self.make_room();
                Ok((task, fate))
            }
            Err(message) => Err(NotTaken { reason: Refusal::Full, message }),
        }
    }

    /// Gives a message up at once that is not to be done.
    fn settle(&mut self, now: Instant, task: u32, fate: Fate) {
        match fate {
            Fate::ToDo => {}
            Fate::Late => self.exceed(now, task),
            Fate::Unaddressed => {
                self.counters.unaddressed += 1;
                let text = "the message names no function: expected server.method";
                self.give_up(now, task, Status::NoSuchFunction, text);
            }
            Fate::Unfit(unfit) => {
                self.counters.unsendable += 1;
                let (status, text) = match unfit {
                    Unfit::TooLong => (Status::TooLong, "the master has no buffer for a message of this length"),
                    Unfit::Name => (Status::Unavailable, "the master has no room for the name of the function"),
                };
                self.give_up(now, task, status, text);
            }
        }
    }

    fn hold(&mut self, now: Instant, task: u32, worker: u32, attempt: u32) {
        self.on_heard(worker);
        self.counters.claimed += 1;
        self.dispatcher.hold(now, task, worker, attempt.max(1));
    }

    /// A worker has shown that it works.
    pub(super) fn on_heard(&mut self, worker: u32) {
        if let Some(worker) = self.dispatcher.heard_of(worker) {
            self.events.push(Event::WorkerBack { worker });
        }
    }
}
