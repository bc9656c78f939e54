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

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::message::{MessageWriter, SliceSink};

    type Buf = heapless::Vec<u8, 128>;
    type TestWorker = Worker<Buf, [Slot<Task<Buf>>; 4]>;

    fn worker(concurrency: u32) -> TestWorker {
        Worker::new(Config { concurrency }, core::array::from_fn(|_| Slot::default()))
    }

    fn message(function: &str, payload: &[u8], deadline: Option<u64>) -> Buf {
        let mut out = [0; 128];
        let mut sink = SliceSink::new(&mut out);
        let mut writer = MessageWriter::new(&mut sink);
        writer.client("c").function(function).payload(payload).sequence(4);
        if let Some(millis) = deadline {
            writer.deadline(millis);
        }
        writer.finish().unwrap();
        Buf::from_slice(sink.written()).unwrap()
    }

    /// Status and payload of each result.
    fn results(worker: &mut TestWorker) -> Vec<(Status, Vec<u8>)> {
        core::iter::from_fn(|| {
            let mut out = [0; 256];
            let mut sink = SliceSink::new(&mut out);
            worker.poll_transmit(&mut sink)?.unwrap();
            let view = MessageRef::parse(sink.written()).unwrap();
            assert_eq!((view.client, view.extension.sequence), ("c", Some(4)));
            Some((view.extension.status, view.payload.to_vec()))
        })
        .collect()
    }

    fn echo(worker: &mut TestWorker, id: CallId) {
        let payload = Buf::from_slice(worker.call(id).unwrap().message.payload).unwrap();
        worker.handle_answer(id, Answer::Result(payload)).unwrap();
    }

    #[test]
    fn runs_as_many_calls_as_it_may_and_holds_as_many_messages() {
        let mut worker = worker(2);
        for payload in [b"1", b"2", b"3", b"4"] {
            worker.handle_message(Instant::ZERO, message("s.f", payload, None)).unwrap();
        }
        let refused = message("s.f", b"5", None);
        assert_eq!(worker.handle_message(Instant::ZERO, refused.clone()), Err(Full(refused)));
        let first = worker.poll_call(Instant::ZERO).unwrap();
        let second = worker.poll_call(Instant::ZERO).unwrap();
        assert_eq!(worker.poll_call(Instant::ZERO), None);
        assert_eq!(
            (worker.call(first).unwrap().method, worker.call(second).unwrap().message.payload),
            ("f", &b"2"[..])
        );
        echo(&mut worker, second);
        assert!(!worker.has_room(), "a result that has not been taken keeps its place");
        assert_eq!(results(&mut worker), [(Status::Done, b"2".to_vec())]);
        assert!(worker.has_room());
        assert_eq!(worker.handle_answer(second, Answer::Result(Buf::new())), Err(UnknownCall));
        let third = worker.poll_call(Instant::ZERO).unwrap();
        assert_eq!(worker.call(third).unwrap().message.payload, b"3");
        echo(&mut worker, first);
        assert_eq!(results(&mut worker), [(Status::Done, b"1".to_vec())]);
        assert_eq!((worker.held(), worker.running()), (2, 1));
    }

    #[test]
    fn the_function_is_that_of_the_stage() {
        let mut worker = worker(1);
        let mut staged = message("a.f b.g", b"", None);
        staged.extend_from_slice(b"\x18\x01").unwrap();
        worker.handle_message(Instant::ZERO, staged).unwrap();
        let id = worker.poll_call(Instant::ZERO).unwrap();
        assert_eq!(worker.call(id).unwrap().method, "g");
        worker.handle_end(id).unwrap();
        worker.handle_message(Instant::ZERO, message("nodot", b"", None)).unwrap();
        assert_eq!(worker.poll_call(Instant::ZERO), None);
        assert_eq!(results(&mut worker), [(Status::NoSuchFunction, b"0".to_vec())]);
    }

    #[test]
    fn what_comes_too_late_is_not_begun() {
        let mut worker = worker(1);
        worker.handle_message(Instant::from_millis(5), message("s.f", b"1", Some(10))).unwrap();
        worker.handle_message(Instant::from_millis(5), message("s.f", b"2", Some(11))).unwrap();
        let id = worker.poll_call(Instant::from_millis(15)).unwrap();
        let call = worker.call(id).unwrap();
        assert_eq!((call.message.payload, call.expires), (&b"2"[..], Some(Instant::from_millis(16))));
        assert_eq!(results(&mut worker), [(Status::DeadlineExceeded, b"0".to_vec())]);
        assert_eq!(worker.counters().expired, 1);
    }

    #[test]
    fn stopping_hands_back_what_has_not_begun_and_what_comes_still() {
        let mut worker = worker(1);
        worker.handle_message(Instant::ZERO, message("s.f", b"1", None)).unwrap();
        worker.handle_message(Instant::ZERO, message("s.f", b"2", None)).unwrap();
        let id = worker.poll_call(Instant::ZERO).unwrap();
        worker.handle_shutdown(Stop::HandBack);
        worker.handle_message(Instant::ZERO, message("s.f", b"3", None)).unwrap();
        assert_eq!(worker.poll_call(Instant::ZERO), None);
        assert_eq!(results(&mut worker), [(Status::HandedBack, b"0".to_vec()), (Status::HandedBack, b"0".to_vec())]);
        echo(&mut worker, id);
        assert_eq!(results(&mut worker), [(Status::Done, b"1".to_vec())]);
        assert_eq!((worker.held(), worker.counters().handed_back), (0, 2));
    }

    #[test]
    fn stopping_finishes_what_cannot_be_handed_back() {
        let mut worker = worker(1);
        worker.handle_message(Instant::ZERO, message("s.f", b"1", None)).unwrap();
        worker.handle_shutdown(Stop::Finish);
        worker.handle_message(Instant::ZERO, message("s.f", b"2", None)).unwrap();
        while let Some(id) = worker.poll_call(Instant::ZERO) {
            echo(&mut worker, id);
        }
        assert_eq!(results(&mut worker), [(Status::Done, b"1".to_vec()), (Status::Done, b"2".to_vec())]);
    }

    #[test]
    fn a_result_that_does_not_fit_becomes_a_failure() {
        let mut worker = worker(1);
        worker.handle_message(Instant::ZERO, message("s.f", &[7; 60], None)).unwrap();
        let id = worker.poll_call(Instant::ZERO).unwrap();
        echo(&mut worker, id);
        let mut short = [0; 80];
        assert_eq!(worker.poll_transmit(&mut SliceSink::new(&mut short[..70])), Some(Err(NoRoom)));
        let mut out = [0; 80];
        let mut sink = SliceSink::new(&mut out);
        assert!(worker.poll_transmit(&mut sink).unwrap().is_ok());
        assert_eq!(MessageRef::parse(sink.written()).unwrap().extension.status, Status::Failed);
        assert_eq!((worker.held(), worker.counters().failures), (0, 1));
    }

    #[test]
    fn a_function_that_yields_has_several_results() {
        let mut worker = worker(1);
        worker.handle_message(Instant::ZERO, message("s.f", b"in", None)).unwrap();
        let id = worker.poll_call(Instant::ZERO).unwrap();
        for payload in [b"a", b"b"] {
            let mut out = [0; 64];
            let mut sink = SliceSink::new(&mut out);
            worker.write_result(id, payload, &mut sink).unwrap().unwrap();
            assert_eq!(MessageRef::parse(sink.written()).unwrap().payload, payload);
        }
        worker.handle_end(id).unwrap();
        assert_eq!((worker.held(), worker.counters().results), (0, 2));
        assert!(worker.write_result(id, b"c", &mut Buf::new()).is_none());
    }

    proptest! {
        /// Every message is answered once, in whatever order calls end, and everything else is dropped and reported.
        #[test]
        fn every_message_is_answered(
            inputs in prop::collection::vec(
                prop_oneof![
                    Just(message("s.f", b"x", None)),
                    Just(message("f", b"x", None)),
                    Just(message("s.f", b"x", Some(0))),
                    prop::collection::vec(any::<u8>(), 0..32).prop_map(|bytes| Buf::from_slice(&bytes).unwrap()),
                ],
                0..30,
            ),
            concurrency in 1..4_u32,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
            stop in prop::option::of((0..30_usize, prop_oneof![Just(Stop::Finish), Just(Stop::HandBack)])),
        ) {
            let mut worker = worker(concurrency);
            let mut picks = picks.into_iter().cycle();
            let mut running = Vec::new();
            let (mut answered, mut malformed) = (0, 0);
            let drain = |worker: &mut TestWorker| {
                let mut count = 0;
                let mut out = [0; 512];
                while let Some(written) = worker.poll_transmit(&mut SliceSink::new(&mut out)) {
                    assert!(written.is_ok());
                    count += 1;
                }
                count
            };
            let end_one = |worker: &mut TestWorker, running: &mut Vec<CallId>, pick: prop::sample::Index| {
                let id = running.swap_remove(pick.index(running.len()));
                worker.handle_answer(id, Answer::Failure(Status::Failed, Buf::new())).unwrap();
            };
            for (number, input) in inputs.iter().enumerate() {
                if let Some((at, how)) = stop && at == number {
                    worker.handle_shutdown(how);
                }
                let mut message = input.clone();
                while let Err(Full(refused)) = worker.handle_message(Instant::ZERO, message) {
                    message = refused;
                    answered += drain(&mut worker);
                    running.extend(core::iter::from_fn(|| worker.poll_call(Instant::ZERO)));
                    prop_assert!(running.len() <= concurrency as usize);
                    if !running.is_empty() {
                        end_one(&mut worker, &mut running, picks.next().unwrap());
                    }
                }
                malformed += usize::from(worker.poll_event().is_some());
            }
            while worker.held() > 0 {
                running.extend(core::iter::from_fn(|| worker.poll_call(Instant::ZERO)));
                if !running.is_empty() {
                    end_one(&mut worker, &mut running, picks.next().unwrap());
                }
                answered += drain(&mut worker);
            }
            prop_assert_eq!(answered + malformed, inputs.len());
            prop_assert_eq!(worker.counters().malformed as usize, malformed);
        }
    }
}
