//! How a message of a job goes on: another try, or its end.

use crate::buffer::Buffer;
use crate::collections::{List, Place, Slot, Table};
use crate::message::Status;
use crate::time::Instant;

use super::entry::{Entry, State};
use super::job::Job;
use super::outcome::Failure;
use super::reply::Reply;

impl<B: Buffer, S: Table<Slot<Entry<B>>>, P: Table<Place>> Job<B, S, P> {
    pub(super) fn on_failure(&mut self, now: Instant, index: u32, failure: Failure<B>) {
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
            self.delayed.push_back(&mut self.entries, index);
        } else {
            if let Some(message) = self.message_mut(index) {
                message.retries += 1;
            }
            self.on_retry(now, index);
        }
    }

    pub(super) fn on_retry(&mut self, now: Instant, index: u32) {
        self.leave(index);
        let due = self.due(now);
        if let Some(message) = self.message_mut(index) {
            (message.state, message.due) = (State::Unsent, due);
        }
        self.unsent.push_back(&mut self.entries, index);
    }

    pub(super) fn on_end(&mut self, index: u32, end: Result<Reply<B>, Failure<B>>) {
        self.leave(index);
        if let Some(message) = self.message_mut(index) {
            (message.state, message.due, message.end) = (State::Ended, None, Some(end));
        }
        if self.config.ordered {
            self.release();
        } else {
            self.ready.push_back(&mut self.entries, index);
        }
    }

    /// Makes the outcomes ready that no earlier message holds up. Each message and each result passes here once.
    pub(super) fn release(&mut self) {
        while let Some(first) = self.order.front() {
            let Some(message) = self.message_mut(first) else { return };
            let mut held = core::mem::replace(&mut message.held, List::new());
            let ended = message.state == State::Ended;
            while let Some(partial) = held.pop_front(&mut self.entries) {
                self.ready.push_back(&mut self.entries, partial);
            }
            if !ended {
                return;
            }
            self.order.remove(&mut self.entries, first);
            self.ready.push_back(&mut self.entries, first);
        }
    }

    pub(super) fn hold(&mut self, index: u32, partial: u32) {
        let Some(message) = self.message_mut(index) else { return };
        let mut held = core::mem::replace(&mut message.held, List::new());
        held.push_back(&mut self.entries, partial);
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
        list.remove(&mut self.entries, index);
    }
}
