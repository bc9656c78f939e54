//! Answers come in, as messages or in parts.

use crate::buffer::Span;
use crate::message::{ParseError, RawMessage, Status, TaskId, copy_without, field};
use crate::time::Instant;

use super::accounts::NOBODY;
use super::dispatch::Whereabouts;
use super::event::Event;
use super::identity::Identity;
use super::journal::{Journal as _, Record};
use super::machine::Master;
use super::origin::{Note, ResultKind};
use super::output::Tags;
use super::reply::{Body, Reply};
use super::results::Publication;
use super::storage::MasterStorage;
use super::submit::{NotTaken, Refusal};
use super::worker::WorkerId;

/// What an answer ends.
enum Ends {
    /// This live task.
    Task(u32),
    /// No task that is known to wait: it is a further result, or of something that did not come from here. It goes home.
    NoTask,
    /// Nothing, and it does not go home either.
    Nothing,
}

impl<S: MasterStorage> Master<S> {
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

    /// Takes an answer that came over a connection of no identity: see [`handle_result_of`](Self::handle_result_of).
    ///
    /// # Errors
    /// If there is no room for it, or it is no message.
    pub fn handle_result(&mut self, now: Instant, message: Span<S::Buffer>) -> Result<(), NotTaken<S::Buffer>> {
        self.handle_result_of(now, Identity::NONE, message)
    }

    /// Takes an answer of a worker, over a connection of this identity. For the attempt that was sent out last it counts only if the
    /// identities tell of no other worker; who answers an earlier one has shown by the task's name that it was sent it. O(1), and O(subscribers) for a topic that several have subscribed to.
    ///
    /// # Errors
    /// If there is no room for it, or it is no message.
    pub fn handle_result_of(
        &mut self,
        now: Instant,
        answerer: Identity,
        mut message: Span<S::Buffer>,
    ) -> Result<(), NotTaken<S::Buffer>> {
        let mut view = RawMessage::unread(message.as_slice());
        if let Err(error) = self.read_answer(&mut view) {
            return Err(self.refuse_answer(message, error.offset));
        }
        if view.is_partial() {
            // Over this connection an answer ends its task: it must not say that the task goes on.
            return self.handle_last_result(now, answerer, message);
        }
        let attempt = view.attempt().max(1);
        let (untagged, unmarked) = (view.untagged_len(), view.unmarked_len());
        let topic = view.client_place();
        let payload = view.payload_place();
        let payload = payload.start as u32..payload.end as u32;
        let is_done = view.status() == Status::Done;
        let task = match self.ends(now, &view, attempt, answerer) {
            Ends::Task(index) => index,
            Ends::Nothing => return Ok(()),
            Ends::NoTask => {
                if let Err(reason) = self.admit_beside_tasks(message.len(), view.task().is_some()) {
                    return Err(NotTaken { reason, message });
                }
                message.truncate(untagged);
                self.publish(now, Publication { message, topic, sender: NOBODY, note: Note::NONE });
                return Ok(());
            }
        };
        // The UUID that the master put into the `cache` field is of no use at home.
        let made_cache = self.dispatcher.tasks[task].wants_cache && !self.config.pipelined;
        message.truncate(if made_cache { unmarked } else { untagged });
        self.counters.answered += 1;
        self.end_passed_over(now, task);
        let (sender, origin) = (self.dispatcher.tasks[task].sender, self.dispatcher.tasks[task].origin);
        let note =
            if is_done { Note { origin, kind: ResultKind::Done, payload } } else { Note { origin, ..Note::NONE } };
        self.complete(now, task, attempt, Publication { message, topic, sender, note });
        self.dispatch(now);
        Ok(())
    }

    /// Finds out what an answer ends. What ends nothing and does not go home has been dealt with, and counted, on return.
    #[inline]
    fn ends(&mut self, now: Instant, answer: &RawMessage<'_>, attempt: u32, answerer: Identity) -> Ends {
        let handed_back = answer.status() == Status::HandedBack;
        match answer.task().map(|task| (task, self.dispatcher.locate(task))) {
            Some((_, Whereabouts::Live(index))) if !self.may_be_of(index, attempt, answerer, answer.client()) => {
                self.counters.disbelieved += 1;
                Ends::Nothing
            }
            Some((_, Whereabouts::Live(index))) if handed_back && self.dispatcher.is_out(index, attempt) => {
                self.counters.handed_back += 1;
                self.dispatcher.hand_back(now, index);
                self.dispatch(now);
                Ends::Nothing
            }
            _ if handed_back => {
                self.counters.duplicates += 1;
                Ends::Nothing
            }
            Some((_, Whereabouts::Live(index))) => Ends::Task(index),
            Some((task, Whereabouts::Gone)) => match self.finished.find(task) {
                Some(known) if known.attempt != attempt => {
                    let taken_from = known.taken_from;
                    self.counters.duplicates += 1;
                    self.resume(now, task, attempt, taken_from);
                    Ends::Nothing
                }
                _ => Ends::NoTask,
            },
            None => Ends::NoTask,
        }
    }

    /// Whether an answer that ends no task is let in. One slot for each live task is set aside: it takes one of the others.
    fn admit_beside_tasks(&mut self, len: usize, is_further: bool) -> Result<(), Refusal> {
        if self.room() == 0 {
            return Err(Refusal::Full);
        }
        if !self.may_take_stray(len) {
            return Err(Refusal::Stray);
        }
        if is_further {
            self.counters.additional += 1;
        } else {
            self.counters.unmatched += 1;
        }
        Ok(())
    }

    /// Ends the tasks whose answers the worker of this one has passed over.
    #[inline]
    fn end_passed_over(&mut self, now: Instant, index: u32) {
        while let Some(passed_over) = self.dispatcher.passed_over(index) {
            self.counters.silent += 1;
            let attempt = self.dispatcher.tasks[passed_over].attempt;
            let (id, task) = (self.dispatcher.id(passed_over), self.dispatcher.finish(now, passed_over, attempt));
            self.journal.record(Record::Ended { task: id });
            self.dispatcher.accounts.remove_task(task.sender, task.message.footprint());
        }
    }

    /// Takes an answer that says it is one of several, after removing its *partial* field.
    #[cold]
    #[inline(never)]
    fn handle_last_result(
        &mut self,
        now: Instant,
        answerer: Identity,
        message: Span<S::Buffer>,
    ) -> Result<(), NotTaken<S::Buffer>> {
        match copy_without(message.as_slice(), &[field::PARTIAL]).map(Span::whole) {
            // What may be offered again is the message as it came.
            Some(last) => {
                let taken = self.handle_result_of(now, answerer, last);
                taken.map_err(|NotTaken { reason, .. }| NotTaken { reason, message })
            }
            None => Err(self.refuse_answer(message, 0)),
        }
    }

    /// An answer that is no message, or of which there can be no copy.
    #[cold]
    fn refuse_answer(&mut self, message: Span<S::Buffer>, offset: usize) -> NotTaken<S::Buffer> {
        self.counters.malformed_results += 1;
        self.events.push(Event::Malformed { offset });
        NotTaken { reason: Refusal::Malformed, message }
    }

    /// Whether an answer can be of this task: somebody was sent it as this attempt, who may be the one that answers; and, where the
    /// transport of its client tells whose it is, the answer is for the same client.
    #[inline]
    fn may_be_of(&self, index: u32, attempt: u32, answerer: Identity, client: &[u8]) -> bool {
        let task = &self.dispatcher.tasks[index];
        self.dispatcher.may_answer(index, attempt, answerer) && (!task.origin.is_some() || task.client() == client)
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

    /// Takes an answer of a worker whose connection says which task it is of: the message that goes home is made of the task's own
    /// and `payload`, or, with a status other than [`Status::Done`], that status and `text`. `last`: it is the only one, or the last of
    /// several; those before it go home with the PARTIAL field, and the worker keeps the task, and its lease begins again. As with
    /// [`handle_result`](Self::handle_result), the first answer ends a task, whichever attempt it is of; parts are taken only
    /// from who has the task. What is not taken is counted and dropped. O(1), and O(subscribers).
    ///
    /// Ask [`may_answer`](Self::may_answer) first.
    ///
    /// # Errors
    /// [`Refusal::Full`] if there is no room for one of several results: offer it again later.
    #[expect(clippy::too_many_arguments, reason = "they are what an answer consists of")]
    pub fn handle_answer(
        &mut self,
        now: Instant,
        worker: WorkerId,
        task: TaskId,
        attempt: u32,
        status: Status,
        payload: &[u8],
        text: &str,
        last: bool,
    ) -> Result<(), Refusal> {
        let attempt = attempt.max(1);
        let from = self.dispatcher.find(worker);
        if let Some(from) = from {
            self.on_heard(from);
        }
        let live = match self.dispatcher.locate(task) {
            Whereabouts::Live(index) => Some((index, &self.dispatcher.tasks[index])),
            Whereabouts::Gone => None,
        };
        let has_it = live.is_some_and(|(_, entry)| entry.attempt == attempt && Some(entry.worker) == from);
        let is_part = !last && status == Status::Done;
        match live {
            Some((index, _)) if has_it && status == Status::HandedBack => {
                self.counters.handed_back += 1;
                self.dispatcher.hand_back(now, index);
            }
            Some((index, _)) if has_it && is_part => self.pass_part(now, index, payload)?,
            Some((index, entry)) if !is_part && status != Status::HandedBack => {
                let body = if status == Status::Done { Body::Result(payload) } else { Body::Failure(status, text) };
                let reply = Reply::new(entry, body);
                self.counters.answered += 1;
                match reply {
                    Some(reply) => self.complete_with(now, index, attempt, reply),
                    None => self.give_up(now, index, Status::Failed, "the result is longer than its master can hold"),
                }
            }
            Some(_) | None => {
                self.counters.duplicates += 1;
                if let (Some(worker), Status::HandedBack) = (from, status) {
                    self.dispatcher.give_no_more(worker);
                }
            }
        }
        self.dispatch(now);
        Ok(())
    }

    /// A worker has handed back what is not its any more: like any that hands back, it is given nothing before it asks for more.
    pub(crate) fn give_no_more(&mut self, worker: WorkerId) {
        if let Some(worker) = self.dispatcher.find(worker) {
            self.dispatcher.give_no_more(worker);
        }
    }

    /// One of several results of a task that goes on.
    fn pass_part(&mut self, now: Instant, index: u32, payload: &[u8]) -> Result<(), Refusal> {
        // One place for each live task is set aside: this one takes another.
        if self.room() == 0 && self.results.len() > 0 {
            return Err(Refusal::Full);
        }
        let entry = &self.dispatcher.tasks[index];
        let worker = entry.worker;
        let message = Reply::new(entry, Body::Part(payload)).and_then(|reply| reply.beside(entry));
        self.dispatcher.renew_lease(now, worker);
        match message {
            Some(part) if self.room() > 0 => {
                self.counters.partials += 1;
                self.publish(now, part);
            }
            // There is one place in all, or the buffers are small: then there are no parts.
            Some(_) | None => self.counters.duplicates += 1,
        }
        Ok(())
    }
}
