//! The worker's state machine.

use core::fmt;
use core::time::Duration;

use super::answer::{Answer, write_answer};
use crate::buffer::Buffer;
use crate::message::{MessageRef, NoRoom, ParseError, Sink, Status};
use crate::slots::{Key, List, Slot, Slots};
use crate::time::Instant;

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Number of calls that run at the same time; at least one.
    pub concurrency: u32,
}

/// A worker's state: the messages it has, in at most as many slots as its storage has.
///
/// A message takes a slot from [`handle_message`](Self::handle_message) until its result has been written by
/// [`poll_transmit`](Self::poll_transmit), so a worker whose results are not taken runs full and takes no more. There are no
/// timers: a message's deadline is looked at when its turn comes.
///
/// Every call takes time in proportion to one message's length, but for [`handle_shutdown`](Self::handle_shutdown), which looks at
/// every message in the queue.
#[derive(Debug)]
pub struct Worker<B, S> {
    slots: Slots<Task<B>, S>,
    /// Received and not begun, oldest first.
    queued: List,
    /// Answered and not transmitted, oldest first.
    answered: List,
    running: u32,
    concurrency: u32,
    stop: Option<Stop>,
    malformed: Option<ParseError>,
    counters: Counters,
}

/// One message that a worker has.
#[derive(Debug)]
pub struct Task<B> {
    message: B,
    expires: Option<Instant>,
    state: State<B>,
}

#[derive(Debug)]
enum State<B> {
    Queued,
    Running,
    Answered(Answer<B>),
    /// An answer that needs no bytes of its own.
    Refused(Status, &'static str),
}

/// Names a call that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(Key);

/// What a function is called with.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Name of the function.
    pub method: &'a str,
    /// The message.
    pub message: MessageRef<'a>,
    /// When the client stops waiting, if it said.
    pub expires: Option<Instant>,
}

/// What becomes of the messages that have not begun when a worker stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// They are done; so are those that come still.
    Finish,
    /// They go back undone, with [`Status::HandedBack`]: only to a master that knows this status.
    HandBack,
}

/// Something that a worker's operator may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// What came was no message, and was dropped: nobody can be told. Of several the last is reported.
    Malformed(ParseError),
}

/// Counts since the worker was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages received, malformed ones not among them.
    pub received: u64,
    /// Things received that were no message.
    pub malformed: u64,
    /// Results written.
    pub results: u64,
    /// Failures written, those of expired messages among them.
    pub failures: u64,
    /// Messages whose deadline had passed before they could begin.
    pub expired: u64,
    /// Messages given back undone.
    pub handed_back: u64,
    /// Answers dropped because not even the failure in place of them fitted into the output.
    pub dropped: u64,
}

/// The worker has no room for a message, which is given back; ask again after a transmit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<B>(pub B);

impl<B> fmt::Display for Full<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the worker has no room for another message")
    }
}

impl<B: fmt::Debug> core::error::Error for Full<B> {}

/// There is no such call, or it has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCall;

impl fmt::Display for UnknownCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such call runs")
    }
}

impl core::error::Error for UnknownCall {}

impl<B: Buffer, S: AsRef<[Slot<Task<B>>]> + AsMut<[Slot<Task<B>>]>> Worker<B, S> {
    /// A worker that holds as many messages as `storage` has slots.
    pub fn new(config: Config, storage: S) -> Self {
        Self {
            slots: Slots::new(storage),
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
        self.slots.room() > 0
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
        match self.slots.insert(Task { message, expires, state }) {
            Ok(key) => {
                let list = if queued { &mut self.queued } else { &mut self.answered };
                self.slots.push_back(list, key.index);
                self.counters.received += 1;
                Ok(())
            }
            Err(task) => Err(Full(task.message)),
        }
    }

    /// The next call to run, if one may begin; look at it with [`call`](Self::call). Call again until `None`.
    pub fn poll_call(&mut self, now: Instant) -> Option<CallId> {
        while self.running < self.concurrency {
            let index = self.slots.pop_front(&mut self.queued)?;
            let task = self.slots.get_mut(index)?;
            if task.expires.is_some_and(|at| at <= now) {
                task.state =
                    State::Refused(Status::DeadlineExceeded, "the deadline passed before a worker could begin");
                self.counters.expired += 1;
                self.slots.push_back(&mut self.answered, index);
                continue;
            }
            task.state = State::Running;
            self.running += 1;
            return self.slots.key(index).map(CallId);
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
        let task = self.slots.get_mut(id.0.index).ok_or(UnknownCall)?;
        task.state = State::Answered(answer);
        self.running -= 1;
        self.slots.push_back(&mut self.answered, id.0.index);
        Ok(())
    }

    /// Ends a call without an answer: its results have been written with [`write_result`](Self::write_result), or it has none.
    ///
    /// # Errors
    /// If no such call runs.
    pub fn handle_end(&mut self, id: CallId) -> Result<(), UnknownCall> {
        self.running_task(id).ok_or(UnknownCall)?;
        self.running -= 1;
        self.slots.remove(id.0.index);
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
        let index = self.slots.front(&self.answered)?;
        let task = self.slots.get_mut(index)?;
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
            task.state = State::Refused(Status::Failed, "the result is too large for the worker's output");
            return Some(written);
        }
        match (written.is_ok(), status) {
            (false, _) => self.counters.dropped += 1,
            (true, Status::Done) => self.counters.results += 1,
            (true, Status::HandedBack) => self.counters.handed_back += 1,
            (true, _) => self.counters.failures += 1,
        }
        self.slots.unlink(&mut self.answered, index);
        self.slots.remove(index);
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
        while let Some(index) = self.slots.pop_front(&mut self.queued) {
            if let Some(task) = self.slots.get_mut(index) {
                task.state = State::Refused(Status::HandedBack, "the worker is stopping");
            }
            self.slots.push_back(&mut self.answered, index);
        }
    }

    /// Number of messages it has: not begun, running, and answered but not transmitted.
    pub fn held(&self) -> usize {
        self.slots.len() as usize
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
        self.slots.get(self.slots.index(id.0)?).filter(|task| matches!(task.state, State::Running))
    }
}

impl<B: AsRef<[u8]>> State<B> {
    fn answer(&self) -> Answer<&[u8]> {
        match self {
            Self::Answered(Answer::Result(payload)) => Answer::Result(payload.as_ref()),
            Self::Answered(Answer::Failure(status, text)) => Answer::Failure(*status, text.as_ref()),
            Self::Refused(status, text) => Answer::Failure(*status, text.as_bytes()),
            // Only answered tasks are in the list of those to transmit.
            Self::Queued | Self::Running => Answer::Failure(Status::Failed, b""),
        }
    }
}
