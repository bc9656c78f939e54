//! How a message comes to its end: answered, or given up.

use crate::message::{MessageRef, RawMessage, Status, TaskId};
use crate::time::Instant;

use super::event::{Event, label};
use super::failure::failure;
use super::finished::Finished;
use super::journal::{Journal as _, Record};
use super::machine::Master;
use super::origin::Note;
use super::reply::Reply;
use super::results::Publication;
use super::storage::MasterStorage;
use super::task::{Taken, Task};

impl<S: MasterStorage> Master<S> {
    /// A message that was lost with too many workers.
    pub(super) fn bury(&mut self, now: Instant, task: u32) {
        self.counters.dead_letters += 1;
        let entry = &self.dispatcher.tasks[task];
        let view = MessageRef::parse(entry.message.as_slice());
        let name = |text: Result<&str, _>| label(text.unwrap_or_default());
        self.events.push(Event::DeadLetter {
            task: self.dispatcher.id(task),
            client: name(view.as_ref().map(|view| view.client)),
            function: name(view.as_ref().map(|view| view.function)),
            attempts: entry.losses,
        });
        self.give_up(now, task, Status::DeadLetter, "every worker that was given the message was lost with it");
    }

    /// A message whose deadline has passed.
    pub(super) fn exceed(&mut self, now: Instant, task: u32) {
        self.counters.deadline_exceeded += 1;
        self.give_up(now, task, Status::DeadlineExceeded, "the deadline passed before the message was done");
    }

    /// Answers a message with a failure, wherever it is.
    pub(super) fn give_up(&mut self, now: Instant, task: u32, status: Status, text: &str) {
        let entry = &self.dispatcher.tasks[task];
        let sender = entry.sender;
        let message = MessageRef::parse(entry.message.as_slice()).ok();
        let Some(message) = message.and_then(|view| failure::<S::Buffer>(&view, status, text)) else {
            // Only a client id that a small buffer cannot hold beside the failure comes to this.
            return self.take_out(now, task);
        };
        let topic = RawMessage::parse(message.as_slice()).map_or(0..0, |view| view.client_place());
        let note = Note { origin: self.dispatcher.tasks[task].origin, ..Note::NONE };
        self.complete(now, task, 0, Publication { message, topic, sender, note });
    }

    /// Takes a message out, wherever it is, without an answer.
    pub(super) fn take_out(&mut self, now: Instant, task: u32) {
        let entry = self.finish(now, task, 0);
        self.dispatcher.accounts.remove_task(entry.sender, entry.message.footprint());
    }

    /// A live task is answered by `answer`, in `attempt` (0: by ourselves, and no attempt's answer counts any more).
    pub(super) fn complete(&mut self, now: Instant, index: u32, attempt: u32, answer: Publication<S::Buffer>) {
        let (id, sender) = (self.dispatcher.id(index), answer.sender);
        let task = self.finish(now, index, attempt);
        self.publish(now, answer);
        self.dispatcher.accounts.remove_task(sender, task.message.footprint());
        // What this sets in motion must find the result in the place that was set aside for it.
        if attempt != 0 {
            self.resume(now, id, attempt, task.taken_from);
        }
    }

    /// A live task is answered in `attempt`, by what is made of its own message.
    #[inline]
    pub(super) fn complete_with(&mut self, now: Instant, index: u32, attempt: u32, reply: Reply<'_>) {
        let id = self.dispatcher.id(index);
        let task = self.finish(now, index, attempt);
        let (sender, footprint, taken_from) = (task.sender, task.message.footprint(), task.taken_from);
        if let Some(answer) = reply.made_of(task) {
            self.publish(now, answer);
        }
        self.dispatcher.accounts.remove_task(sender, footprint);
        self.resume(now, id, attempt, taken_from);
    }

    /// Takes a task out, wherever it is, and notes which attempt was accepted.
    #[inline(always)]
    fn finish(&mut self, now: Instant, index: u32, attempt: u32) -> Task<S::Buffer> {
        let id = self.dispatcher.id(index);
        let task = self.dispatcher.finish(now, index, attempt);
        self.journal.record(Record::Ended { task: id });
        // To what nobody was sent there comes no answer.
        if task.attempt > 1 || attempt != 1 && task.attempt != 0 {
            self.finished.insert(Finished { task: id, attempt, taken_from: task.taken_from });
        }
        task
    }

    pub(super) fn publish(&mut self, now: Instant, answer: Publication<S::Buffer>) {
        // The result itself is in none of the tables at this moment, and takes one place.
        let spare = self.room().saturating_sub(1);
        let (results, mut ledger) = self.results_at(now);
        if results.publish(&mut ledger, answer, spare).is_err() {
            // Room was set aside; only a topic that a small buffer cannot hold comes to this.
            self.counters.expired += 1;
        }
    }

    pub(super) fn resume(&mut self, now: Instant, task: TaskId, attempt: u32, taken_from: Option<Taken>) {
        if let Some(worker) = self.dispatcher.resume(task, attempt, taken_from) {
            self.events.push(Event::WorkerBack { worker });
            self.dispatch(now);
        }
    }
}
