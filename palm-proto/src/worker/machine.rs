//! The worker's state machine.

use core::time::Duration;

use super::answer::{Answer, write_answer};
use super::call::{Call, CallId, Config, Counters, Event, Full, Stop, UnknownCall};
use super::task::{InState, State, Task};
use crate::buffer::Buffer;
#[cfg(feature = "alloc")]
use crate::collections::HeapTable;
use crate::collections::{List, Slab, Slot, Table};
use crate::message::{MessageRef, NoRoom, ParseError, Sink, Status};
use crate::time::Instant;

/// A worker's state: the messages it has, in at most as many entries as its table has.
///
/// A message takes an entry from [`handle_message`](Self::handle_message) until its result has been written by
/// [`poll_transmit`](Self::poll_transmit), so a worker whose results are not taken runs full and takes no more. There are no
/// timers: a message's deadline is looked at when its turn comes.
///
/// Every call takes time in proportion to one message's length, but for [`handle_shutdown`](Self::handle_shutdown), which looks at
/// every message in the queue.
#[derive(Debug)]
pub struct Worker<B, S> {
    tasks: Slab<Task<B>, S>,
    /// Received and not begun, oldest first.
    queued: List<InState>,
    /// Answered and not transmitted, oldest first.
    answered: List<InState>,
    running: u32,
    concurrency: u32,
    stop: Option<Stop>,
    malformed: Option<ParseError>,
    counters: Counters,
}

/// A worker of at most `N` messages that lie in the worker itself.
pub type FixedWorker<B, const N: usize> = Worker<B, heapless::Vec<Slot<Task<B>>, N>>;

/// A worker with its messages on the heap.
#[cfg(feature = "alloc")]
pub type HeapWorker = Worker<bytes::Bytes, HeapTable<Slot<Task<bytes::Bytes>>>>;

impl<B: Buffer, S: Table<Slot<Task<B>>>> Worker<B, S> {
    /// A worker that holds as many messages as `tasks`, an empty table, has capacity.
    pub fn new(config: Config, tasks: S) -> Self {
        Self {
            tasks: Slab::new(tasks),
            queued: List::new(),
            answered: List::new(),
            running: 0,
            concurrency: config.concurrency.max(1),
            stop: None,
            malformed: None,
            counters: Counters::default(),
        }
    }

    /// Whether it can take another message.
    pub fn has_room(&self) -> bool {
        !self.tasks.is_full()
    }

    /// Takes a message as it was received. One that is none is dropped and reported; one that names no function, or comes
    /// while messages are handed back, is answered at once.
    ///
    /// # Errors
    /// If there is no room; the message is given back.
    pub fn handle_message(&mut self, now: Instant, message: B) -> Result<(), Full<B>> {
        let (state, expires) = match MessageRef::parse(message.as_ref()) {
            Err(error) => {
                self.counters.malformed += 1;
                self.malformed = Some(error);
                return Ok(());
            }
            Ok(view) => {
                let expires = view.extension.deadline.map(|millis| now + Duration::from_millis(millis));
                let state = match self.stop {
                    Some(Stop::HandBack) => State::Refused(Status::HandedBack, "the worker is stopping"),
                    _ if view.address().is_none() => {
                        State::Refused(Status::NoSuchFunction, "the message names no function at its stage")
                    }
                    Some(Stop::Finish) | None => State::Queued,
                };
                (state, expires)
            }
        };
        let queued = matches!(state, State::Queued);
        match self.tasks.insert(Task::new(message, expires, state)) {
            Ok(index) => {
                let list = if queued { &mut self.queued } else { &mut self.answered };
                list.push_back(&mut self.tasks, index);
                self.counters.received += 1;
                Ok(())
            }
            Err(task) => Err(Full(task.message)),
        }
    }

    /// The next call to run, if one may begin; look at it with [`call`](Self::call). Call again until `None`.
    pub fn poll_call(&mut self, now: Instant) -> Option<CallId> {
        while self.running < self.concurrency {
            let index = self.queued.pop_front(&mut self.tasks)?;
            let task = self.tasks.get_mut(index)?;
            if task.expires.is_some_and(|at| at <= now) {
                task.state =
                    State::Refused(Status::DeadlineExceeded, "the deadline passed before a worker could begin");
                self.counters.expired += 1;
                self.answered.push_back(&mut self.tasks, index);
                continue;
            }
            task.state = State::Running;
            self.running += 1;
            return self.tasks.generation(index).map(|generation| CallId { index, generation });
        }
        None
    }

    /// What the call that runs is about; `None` if it has been answered.
    pub fn call(&self, id: CallId) -> Option<Call<'_>> {
        let (message, expires) = self.running_task(id).map(|task| (&task.message, task.expires))?;
        let message = MessageRef::parse(message.as_ref()).ok()?;
        Some(Call { method: message.address()?.method, message, expires })
    }

    /// The message of a call that runs, as it was received.
    pub fn message(&self, id: CallId) -> Option<&B> {
        self.running_task(id).map(|task| &task.message)
    }

    /// Ends a call with its answer.
    ///
    /// # Errors
    /// If no such call runs.
    pub fn handle_answer(&mut self, id: CallId, answer: Answer<B>) -> Result<(), UnknownCall> {
        self.running_task(id).ok_or(UnknownCall)?;
        let task = self.tasks.get_mut(id.index).ok_or(UnknownCall)?;
        task.state = State::Answered(answer);
        self.running -= 1;
        self.answered.push_back(&mut self.tasks, id.index);
        Ok(())
    }

    /// Ends a call without an answer: its results have been written with [`write_result`](Self::write_result), or it has none.
    ///
    /// # Errors
    /// If no such call runs.
    pub fn handle_end(&mut self, id: CallId) -> Result<(), UnknownCall> {
        self.running_task(id).ok_or(UnknownCall)?;
        self.running -= 1;
        self.tasks.remove(id.index);
        Ok(())
    }

    /// Writes one of several results of a call, which goes on: what a function that yields does.
    ///
    /// # Errors
    /// If it does not fit, or there is no such call (`None`).
    pub fn write_result<K: Sink>(&mut self, id: CallId, payload: &[u8], sink: &mut K) -> Option<Result<usize, NoRoom>> {
        let view = MessageRef::parse(self.running_task(id)?.message.as_ref()).ok()?;
        let written = write_answer(&view, Answer::Result(payload), sink);
        self.counters.results += u64::from(written.is_ok());
        Some(written)
    }

    /// Writes the next result into `sink`; `None` if there is none.
    ///
    /// # Errors
    /// If it does not fit: what is in the sink then is no message. The next call, with another sink, writes a failure in place
    /// of the result; if not even that fits, the answer is dropped and counted.
    pub fn poll_transmit<K: Sink>(&mut self, sink: &mut K) -> Option<Result<usize, NoRoom>> {
        let index = self.answered.front()?;
        let task = self.tasks.get_mut(index)?;
        let written = match MessageRef::parse(task.message.as_ref()) {
            Ok(view) => write_answer(&view, task.state.answer(), sink),
            Err(_) => Err(NoRoom),
        };
        let refused = matches!(task.state, State::Refused(..));
        let status = match task.state.answer() {
            Answer::Result(_) => Status::Done,
            Answer::Failure(status, _) => status,
        };
        if written.is_err() && !refused {
            task.state = State::Refused(Status::Failed, "the result is too long to be sent");
            return Some(written);
        }
        match (written.is_ok(), status) {
            (false, _) => self.counters.dropped += 1,
            (true, Status::Done) => self.counters.results += 1,
            (true, Status::HandedBack) => self.counters.handed_back += 1,
            (true, _) => self.counters.failures += 1,
        }
        self.answered.remove(&mut self.tasks, index);
        self.tasks.remove(index);
        Some(written)
    }

    /// Whether a result waits to be transmitted.
    pub fn has_transmit(&self) -> bool {
        !self.answered.is_empty()
    }

    /// The next event; call again until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.malformed.take().map(Event::Malformed)
    }

    /// Begins to stop: calls that run go on, what has not begun is dealt with as `stop` says, and so is what comes still.
    /// A second call may change that.
    pub fn handle_shutdown(&mut self, stop: Stop) {
        self.stop = Some(stop);
        if stop == Stop::Finish {
            return;
        }
        while let Some(index) = self.queued.pop_front(&mut self.tasks) {
            if let Some(task) = self.tasks.get_mut(index) {
                task.state = State::Refused(Status::HandedBack, "the worker is stopping");
            }
            self.answered.push_back(&mut self.tasks, index);
        }
    }

    /// Number of messages it has: not begun, running, and answered but not transmitted.
    pub fn held(&self) -> usize {
        self.tasks.len()
    }

    /// Number of calls that run.
    pub fn running(&self) -> usize {
        self.running as usize
    }

    /// Counts since the worker was made.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn running_task(&self, id: CallId) -> Option<&Task<B>> {
        let current = self.tasks.generation(id.index) == Some(id.generation);
        self.tasks.get(id.index).filter(|task| current && matches!(task.state, State::Running))
    }
}
