//! What is said of subscribers, and what they are given.

use crate::buffer::Span;
use crate::message::RawMessage;
use crate::time::Instant;

use super::machine::Master;
use super::origin::Note;
use super::output::Outcome;
use super::results::SubscriberId;
use super::storage::MasterStorage;
use super::subscriptions::SubscribeError;

impl<S: MasterStorage> Master<S> {
    /// Adds a connection over which results go out. [`poll_wake`](Self::poll_wake) names it by `token`. `None` if there is no
    /// room for one.
    pub fn add_subscriber(&mut self, now: Instant, token: u32) -> Option<SubscriberId> {
        self.results.add_subscriber(now, token)
    }

    /// The subscriber is gone: what it has not taken waits for another. O(results that waited for it).
    pub fn remove_subscriber(&mut self, subscriber: SubscriberId) {
        let (results, mut ledger) = self.results_at(self.now);
        results.remove_subscriber(&mut ledger, subscriber);
    }

    /// Subscribes to every topic that begins with `prefix`: to what comes from now on, and to what waits under the topic `prefix`
    /// itself. O(1).
    ///
    /// # Errors
    /// If there is no room for another subscription.
    pub fn handle_subscribe(
        &mut self,
        now: Instant,
        subscriber: SubscriberId,
        prefix: &[u8],
    ) -> Result<(), SubscribeError> {
        self.results.subscribe(now, subscriber, prefix)
    }

    /// Takes one subscription back.
    pub fn handle_cancel(&mut self, subscriber: SubscriberId, prefix: &[u8]) {
        self.results.cancel(subscriber, prefix);
    }

    /// The next result for a subscriber, which has it from then on. O(1).
    pub fn poll_result(&mut self, now: Instant, subscriber: SubscriberId) -> Option<Outcome<S::Buffer>> {
        let (results, mut ledger) = self.results_at(now);
        let delivery = results.take_next(&mut ledger, subscriber)?;
        // What is left of it gives way from now on, and may be more than is free.
        results.make_room(&mut ledger);
        self.counters.delivered += 1;
        if self.dispatcher.accounts.holds_back() {
            self.dispatch(now);
        }
        let (topic, stage) = match self.results.own_topic {
            None => (Some(delivery.topic.start as usize..delivery.topic.end as usize), None),
            Some(_) => {
                let stage = RawMessage::parse(delivery.message.as_slice()).map_or(0, |view| view.stage);
                (None, Some(stage.wrapping_add(1)))
            }
        };
        Some(Outcome { message: delivery.message, topic, stage, note: delivery.note })
    }

    /// The result that [`poll_result`](Self::poll_result) gives next, and what is noted of it.
    pub(crate) fn next_result(&self, subscriber: SubscriberId) -> Option<(&Note, &Span<S::Buffer>)> {
        self.results.peek_next(subscriber).map(|delivery| (&delivery.note, &delivery.message))
    }

    /// Whether there is a result for a subscriber.
    pub fn has_result(&self, subscriber: SubscriberId) -> bool {
        self.results.has_next(subscriber)
    }

    /// The topic under which all results go out, where they go to the next stage.
    pub fn own_topic(&self) -> Option<&[u8]> {
        self.results.own_topic.as_ref().map(Span::as_slice)
    }
}
