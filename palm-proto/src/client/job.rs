//! The client's state machine.

use core::time::Duration;

use super::config::Config;
use super::entry::{Entry, InOrder, InState, Kind, Message, State};
use super::outcome::{Counters, Failure, Outcome, SubmitError, SubmitErrorKind, Transmit};
use super::reply::Reply;
use crate::buffer::Buffer;
#[cfg(feature = "alloc")]
use crate::collections::HeapTable;
use crate::collections::{Index, List, Place, Slab, Slot, Table};
use crate::message::Status;
use crate::time::Instant;

/// Deadlines are told in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(1);

/// A job's state: the messages under way and the outcomes not taken yet, in at most `window` times `results` entries.
///
/// Every message ends in exactly one outcome with [`last`](Outcome::last), whatever is lost, repeated or reordered on the way,
/// provided there is a time limit or nothing is lost. Each call takes constant time, but for
/// [`handle_timeout`](Self::handle_timeout), which is in proportion to what is due, and
/// [`handle_reconnect`](Self::handle_reconnect), in proportion to what is under way.
#[derive(Debug)]
pub struct Job<B, S, P> {
    pub(super) config: Config,
    window: u32,
    pub(super) entries: Slab<Entry<B>, S>,
    /// Messages by sequence number.
    by_sequence: Index<P>,
    /// To be transmitted; those due first are first.
    pub(super) unsent: List<InState>,
    /// Transmitted and not answered, longest first.
    pub(super) sent: List<InState>,
    /// Waiting before another try.
    pub(super) delayed: List<InState>,
    /// Outcomes to be taken.
    pub(super) ready: List<InState>,
    /// Messages in the order of submission, when the job is ordered.
    pub(super) order: List<InOrder>,
    pending: u32,
    next_sequence: u64,
    pub(super) counters: Counters,
}

/// A job of at most `N` entries that lie in the job itself.
pub type FixedJob<B, const N: usize> = Job<B, heapless::Vec<Slot<Entry<B>>, N>, heapless::Vec<Place, N>>;

/// A job with its tables on the heap.
#[cfg(feature = "alloc")]
pub type HeapJob = Job<bytes::Bytes, HeapTable<Slot<Entry<bytes::Bytes>>>, HeapTable<Place>>;

impl<B: Buffer, const N: usize> FixedJob<B, N> {
    /// A job whose window is at most what fits into `N` entries.
    pub fn fixed(config: Config) -> Self {
        Self::new(config, heapless::Vec::new(), heapless::Vec::new())
    }
}

#[cfg(feature = "alloc")]
impl HeapJob {
    /// A job with room for its whole window, in memory that is touched only as messages come.
    pub fn sized(config: Config) -> Self {
        let window = config.window.max(1) as usize;
        let entries = window.saturating_mul(config.results.max(1) as usize);
        Self::new(config, HeapTable::new(entries), HeapTable::new(window.saturating_mul(2)))
    }
}

impl<B: Buffer, S: Table<Slot<Entry<B>>>, P: Table<Place>> Job<B, S, P> {
    /// A job in empty tables: one for the entries, of which `window * results` are used at most, and one that finds messages,
    /// best with places for twice the window.
    pub fn new(config: Config, entries: S, places: P) -> Self {
        let results = config.results.max(1);
        let entries = Slab::new(entries);
        let room = (entries.capacity() / results as usize).min(places.capacity());
        Self {
            config: Config { results, ..config },
            window: config.window.max(1).min(u32::try_from(room).unwrap_or(u32::MAX)),
            entries,
            by_sequence: Index::new(places),
            unsent: List::new(),
            sent: List::new(),
            delayed: List::new(),
            ready: List::new(),
            order: List::new(),
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
        let message = Message {
            sequence,
            submitted: now,
            message,
            state: State::Unsent,
            due: self.due(now),
            retries: 0,
            received: 0,
            held: List::new(),
            end: None,
        };
        let index = match self.entries.insert(Entry::new(Kind::Message(message))) {
            Ok(index) => index,
            Err(Entry { kind: Kind::Message(Message { message, .. }), .. }) => {
                return Err(SubmitError { message, kind: SubmitErrorKind::WindowFull });
            }
            // What comes back is what was put in.
            Err(Entry { kind: Kind::Partial(..), .. }) => return Ok(()),
        };
        // The window is no larger than the index.
        self.by_sequence.insert(hash(sequence), index);
        if self.config.ordered {
            self.order.push_back(&mut self.entries, index);
        }
        self.unsent.push_back(&mut self.entries, index);
        self.next_sequence = sequence.saturating_add(1);
        self.pending += 1;
        self.counters.submitted += 1;
        Ok(())
    }

    /// The next message to send; `None` if there is none for now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<'_, B>> {
        let index = self.unsent.pop_front(&mut self.entries)?;
        self.sent.push_back(&mut self.entries, index);
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
                self.sent.front()
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
        if status == Status::DeadlineExceeded && self.is_of_earlier_try(now, index) {
            self.counters.duplicates += 1;
            return;
        }
        let Some(message) = self.message_mut(index) else { return };
        if status != Status::Done {
            return self.on_failure(now, index, Failure { status, reply: Some(reply) });
        }
        if reply.is_partial() && message.received + 1 >= results {
            // The place that is left is for the last one.
            self.counters.parts_dropped += 1;
            return;
        }
        message.received += 1;
        let last = message.received >= results;
        let (sequence, submitted) = (message.sequence, message.submitted);
        self.counters.results += 1;
        if last {
            return self.on_end(index, Ok(reply));
        }
        // A message has room for `results` entries, of which the last result takes the message's own.
        let Ok(partial) = self.entries.insert(Entry::new(Kind::Partial(sequence, submitted, reply))) else { return };
        if self.config.ordered {
            self.hold(index, partial);
            self.release();
        } else {
            self.ready.push_back(&mut self.entries, partial);
        }
    }

    /// Whether the deadline that a master says has passed can only be that of a try before this one: it counts from when a try comes
    /// there, and so is never early.
    fn is_of_earlier_try(&self, now: Instant, index: u32) -> bool {
        let (Some(message), Some(deadline)) = (self.message(index), self.config.deadline) else { return false };
        match (message.state, message.due, self.config.timeout) {
            (State::Sent, Some(due), Some(timeout)) => now + timeout + ROUNDING < due + deadline,
            (State::Sent, ..) | (State::Ended, ..) => false,
            (State::Unsent, ..) | (State::Delayed, ..) => true,
        }
    }

    /// Has everything unanswered sent again, without counting it as a retry: the connection is a new one, and what went over
    /// the old one may be lost. A message may so be done twice; its second result is dropped.
    pub fn handle_reconnect(&mut self, now: Instant) {
        self.counters.resent += self.sent.len() as u64;
        while let Some(index) = self.sent.back() {
            self.sent.remove(&mut self.entries, index);
            self.unsent.push_front(&mut self.entries, index);
        }
        let due = self.due(now);
        let mut at = self.unsent.front();
        while let Some(index) = at {
            if let Some(message) = self.message_mut(index) {
                message.state = State::Unsent;
                message.due = due;
            }
            at = self.unsent.next(&self.entries, index);
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
        [&self.delayed, &self.sent, &self.unsent].into_iter().filter_map(|list| self.message(list.front()?)?.due).min()
    }

    /// The next outcome; call again until `None`.
    pub fn poll_event(&mut self) -> Option<Outcome<B>> {
        let index = self.ready.pop_front(&mut self.entries)?;
        match self.entries.remove(index)?.kind {
            Kind::Partial(sequence, submitted, reply) => {
                Some(Outcome { sequence, last: false, retries: 0, submitted, result: Ok(reply) })
            }
            Kind::Message(Message { sequence, submitted, retries, end, .. }) => {
                self.by_sequence.remove(hash(sequence), index);
                self.pending -= 1;
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
        self.sent.len()
    }

    /// Number of the message that has been unanswered longest since it was last sent.
    pub fn oldest_unanswered(&self) -> Option<u64> {
        self.message(self.sent.front()?).map(|message| message.sequence)
    }

    /// Counts since the job began.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.config.timeout.map(|timeout| now + timeout)
    }

    fn due_front(&self, list: &List<InState>, now: Instant) -> Option<u32> {
        let index = list.front()?;
        self.message(index)?.due.filter(|&due| due <= now).map(|_| index)
    }

    fn find(&self, sequence: u64) -> Option<u32> {
        let is_it = |&index: &u32| self.message(index).is_some_and(|message| message.sequence == sequence);
        self.by_sequence.candidates(hash(sequence)).find(is_it)
    }

    pub(super) fn message(&self, index: u32) -> Option<&Message<B>> {
        match &self.entries.get(index)?.kind {
            Kind::Message(message) => Some(message),
            Kind::Partial(..) => None,
        }
    }

    pub(super) fn message_mut(&mut self, index: u32) -> Option<&mut Message<B>> {
        match &mut self.entries.get_mut(index)?.kind {
            Kind::Message(message) => Some(message),
            Kind::Partial(..) => None,
        }
    }
}

/// Sequence numbers are the client's own, and need no keyed hash.
const fn hash(sequence: u64) -> u64 {
    sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
