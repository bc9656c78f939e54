//! A job's handle: takes inputs as there is room for them and gives outcomes.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use palm_proto::client::{Config, Counters, Outcome as MachineOutcome, Reply, Retry};
use palm_proto::message::FAILURE_PAYLOAD;
use palm_proto::{MessageWriter, Status};

use super::Handle;
use super::state::{JobId, Submission};

/// Most inputs taken, and outcomes fetched, in one go.
const BATCH: usize = 64;

/// How a job is done: `JobOptions { window: 100, ..JobOptions::default() }`.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// Most messages under way at a time; 1000 by default.
    pub window: u32,
    /// Whether outcomes come in the order of the inputs, not as they arrive; off by default.
    pub ordered: bool,
    /// How long a try may take; for ever by default.
    pub timeout: Option<Duration>,
    /// How often a message is sent again that was not answered in time, or given up on by a master that stopped; 0 by default.
    pub retries: u32,
    /// Whether a message is also sent again if every worker it was given to was lost with it; off by default.
    pub retry_dead_letters: bool,
    /// Results that each message has; 1 by default. A message of which some results are here already is not sent again.
    pub results: u32,
    /// Goes with every message as its cache field; empty by default.
    pub cache: String,
    /// How urgent the messages are, from 0 to 3; 0 by default. Masters that do not know our extension fields pay no heed.
    pub priority: u8,
    /// How long, from each try, the server is told that a result is of use; `timeout` by default.
    pub deadline: Option<Duration>,
}

impl Default for JobOptions {
    fn default() -> Self {
        let Config { window, results, ordered, timeout, .. } = Config::default();
        Self {
            window,
            ordered,
            timeout,
            retries: 0,
            retry_dead_letters: false,
            results,
            cache: String::new(),
            priority: 0,
            deadline: None,
        }
    }
}

impl JobOptions {
    /// How long the master is told that a message is waited for.
    fn told(&self) -> Option<Duration> {
        self.deadline.or(self.timeout)
    }

    pub(super) fn machine(&self) -> Config {
        Config {
            window: self.window,
            results: self.results,
            ordered: self.ordered,
            timeout: self.timeout,
            deadline: self.told(),
            retry: Retry { dead_letter: self.retry_dead_letters, ..Retry::times(self.retries) },
            ..Config::default()
        }
    }
}

/// One result of a message, or its failure.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Number of the input, from 0.
    pub sequence: u64,
    /// The function's result. What a Python worker sends when its function fails cannot be told from the result `0`.
    pub result: Result<Bytes, Failure>,
    /// Whether it is the input's last; always, unless more than one result was asked for.
    pub last: bool,
    /// How often the message was sent again.
    pub retries: u32,
    /// Time since the message was submitted.
    pub elapsed: Duration,
}

/// What went wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure; [`Status::DeadlineExceeded`] if the time was up.
    pub status: Status,
    /// More about it, for people; may be empty.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

impl std::error::Error for Failure {}

/// A job under way: a stream of outcomes, which takes inputs and sends them while it is polled.
///
/// Each input ends in exactly one outcome that is its last, as long as there is a time limit or nothing is lost; with a
/// connection that breaks, what is unanswered is sent again on the next one. Dropped, it forgets what is under way.
pub struct Job<I> {
    handle: Arc<Handle>,
    id: JobId,
    inputs: Pin<Box<I>>,
    inputs_ended: bool,
    /// The fields before the payload.
    head: Bytes,
    deadline: Option<u64>,
    window: u64,
    /// The sequence numbers not used yet: the first, and how many.
    sequences: (u64, u64),
    /// Which input a sequence number belongs to: runs of both, by their first.
    runs: Vec<(u64, u64)>,
    inputs_taken: u64,
    submitting: VecDeque<Submission>,
    outcomes: VecDeque<MachineOutcome<Bytes>>,
}

impl<I: Stream<Item = Bytes>> Job<I> {
    pub(super) fn new(handle: Arc<Handle>, function: &str, inputs: I, options: &JobOptions) -> Self {
        let mut head = BytesMut::new();
        let config = &handle.config;
        let mut writer = MessageWriter::new(&mut head);
        writer
            .pipeline(&config.pipeline)
            .client(&config.id)
            .function(&config.qualified(function))
            .cache(&options.cache);
        if options.priority > 0 {
            writer.priority(options.priority);
        }
        let _ = writer.finish();
        let id = handle.shared.begin(options.machine());
        Self {
            handle,
            id,
            inputs: Box::pin(inputs),
            inputs_ended: false,
            head: head.freeze(),
            deadline: options.told().map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            window: u64::from(options.window.max(1)),
            sequences: (0, 0),
            runs: Vec::new(),
            inputs_taken: 0,
            submitting: VecDeque::new(),
            outcomes: VecDeque::new(),
        }
    }

    /// The next outcome; `None` when every input has had its last. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Outcome> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Counts of the job so far.
    pub fn counters(&self) -> Counters {
        self.handle.shared.counters(self.id)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Outcome>> {
        loop {
            if let Some(outcome) = self.outcomes.pop_front() {
                return Poll::Ready(Some(self.outcome(outcome)));
            }
            let shared = self.handle.shared.clone();
            let look = shared.outcomes(self.id, BATCH, &mut self.outcomes, context.waker());
            let took = self.take_inputs(context, look.room);
            if !self.submitting.is_empty() {
                shared.submit(self.id, &mut self.submitting);
            }
            if !self.outcomes.is_empty() {
                continue;
            }
            match took {
                Took::End if look.idle && self.submitting.is_empty() && self.inputs_ended => return Poll::Ready(None),
                // There may be more to take, or outcomes already.
                Took::Some | Took::Ended => {}
                Took::End | Took::Nothing => return Poll::Pending,
            }
        }
    }

    /// Takes inputs for which there is room.
    fn take_inputs(&mut self, context: &mut Context<'_>, room: usize) -> Took {
        if self.inputs_ended {
            return Took::End;
        }
        let mut took = Took::Nothing;
        for _ in self.submitting.len()..room.min(BATCH) {
            match self.inputs.as_mut().poll_next(context) {
                Poll::Ready(Some(payload)) => {
                    let message = self.message(&payload);
                    self.submitting.push_back(message);
                    took = Took::Some;
                }
                Poll::Ready(None) => {
                    self.inputs_ended = true;
                    return Took::Ended;
                }
                Poll::Pending => break,
            }
        }
        took
    }

    fn message(&mut self, payload: &[u8]) -> Submission {
        if self.sequences.1 == 0 {
            // A short job takes few numbers, a long one few times.
            let wanted = self.window.max(self.inputs_taken);
            self.sequences = self.handle.shared.sequences(self.id, wanted);
            let follows =
                self.runs.last().is_some_and(|&(first, input)| self.sequences.0 - first == self.inputs_taken - input);
            if !follows {
                self.runs.push((self.sequences.0, self.inputs_taken));
            }
        }
        let sequence = self.sequences.0;
        self.sequences = (sequence + 1, self.sequences.1 - 1);
        self.inputs_taken += 1;
        let mut message = BytesMut::with_capacity(self.head.len() + payload.len() + 32);
        let mut writer = MessageWriter::new(&mut message);
        writer.raw(&self.head).payload(payload).sequence(sequence);
        if let Some(deadline) = self.deadline {
            writer.deadline(deadline);
        }
        let _ = writer.finish();
        let most = self.handle.shared.max_message();
        if message.len() > most {
            let text = format!("{} bytes, and the server takes {most}", message.len());
            return Submission { sequence, message: self.head.clone(), failure: too_long(sequence, &text) };
        }
        Submission { sequence, message: message.freeze(), failure: None }
    }

    fn outcome(&self, outcome: MachineOutcome<Bytes>) -> Outcome {
        let shared = &self.handle.shared;
        let run = self.runs.partition_point(|&(first, _)| first <= outcome.sequence).checked_sub(1);
        let (first, input) = run.and_then(|run| self.runs.get(run)).copied().unwrap_or((0, 0));
        let result = outcome.result.map_err(|failure| {
            let text = failure.text().to_owned();
            Failure { status: failure.status, text }
        });
        Outcome {
            sequence: outcome.sequence - first + input,
            result: result.map(|reply| {
                let (message, payload) = reply.into_parts();
                message.slice(payload)
            }),
            last: outcome.last,
            retries: outcome.retries,
            elapsed: shared.now().saturating_since(outcome.submitted),
        }
    }
}

/// The answer to a message that the server would close the connection at.
fn too_long(sequence: u64, text: &str) -> Option<Reply<Bytes>> {
    let mut answer = BytesMut::new();
    let _ = MessageWriter::new(&mut answer)
        .payload(FAILURE_PAYLOAD)
        .sequence(sequence)
        .status(Status::TooLong)
        .error(text)
        .finish();
    Reply::parse(answer.freeze()).ok()
}

enum Took {
    /// Some inputs, and perhaps there are more.
    Some,
    /// The last inputs, if any, and the end.
    Ended,
    /// There was an end before.
    End,
    /// None is there, or there is no room.
    Nothing,
}

impl<I: Stream<Item = Bytes>> Stream for Job<I> {
    type Item = Outcome;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Outcome>> {
        self.get_mut().poll(context)
    }
}

impl<I> Drop for Job<I> {
    fn drop(&mut self) {
        self.handle.shared.end(self.id, self.runs.iter().map(|&(first, _)| first));
    }
}

impl<I> fmt::Debug for Job<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("inputs_taken", &self.inputs_taken).finish_non_exhaustive()
    }
}
