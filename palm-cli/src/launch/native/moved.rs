//! A job that goes on over ZeroMQ, since its master came back without the native protocol.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, Chain, Stream};
use palm_transport_zmq::{Client, JobOptions};

use super::order::Order;
use super::{Entry, Job};
use crate::launch::job::{Failure, Outcome};

/// Payloads of messages without a last outcome, then those of messages that are still to be taken.
type Inputs<I> = Chain<stream::Iter<std::vec::IntoIter<Bytes>>, Pin<Box<I>>>;

/// A job under way that has changed its protocol.
pub(crate) struct Moved<I> {
    job: palm_transport_zmq::Job<Inputs<I>>,
    /// The messages that come first: their numbers, and how many results of them are here already.
    first: Vec<(u64, u32)>,
    /// The number of the message after these.
    taken: u64,
    order: Order,
}

impl<I: Stream<Item = Bytes>> Moved<I> {
    pub(super) fn new(from: Job<I>, client: &Client) -> Self {
        let Job { under_way, messages, options, function, taken, order, .. } = from;
        let first = under_way.iter().map(|(&sequence, entry)| (sequence, entry.results)).collect();
        let payloads: Vec<Bytes> = under_way.into_values().map(|Entry { payload, .. }| payload).collect();
        let inputs = stream::iter(payloads).chain(messages);
        // They have their turns here.
        let options = JobOptions { ordered: false, ..options.zmq() };
        Self { job: client.job(&function, inputs, &options), first, taken, order }
    }

    /// The next outcome; `None` when every message has had its last. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Outcome> {
        loop {
            if let Some(outcome) = self.order.pop() {
                return Some(outcome);
            }
            let outcome = self.job.next().await?;
            let sequence = match self.first.get_mut(outcome.sequence as usize) {
                Some((_, here)) if *here > 0 && outcome.result.is_ok() && !outcome.last => {
                    *here -= 1;
                    continue;
                }
                Some((sequence, _)) => *sequence,
                None => self.taken + outcome.sequence - self.first.len() as u64,
            };
            let result = outcome.result.map_err(|failure| Failure { status: failure.status, text: failure.text });
            self.order.put(Outcome { sequence, result }, outcome.last);
        }
    }
}
