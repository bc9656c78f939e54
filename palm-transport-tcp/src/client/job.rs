//! Many tasks at once: takes inputs as there is room for them, and gives outcomes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use palm_proto::Status;
use palm_proto::client::Retry;

use super::Handle;
use super::failure::Failure;
use super::inbox::{Inbox, Outcome, Progress};
use super::run::Command;
use super::tasks::Like;

/// How a job is done: `JobOptions { window: 100, ..JobOptions::default() }`.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// Most tasks under way at a time; 1000 by default.
    pub window: u32,
    /// Whether outcomes come in the order of the inputs, not as they arrive; off by default.
    pub ordered: bool,
    /// How long each try may take, the first from when its input is taken; for ever by default.
    pub timeout: Option<Duration>,
    /// How often a task is submitted again that was not done in time, or given up on by a master that stopped; 0 by default. One of
    /// which some results are here already is not.
    pub retries: u32,
    /// Whether a task is also submitted again if every worker it was given to was lost with it; off by default.
    pub retry_dead_letters: bool,
    /// Among the tasks of the client; higher ones are first. 0 by default.
    pub priority: u8,
    /// What goes with every task beside its payload; empty by default.
    pub user_data: String,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            window: 1_000,
            ordered: false,
            timeout: None,
            retries: 0,
            retry_dead_letters: false,
            priority: 0,
            user_data: String::new(),
        }
    }
}

impl JobOptions {
    /// What a task is with these options.
    pub(super) fn like(&self, function: Arc<str>) -> Like {
        Like {
            function,
            user_data: self.user_data.as_str().into(),
            priority: self.priority,
            timeout: self.timeout,
            retry: self.retry(),
        }
    }

    fn retry(&self) -> Retry {
        Retry { dead_letter: self.retry_dead_letters, ..Retry::times(self.retries) }
    }

    /// Whether that is `like`, but for its function.
    pub(super) fn are_of(&self, like: &Like) -> bool {
        *self.user_data == *like.user_data
            && (self.priority, self.timeout, self.retry()) == (like.priority, like.timeout, like.retry)
    }
}

/// A job under way: an iterator over outcomes, which takes inputs while it is asked for them.
///
/// Each input ends in exactly one outcome that is its last. Dropped, it cancels what is under way.
pub struct Job<I> {
    handle: Arc<Handle>,
    inbox: Arc<Inbox>,
    inputs: I,
    ended: bool,
    like: Arc<Like>,
    window: u64,
    /// Inputs taken.
    taken: u64,
    /// Tasks without a last outcome.
    under_way: u64,
    arrived: VecDeque<Outcome>,
    /// Outcomes that wait for their turn, from that of input `next` on; `None` if they come as they arrive.
    order: Option<VecDeque<Slot>>,
    next: u64,
}

/// The outcomes of an input.
#[derive(Debug, Default)]
struct Slot {
    partial: VecDeque<Outcome>,
    last: Option<Outcome>,
}

impl<I> Job<I>
where
    I: Iterator,
    I::Item: Into<Bytes>,
{
    pub(super) fn new(handle: Arc<Handle>, function: Arc<str>, inputs: I, options: &JobOptions) -> Self {
        Self {
            handle,
            inbox: Arc::default(),
            inputs,
            ended: false,
            like: Arc::new(options.like(function)),
            window: u64::from(options.window.max(1)),
            taken: 0,
            under_way: 0,
            arrived: VecDeque::new(),
            order: options.ordered.then(VecDeque::new),
            next: 0,
        }
    }

    /// What was said last about how far a task is.
    pub fn progress(&self) -> Option<Progress> {
        self.inbox.progress()
    }

    /// Takes as many inputs as there is room for.
    fn take_inputs(&mut self) {
        let occupied = match &self.order {
            // What waits for its turn takes room too.
            Some(_) => self.taken - self.next,
            None => self.under_way,
        };
        let room = usize::try_from(self.window.saturating_sub(occupied)).unwrap_or(usize::MAX);
        if self.ended || room == 0 {
            return;
        }
        let payloads: Vec<Bytes> = self.inputs.by_ref().take(room).map(Into::into).collect();
        self.ended = payloads.len() < room;
        if payloads.is_empty() {
            return;
        }
        let (first, count) = (self.taken, payloads.len() as u64);
        self.taken += count;
        self.under_way += count;
        let command =
            Command::SubmitAll { inbox: Arc::clone(&self.inbox), first, like: Arc::clone(&self.like), payloads };
        if !self.handle.shared.push(command) {
            let failed = |sequence| Outcome { sequence, result: Err(Failure::of(Status::Unavailable)), last: true };
            self.inbox.put(&mut (first..first + count).map(failed).collect());
        }
    }

    /// The next outcome that is here and whose turn it is.
    fn pop(&mut self) -> Option<Outcome> {
        let Some(order) = &mut self.order else { return self.arrived.pop_front() };
        let front = order.front_mut()?;
        if let Some(partial) = front.partial.pop_front() {
            return Some(partial);
        }
        let last = front.last.take()?;
        order.pop_front();
        self.next += 1;
        Some(last)
    }

    /// Puts what has arrived in its place.
    fn sort(&mut self) {
        let Some(order) = &mut self.order else {
            self.under_way -= self.arrived.iter().filter(|outcome| outcome.last).count() as u64;
            return;
        };
        for outcome in self.arrived.drain(..) {
            self.under_way -= u64::from(outcome.last);
            // What has come is of an input that was taken, and after those that are over.
            let place = (outcome.sequence - self.next) as usize;
            if order.len() <= place {
                order.resize_with(place + 1, Slot::default);
            }
            if outcome.last {
                order[place].last = Some(outcome);
            } else {
                order[place].partial.push_back(outcome);
            }
        }
    }
}

impl<I> Iterator for Job<I>
where
    I: Iterator,
    I::Item: Into<Bytes>,
{
    type Item = Outcome;

    /// Waits for the next outcome; `None` when every input has had its last.
    fn next(&mut self) -> Option<Outcome> {
        loop {
            if let Some(outcome) = self.pop() {
                return Some(outcome);
            }
            self.take_inputs();
            if self.under_way == 0 {
                // Nothing is under way, nothing has come: there were no more inputs.
                return None;
            }
            self.inbox.take_all(&mut self.arrived);
            self.sort();
            self.take_inputs();
        }
    }
}

impl<I> Drop for Job<I> {
    fn drop(&mut self) {
        if self.under_way > 0 {
            // With no thread any more there is nothing to cancel.
            self.handle.shared.push(Command::Forget(Arc::clone(&self.inbox)));
        }
    }
}

impl<I> fmt::Debug for Job<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("taken", &self.taken).field("under_way", &self.under_way).finish_non_exhaustive()
    }
}
