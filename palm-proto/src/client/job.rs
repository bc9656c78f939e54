//! The client's state machine.

use super::config::Config;
use super::outcome::{Counters, Failure, Outcome, SubmitError, SubmitErrorKind, Transmit};
use super::reply::Reply;
use crate::buffer::Buffer;
use crate::message::Status;
use crate::slots::{List, Slot, Slots};
use crate::time::Instant;

/// No place.
const NIL: u32 = u32::MAX;

/// A job's state: the messages under way and the outcomes not taken yet, in at most `window` times `results` slots.
///
/// Every message ends in exactly one outcome with [`last`](Outcome::last), whatever is lost, repeated or reordered on the way,
/// provided there is a time limit or nothing is lost. Each call takes constant time, but for
/// [`handle_timeout`](Self::handle_timeout), which is in proportion to what is due, and
/// [`handle_reconnect`](Self::handle_reconnect), in proportion to what is under way.
#[derive(Debug)]
pub struct Job<B, S> {
    config: Config,
    window: u32,
    places: Slots<Place<B>, S>,
    /// To be transmitted; those due first are first.
    unsent: List,
    /// Transmitted and not answered, longest first.
    sent: List,
    /// Waiting before another try.
    delayed: List,
    /// Outcomes to be taken.
    ready: List,
    /// First and last message in the order of submission, when the job is ordered.
    order: (u32, u32),
    pending: u32,
    next_sequence: u64,
    counters: Counters,
}

/// What a slot of a job's table holds.
#[derive(Debug)]
pub struct Place<B>(Kind<B>);

#[derive(Debug)]
enum Kind<B> {
    Message(Message<B>),
    /// One of several results of a message, but for the last.
    Partial(u64, Instant, Reply<B>),
}

#[derive(Debug)]
struct Message<B> {
    sequence: u64,
    submitted: Instant,
    message: B,
    state: State,
    due: Option<Instant>,
    retries: u32,
    received: u32,
    /// The next message in the same hash chain.
    chain: u32,
    /// The next message in the order of submission.
    after: u32,
    /// Results that wait for those of earlier messages.
    held: List,
    end: Option<Result<Reply<B>, Failure<B>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unsent,
    Sent,
    Delayed,
    Ended,
}

impl<B: Buffer, S: AsRef<[Slot<Place<B>>]> + AsMut<[Slot<Place<B>>]>> Job<B, S> {
    /// A job with its table in `storage`; `window * results` slots are used at most.
    pub fn new(config: Config, storage: S) -> Self {
        let places = Slots::new(storage);
        let results = config.results.max(1);
        let window = config.window.max(1).min(places.capacity() / results);
        Self {
            config: Config { results, ..config },
            window,
            places,
            unsent: List::new(),
            sent: List::new(),
            delayed: List::new(),
            ready: List::new(),
            order: (NIL, NIL),
            pending: 0,
            next_sequence: 0,
            counters: Counters::default(),
        }
    }

    /// Whether another message may be submitted.
    pub fn has_room(&self) -> bool {
        self.pending < self.window
    }

    /// Takes a serialised message that carries `sequence`, a number above all before it.
    ///
    /// # Errors
    /// If the window is full or the number is not above those before; the message is given back.
    pub fn submit(&mut self, now: Instant, sequence: u64, message: B) -> Result<(), SubmitError<B>> {
        if sequence < self.next_sequence {
            return Err(SubmitError { message, kind: SubmitErrorKind::NotAscending });
        }
        if !self.has_room() {
            return Err(SubmitError { message, kind: SubmitErrorKind::WindowFull });
        }
        let bucket = self.bucket(sequence);
        let chain = self.places.slot(bucket).map_or(NIL, |slot| slot.bucket);
        let entry = Message {
            sequence,
            submitted: now,
            message,
            state: State::Unsent,
            due: self.due(now),
            retries: 0,
            received: 0,
            chain,
            after: NIL,
            held: List::new(),
            end: None,
        };
        let key = match self.places.insert(Place(Kind::Message(entry))) {
            Ok(key) => key,
            Err(Place(Kind::Message(entry))) => {
                return Err(SubmitError { message: entry.message, kind: SubmitErrorKind::WindowFull });
            }
            // What comes back is what was put in.
            Err(Place(Kind::Partial(..))) => return Ok(()),
        };
        if let Some(slot) = self.places.slot_mut(bucket) {
            slot.bucket = key.index;
        }
        if self.config.ordered {
            let (first, last) = self.order;
            if let Some(previous) = self.message_mut(last) {
                previous.after = key.index;
            }
            self.order = (if first == NIL { key.index } else { first }, key.index);
        }
        self.places.push_back(&mut self.unsent, key.index);
        self.next_sequence = sequence.saturating_add(1);
        self.pending += 1;
        self.counters.submitted += 1;
        Ok(())
    }

    /// The next message to send; `None` if there is none for now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<'_, B>> {
        let index = self.places.pop_front(&mut self.unsent)?;
        self.places.push_back(&mut self.sent, index);
        let due = self.due(now);
        self.counters.transmitted += 1;
        let message = self.message_mut(index)?;
        message.state = State::Sent;
        message.due = due;
        Some(Transmit { sequence: message.sequence, message: &message.message })
    }

    /// Whether a message waits to be sent.
    pub fn has_transmit(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Takes a result. One without a sequence number counts as that of the message unanswered longest; one of a message that
    /// has ended is dropped and counted.
    pub fn handle_reply(&mut self, now: Instant, reply: Reply<B>) {
        let index = match reply.sequence() {
            Some(sequence) => self.find(sequence),
            None => {
                self.counters.unsequenced += 1;
                self.places.front(&self.sent)
            }
        };
        let Some(index) = index else {
            let known = reply.sequence().is_some_and(|sequence| sequence < self.next_sequence);
            *(if known { &mut self.counters.duplicates } else { &mut self.counters.unmatched }) += 1;
            return;
        };
        let results = self.config.results;
        let Some(message) = self.message_mut(index) else { return };
        if message.state == State::Ended {
            self.counters.duplicates += 1;
            return;
        }
        let status = reply.status();
        if status != Status::Done {
            return self.on_failure(now, index, Failure { status, reply: Some(reply) });
        }
        message.received += 1;
        let last = message.received >= results;
        let (sequence, submitted) = (message.sequence, message.submitted);
        self.counters.results += 1;
        if last {
            return self.on_end(index, Ok(reply));
        }
        // A message has room for `results` places, of which the last result takes the message's own.
        let Ok(partial) = self.places.insert(Place(Kind::Partial(sequence, submitted, reply))) else { return };
        if self.config.ordered {
            self.hold(index, partial.index);
            self.release();
        } else {
            self.places.push_back(&mut self.ready, partial.index);
        }
    }

    /// Has everything unanswered sent again, without counting it as a retry: the connection is a new one, and what went over
    /// the old one may be lost. A message may so be done twice; its second result is dropped.
    pub fn handle_reconnect(&mut self, now: Instant) {
        self.counters.resent += u64::from(self.sent.len());
        let mut sent = core::mem::replace(&mut self.sent, List::new());
        self.places.prepend(&mut self.unsent, &mut sent);
        let due = self.due(now);
        let mut at = self.places.front(&self.unsent);
        while let Some(index) = at {
            if let Some(message) = self.message_mut(index) {
                message.state = State::Unsent;
                message.due = due;
            }
            at = self.places.next(index);
        }
    }

    /// Deals with what is due by `now`; without effect before [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..self.delayed.len() {
            let Some(index) = self.due_front(&self.delayed, now) else { break };
            self.on_retry(now, index);
        }
        for _ in 0..self.sent.len() {
            let Some(index) = self.due_front(&self.sent, now) else { break };
            self.on_failure(now, index, Failure { status: Status::DeadlineExceeded, reply: None });
        }
        for _ in 0..self.unsent.len() {
            let Some(index) = self.due_front(&self.unsent, now) else { break };
            self.on_failure(now, index, Failure { status: Status::DeadlineExceeded, reply: None });
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None`: not before another input.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [&self.delayed, &self.sent, &self.unsent]
            .into_iter()
            .filter_map(|list| self.message(self.places.front(list)?)?.due)
            .min()
    }

    /// The next outcome; call again until `None`.
    pub fn poll_event(&mut self) -> Option<Outcome<B>> {
        let index = self.places.pop_front(&mut self.ready)?;
        let sequence = match self.places.get(index)? {
            Place(Kind::Message(message)) => Some(message.sequence),
            Place(Kind::Partial(..)) => None,
        };
        if let Some(sequence) = sequence {
            self.unchain(sequence, index);
        }
        match self.places.remove(index)?.0 {
            Kind::Partial(sequence, submitted, reply) => {
                Some(Outcome { sequence, last: false, retries: 0, submitted, result: Ok(reply) })
            }
            Kind::Message(message) => {
                self.pending -= 1;
                let Message { sequence, submitted, retries, end, .. } = message;
                Some(Outcome { sequence, last: true, retries, submitted, result: end? })
            }
        }
    }

    /// How many more messages may be submitted.
    pub fn room(&self) -> usize {
        (self.window - self.pending) as usize
    }

    /// Number of messages under way: submitted, and their last outcome not taken.
    pub fn pending(&self) -> usize {
        self.pending as usize
    }

    /// Number of messages sent and not answered.
    pub fn unanswered(&self) -> usize {
        self.sent.len() as usize
    }

    /// Number of the message that has been unanswered longest since it was last sent.
    pub fn oldest_unanswered(&self) -> Option<u64> {
        self.message(self.places.front(&self.sent)?).map(|message| message.sequence)
    }

    /// Counts since the job began.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn on_failure(&mut self, now: Instant, index: u32, failure: Failure<B>) {
        let Some(message) = self.message(index) else { return };
        // With some of its results here already, those of another try could not be told from them.
        if message.received > 0 || !self.config.retry.applies(failure.status, message.retries) {
            self.counters.failures += 1;
            return self.on_end(index, Err(failure));
        }
        self.counters.retries += 1;
        if matches!(failure.status, Status::Unavailable | Status::HandedBack) {
            self.leave(index);
            let due = Some(now + self.config.retry_delay);
            if let Some(message) = self.message_mut(index) {
                (message.state, message.due) = (State::Delayed, due);
                message.retries += 1;
            }
            self.places.push_back(&mut self.delayed, index);
        } else {
            if let Some(message) = self.message_mut(index) {
                message.retries += 1;
            }
            self.on_retry(now, index);
        }
    }

    fn on_retry(&mut self, now: Instant, index: u32) {
        self.leave(index);
        let due = self.due(now);
        if let Some(message) = self.message_mut(index) {
            (message.state, message.due) = (State::Unsent, due);
        }
        self.places.push_back(&mut self.unsent, index);
    }

    fn on_end(&mut self, index: u32, end: Result<Reply<B>, Failure<B>>) {
        self.leave(index);
        if let Some(message) = self.message_mut(index) {
            (message.state, message.due, message.end) = (State::Ended, None, Some(end));
        }
        if self.config.ordered {
            self.release();
        } else {
            self.places.push_back(&mut self.ready, index);
        }
    }

    /// Makes the outcomes ready that no earlier message holds up. Each message and each result passes here once.
    fn release(&mut self) {
        while self.order.0 != NIL {
            let first = self.order.0;
            let Some(message) = self.message_mut(first) else { return };
            let mut held = core::mem::replace(&mut message.held, List::new());
            let (ended, after) = (message.state == State::Ended, message.after);
            while let Some(partial) = self.places.pop_front(&mut held) {
                self.places.push_back(&mut self.ready, partial);
            }
            if !ended {
                return;
            }
            self.places.push_back(&mut self.ready, first);
            self.order = if after == NIL { (NIL, NIL) } else { (after, self.order.1) };
        }
    }

    fn hold(&mut self, index: u32, partial: u32) {
        let Some(message) = self.message_mut(index) else { return };
        let mut held = core::mem::replace(&mut message.held, List::new());
        self.places.push_back(&mut held, partial);
        if let Some(message) = self.message_mut(index) {
            message.held = held;
        }
    }

    /// Takes a message out of the list that its state says it is in.
    fn leave(&mut self, index: u32) {
        let Some(state) = self.message(index).map(|message| message.state) else { return };
        let list = match state {
            State::Unsent => &mut self.unsent,
            State::Sent => &mut self.sent,
            State::Delayed => &mut self.delayed,
            State::Ended => return,
        };
        self.places.unlink(list, index);
    }

    fn due(&self, now: Instant) -> Option<Instant> {
        self.config.timeout.map(|timeout| now + timeout)
    }

    fn due_front(&self, list: &List, now: Instant) -> Option<u32> {
        let index = self.places.front(list)?;
        self.message(index)?.due.filter(|&due| due <= now).map(|_| index)
    }

    fn bucket(&self, sequence: u64) -> u32 {
        // Numbers that follow each other fall into different buckets, so chains are short.
        u32::try_from(sequence % u64::from(self.places.capacity().max(1))).unwrap_or(0)
    }

    fn find(&self, sequence: u64) -> Option<u32> {
        let mut at = self.places.slot(self.bucket(sequence))?.bucket;
        while let Some(message) = self.message(at) {
            if message.sequence == sequence {
                return Some(at);
            }
            at = message.chain;
        }
        None
    }

    fn unchain(&mut self, sequence: u64, index: u32) {
        let bucket = self.bucket(sequence);
        let Some(next) = self.message(index).map(|message| message.chain) else { return };
        let Some(slot) = self.places.slot_mut(bucket) else { return };
        if slot.bucket == index {
            slot.bucket = next;
            return;
        }
        let mut at = slot.bucket;
        while let Some(message) = self.message_mut(at) {
            if message.chain == index {
                message.chain = next;
                return;
            }
            at = message.chain;
        }
    }

    fn message(&self, index: u32) -> Option<&Message<B>> {
        match self.places.get(index)? {
            Place(Kind::Message(message)) => Some(message),
            Place(Kind::Partial(..)) => None,
        }
    }

    fn message_mut(&mut self, index: u32) -> Option<&mut Message<B>> {
        match self.places.get_mut(index)? {
            Place(Kind::Message(message)) => Some(message),
            Place(Kind::Partial(..)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::vec::Vec;

    use super::super::Retry;
    use super::*;
    use crate::message::{MessageWriter, SliceSink};

    type Buf = heapless::Vec<u8, 64>;
    type TestJob = Job<Buf, [Slot<Place<Buf>>; 8]>;

    fn job(config: Config) -> TestJob {
        Job::new(config, core::array::from_fn(|_| Slot::default()))
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn message(sequence: u64) -> Buf {
        Buf::from_slice(&sequence.to_le_bytes()).unwrap()
    }

    fn reply(sequence: Option<u64>, payload: &[u8], status: Status) -> Reply<Buf> {
        let mut out = [0; 64];
        let mut sink = SliceSink::new(&mut out);
        let mut writer = MessageWriter::new(&mut sink);
        writer.payload(payload);
        if let Some(sequence) = sequence {
            writer.sequence(sequence);
        }
        writer.status(status).finish().unwrap();
        Reply::parse(Buf::from_slice(sink.written()).unwrap()).unwrap()
    }

    fn done(sequence: u64) -> Reply<Buf> {
        reply(Some(sequence), &[sequence as u8], Status::Done)
    }

    fn sent(job: &mut TestJob, now: Instant) -> Vec<u64> {
        core::iter::from_fn(|| {
            job.poll_transmit(now).map(|transmit| {
                assert_eq!(*transmit.message, message(transmit.sequence));
                transmit.sequence
            })
        })
        .collect()
    }

    /// Sequence number, whether it is the last, and the payload's first byte or the failure's status.
    fn outcomes(job: &mut TestJob) -> Vec<(u64, bool, Result<u8, Status>)> {
        core::iter::from_fn(|| job.poll_event())
            .map(|outcome| {
                let result = outcome.result.map(|reply| reply.payload()[0]).map_err(|failure| failure.status);
                (outcome.sequence, outcome.last, result)
            })
            .collect()
    }

    fn submit(job: &mut TestJob, now: Instant, sequences: &[u64]) {
        sequences.iter().for_each(|&sequence| job.submit(now, sequence, message(sequence)).unwrap());
    }

    #[test]
    fn outcomes_come_as_the_results_do_or_in_order() {
        for (ordered, expected) in [(false, [2, 0, 1]), (true, [0, 1, 2])] {
            let mut job = job(Config { ordered, ..Config::default() });
            submit(&mut job, at(0), &[0, 1, 2]);
            assert_eq!(sent(&mut job, at(0)), [0, 1, 2]);
            let mut taken = Vec::new();
            for sequence in [2, 0, 1] {
                job.handle_reply(at(1), done(sequence));
                taken.extend(outcomes(&mut job).into_iter().map(|(sequence, ..)| sequence));
            }
            assert_eq!(taken, expected);
            assert_eq!(job.pending(), 0);
        }
    }

    #[test]
    fn the_window_counts_what_has_no_outcome_taken() {
        let mut job = job(Config { window: 2, ..Config::default() });
        submit(&mut job, at(0), &[5, 9]);
        let refused = job.submit(at(0), 10, message(10)).unwrap_err();
        assert_eq!((refused.message, refused.kind), (message(10), SubmitErrorKind::WindowFull));
        sent(&mut job, at(0));
        job.handle_reply(at(1), done(9));
        assert!(!job.has_room(), "the outcome is not taken yet");
        assert_eq!(outcomes(&mut job), [(9, true, Ok(9))]);
        assert_eq!(job.room(), 1);
        let refused = job.submit(at(0), 9, message(9)).unwrap_err();
        assert_eq!(refused.kind, SubmitErrorKind::NotAscending);
    }

    #[test]
    fn late_and_strange_results_are_dropped_and_counted() {
        let mut job = job(Config::default());
        submit(&mut job, at(0), &[3]);
        sent(&mut job, at(0));
        job.handle_reply(at(1), done(3));
        job.handle_reply(at(1), done(3));
        assert_eq!(outcomes(&mut job).len(), 1);
        job.handle_reply(at(2), done(3));
        job.handle_reply(at(2), done(77));
        job.handle_reply(at(2), reply(None, b"x", Status::Done));
        assert_eq!(outcomes(&mut job), []);
        let counters = job.counters();
        assert_eq!((counters.duplicates, counters.unmatched), (2, 2));
    }

    #[test]
    fn a_result_without_a_number_is_that_of_the_message_unanswered_longest() {
        let mut job = job(Config::default());
        submit(&mut job, at(0), &[0, 1, 2]);
        sent(&mut job, at(0));
        job.handle_reply(at(1), done(0));
        job.handle_reply(at(1), reply(None, b"x", Status::Done));
        assert_eq!(outcomes(&mut job), [(0, true, Ok(0)), (1, true, Ok(b'x'))]);
        assert_eq!(job.oldest_unanswered(), Some(2));
    }

    #[test]
    fn what_is_not_answered_in_time_is_sent_again_and_then_fails() {
        let config = Config { timeout: Some(Duration::from_millis(10)), retry: Retry::times(1), ..Config::default() };
        let mut job = job(config);
        submit(&mut job, at(0), &[0]);
        assert_eq!(sent(&mut job, at(5)), [0]);
        job.handle_timeout(at(14));
        assert_eq!(sent(&mut job, at(14)), [0; 0], "the time runs from the transmit");
        assert_eq!(job.poll_timeout(), Some(at(15)));
        job.handle_timeout(at(15));
        assert_eq!(sent(&mut job, at(15)), [0]);
        job.handle_timeout(at(25));
        assert_eq!(outcomes(&mut job), [(0, true, Err(Status::DeadlineExceeded))]);
        assert_eq!((job.poll_timeout(), job.counters().retries), (None, 1));
    }

    #[test]
    fn what_cannot_be_sent_runs_out_of_time_too() {
        let config = Config { timeout: Some(Duration::from_millis(10)), retry: Retry::times(1), ..Config::default() };
        let mut job = job(config);
        submit(&mut job, at(0), &[0]);
        job.handle_timeout(at(10));
        job.handle_timeout(at(20));
        assert_eq!(outcomes(&mut job), [(0, true, Err(Status::DeadlineExceeded))]);
        assert_eq!(sent(&mut job, at(20)), [0; 0]);
    }

    #[test]
    fn a_late_result_of_the_first_try_saves_the_second() {
        let config = Config { timeout: Some(Duration::from_millis(10)), retry: Retry::times(3), ..Config::default() };
        let mut job = job(config);
        submit(&mut job, at(0), &[0]);
        sent(&mut job, at(0));
        job.handle_timeout(at(10));
        job.handle_reply(at(11), done(0));
        assert_eq!(sent(&mut job, at(11)), [0; 0]);
        assert_eq!(outcomes(&mut job), [(0, true, Ok(0))]);
    }

    #[test]
    fn a_master_that_stopped_is_asked_again_after_a_while() {
        let config = Config { retry: Retry::times(1), retry_delay: Duration::from_millis(50), ..Config::default() };
        let mut job = job(config);
        submit(&mut job, at(0), &[0]);
        sent(&mut job, at(0));
        job.handle_reply(at(1), reply(Some(0), b"0", Status::Unavailable));
        assert_eq!((sent(&mut job, at(1)).len(), job.poll_timeout()), (0, Some(at(51))));
        job.handle_timeout(at(51));
        assert_eq!(sent(&mut job, at(51)), [0]);
        job.handle_reply(at(52), reply(Some(0), b"0", Status::Unavailable));
        assert_eq!(outcomes(&mut job), [(0, true, Err(Status::Unavailable))]);
    }

    #[test]
    fn a_failed_function_is_not_called_again() {
        let mut job = job(Config { retry: Retry::times(9), ..Config::default() });
        for (sequence, status) in
            [Status::Failed, Status::NoSuchFunction, Status::WrongServer, Status::DeadLetter].into_iter().enumerate()
        {
            let sequence = sequence as u64;
            submit(&mut job, at(0), &[sequence]);
            sent(&mut job, at(0));
            job.handle_reply(at(1), reply(Some(sequence), b"0", status));
            assert_eq!(outcomes(&mut job), [(sequence, true, Err(status))]);
        }
    }

    #[test]
    fn a_new_connection_gets_everything_unanswered_in_order() {
        let mut job = job(Config::default());
        submit(&mut job, at(0), &[0, 1, 2]);
        assert!(job.poll_transmit(at(0)).is_some() && job.poll_transmit(at(0)).is_some());
        job.handle_reply(at(1), done(0));
        job.handle_reconnect(at(2));
        assert_eq!(sent(&mut job, at(2)), [1, 2]);
        assert_eq!((job.counters().resent, job.counters().retries), (1, 0));
    }

    #[test]
    fn several_results_are_counted_and_kept_in_order() {
        let mut job = job(Config { results: 2, ordered: true, ..Config::default() });
        assert_eq!(job.room(), 4, "eight slots, two for each message");
        submit(&mut job, at(0), &[0, 1]);
        sent(&mut job, at(0));
        job.handle_reply(at(1), done(1));
        job.handle_reply(at(1), done(1));
        job.handle_reply(at(1), done(1));
        assert_eq!(outcomes(&mut job), []);
        job.handle_reply(at(1), done(0));
        assert_eq!(outcomes(&mut job), [(0, false, Ok(0))], "the first message's results hold up nothing");
        job.handle_reply(at(1), done(0));
        assert_eq!(outcomes(&mut job), [(0, true, Ok(0)), (1, false, Ok(1)), (1, true, Ok(1))]);
        assert_eq!(job.counters().duplicates, 1);
    }

    #[test]
    fn a_message_with_some_of_its_results_is_not_sent_again() {
        let timeout = Some(Duration::from_millis(10));
        let mut job = job(Config { results: 2, timeout, retry: Retry::times(5), ..Config::default() });
        submit(&mut job, at(0), &[0]);
        sent(&mut job, at(0));
        job.handle_reply(at(1), done(0));
        job.handle_timeout(at(10));
        assert_eq!(outcomes(&mut job), [(0, false, Ok(0)), (0, true, Err(Status::DeadlineExceeded))]);
    }
}
