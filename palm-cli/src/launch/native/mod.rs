//! A job over the native protocol: takes messages as there is room for them, has them submitted, and gives outcomes.

mod connection;
mod moved;
mod order;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use palm_proto::client::Retry;
use palm_transport_tcp::{ClientEvent, Status, Submission};
use palm_transport_zmq::Client;

use super::job::{Failure, Options, Outcome};
use connection::Command;
pub(crate) use connection::{Connection, OpenError, Whereabouts};
pub(crate) use moved::Moved;
use order::Order;

/// Most messages taken, and events looked at, in one go.
const BATCH: usize = 64;

/// A job under way. Dropped, it cancels what is.
pub(crate) struct Job<I> {
    connection: Connection,
    messages: Pin<Box<I>>,
    function: Arc<str>,
    user_data: Arc<str>,
    options: Options,
    /// There are no more messages.
    ended: bool,
    /// Messages taken.
    taken: u64,
    /// Those without a last outcome.
    under_way: BTreeMap<u64, Entry>,
    order: Order,
    /// Why there is no connection any more.
    over: Option<String>,
}

/// A message under way.
struct Entry {
    /// Kept for further tries.
    payload: Bytes,
    since: Instant,
    retries: u32,
    results: u32,
}

impl<I: Stream<Item = Bytes>> Job<I> {
    pub(crate) fn new(connection: Connection, function: &str, messages: I, options: Options) -> Self {
        Self {
            connection,
            messages: Box::pin(messages),
            function: function.into(),
            user_data: options.user_data.as_str().into(),
            ended: false,
            taken: 0,
            under_way: BTreeMap::new(),
            order: Order::new(options.ordered),
            over: None,
            options,
        }
    }

    /// The next outcome; `None` when every message has had its last. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Outcome> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// What others may see and ask of its connection.
    pub(crate) fn whereabouts(&self) -> Arc<Whereabouts> {
        self.connection.whereabouts()
    }

    /// The same job over ZeroMQ: what has no last outcome yet, then what is still to come.
    pub(crate) fn over_zmq(self, client: &Client) -> Moved<I> {
        Moved::new(self, client)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Outcome>> {
        loop {
            if let Some(outcome) = self.order.pop() {
                return Poll::Ready(Some(outcome));
            }
            let heard = self.hear(context);
            let took = self.take_messages(context);
            if self.order.is_empty() && self.ended && self.under_way.is_empty() {
                return Poll::Ready(None);
            }
            if !heard && !took {
                return Poll::Pending;
            }
        }
    }

    /// Looks at what has come. Whether there was anything.
    fn hear(&mut self, context: &mut Context<'_>) -> bool {
        let mut heard = false;
        for _ in 0..BATCH {
            match self.connection.poll_event(context) {
                Poll::Ready(Some(event)) => self.on_event(event),
                Poll::Ready(None) if self.over.is_none() => self.on_end("the connection's thread has ended"),
                Poll::Ready(None) | Poll::Pending => break,
            }
            heard = true;
        }
        heard
    }

    fn on_event(&mut self, event: ClientEvent<u64>) {
        match event {
            ClientEvent::Last { tag, result: Ok(payload) } => self.on_result(tag, payload, true),
            ClientEvent::Partial { tag, payload } => self.on_result(tag, payload, false),
            ClientEvent::Last { tag, result: Err(failure) } => {
                self.on_failure(tag, Failure { status: failure.status, text: failure.text });
            }
            ClientEvent::Disconnected { why } => {
                tracing::warn!("the connection is lost: {why}; looking for the master");
            }
            ClientEvent::Connected { master, .. } => tracing::info!("connected to master {master} again"),
            ClientEvent::Ended { why } => self.on_end(&why),
            _ => {}
        }
    }

    fn on_result(&mut self, sequence: u64, payload: Bytes, last: bool) {
        let Some(entry) = self.under_way.get_mut(&sequence) else { return };
        entry.results += 1;
        let (results, wanted) = (entry.results, self.options.results);
        let over = last || results >= wanted;
        self.order.put(Outcome { sequence, result: Ok(payload) }, results >= wanted);
        if !over {
            return;
        }
        self.under_way.remove(&sequence);
        if results < wanted {
            let text = format!("the function gave {results} of {wanted} results");
            self.order.put(Outcome { sequence, result: Err(Failure { status: Status::Failed, text }) }, true);
        } else if !last {
            self.connection.tell(Command::Cancel(sequence));
        }
    }

    fn on_failure(&mut self, sequence: u64, failure: Failure) {
        let Some(entry) = self.under_way.get_mut(&sequence) else { return };
        let retry = Retry { dead_letter: true, ..Retry::times(self.options.retries) };
        let again = self.over.is_none() && entry.results == 0 && retry.applies(failure.status, entry.retries);
        if again {
            let (since, payload) = (entry.since, entry.payload.clone());
            entry.retries += 1;
            if let Some(submission) = self.submission(since, payload) {
                return self.connection.tell(Command::Submit(vec![(sequence, submission)]));
            }
        }
        self.under_way.remove(&sequence);
        self.order.put(Outcome { sequence, result: Err(failure) }, true);
    }

    /// There is no connection any more, and there will not be another.
    fn on_end(&mut self, why: &str) {
        self.over = Some(why.to_owned());
        for sequence in std::mem::take(&mut self.under_way).into_keys() {
            self.order.put(Outcome { sequence, result: Err(unavailable(why)) }, true);
        }
    }

    /// Takes messages for which there is room. Whether there were any, or they have ended.
    fn take_messages(&mut self, context: &mut Context<'_>) -> bool {
        let mut submissions = Vec::new();
        let mut took = false;
        while !self.ended && submissions.len() < BATCH && self.has_room() {
            match self.messages.as_mut().poll_next(context) {
                Poll::Ready(Some(payload)) => {
                    let sequence = self.taken;
                    self.taken += 1;
                    took = true;
                    if let Some(why) = &self.over {
                        let result = Err(unavailable(why));
                        self.order.put(Outcome { sequence, result }, true);
                        break;
                    }
                    let since = Instant::now();
                    self.under_way.insert(sequence, Entry { payload: payload.clone(), since, retries: 0, results: 0 });
                    if let Some(submission) = self.submission(since, payload) {
                        submissions.push((sequence, submission));
                    } else {
                        let failure = Failure { status: Status::DeadlineExceeded, text: String::new() };
                        self.on_failure(sequence, failure);
                    }
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    took = true;
                }
                Poll::Pending => break,
            }
        }
        if !submissions.is_empty() {
            self.connection.tell(Command::Submit(submissions));
        }
        took
    }

    fn has_room(&self) -> bool {
        self.order.waiting(self.taken).max(self.under_way.len() as u64) < u64::from(self.options.window)
    }

    /// A try; `None` if it is too late for one.
    fn submission(&self, since: Instant, payload: Bytes) -> Option<Submission> {
        let left = match self.options.deadline {
            Some(deadline) => Some(deadline.checked_sub(since.elapsed())?),
            None => None,
        };
        Some(Submission {
            user_data: Arc::clone(&self.user_data),
            priority: self.options.priority,
            timeout: Some(left.map_or(self.options.timeout, |left| left.min(self.options.timeout))),
            ..Submission::new(Arc::clone(&self.function), payload)
        })
    }
}

fn unavailable(why: &str) -> Failure {
    Failure { status: Status::Unavailable, text: why.to_owned() }
}
