//! Topics under which results wait, and who takes them.

use crate::collections::{Link, List, NONE};
use crate::time::Instant;

use super::super::MasterStorage;
use super::super::delivery::{Delivery, Rank, Topic};
use super::{Ledger, Publication, Results, topic_of};

impl<S: MasterStorage> Results<S> {
    /// Puts a result under its topic, to which nobody has subscribed.
    pub(super) fn wait(
        &mut self,
        ledger: &mut Ledger<'_, S>,
        publication: Publication<S::Buffer>,
    ) -> Result<(), Publication<S::Buffer>> {
        ledger.accounts.add_result(publication.sender, publication.message.footprint());
        self.make_room(ledger);
        let sender = publication.sender;
        let back = |entry: Delivery<S::Buffer>| Publication {
            message: entry.message,
            topic: entry.topic,
            sender: entry.sender,
            note: entry.note,
        };
        let entry = Self::delivery(ledger.now, publication, Rank::Full);
        let index = match self.deliveries.insert(entry) {
            Ok(index) => index,
            Err(entry) => {
                ledger.accounts.remove_result(sender, entry.message.footprint());
                return Err(back(entry));
            }
        };
        self.ages.push_back(&mut self.deliveries, index);
        self.note_kept(ledger.journal, index);
        if self.put_under_topic(index) { Ok(()) } else { Err(back(self.forget(ledger, index))) }
    }

    /// Hands a delivery that is in no queue to who has subscribed to its topic, or puts it there if nobody has; `false` if there is
    /// no room for the topic.
    pub(super) fn rehome(&mut self, index: u32) -> bool {
        let entry = &self.deliveries[index];
        let since = entry.since;
        let key = topic_of(&entry.message, &entry.topic, self.own_topic.as_ref());
        if let Some(target) = self.subscriptions.exact_target(key) {
            self.enqueue(since, index, target);
            return true;
        }
        self.put_under_topic(index)
    }

    /// Puts a delivery under its topic; `false` if there is no room for that.
    pub(super) fn put_under_topic(&mut self, index: u32) -> bool {
        let entry = &self.deliveries[index];
        let key = topic_of(&entry.message, &entry.topic, self.own_topic.as_ref());
        let hash = self.hash.hash(key);
        let topic = match self.find_hashed(hash, key) {
            Some(topic) => topic,
            None => {
                let topic = Topic {
                    hash,
                    waiting: List::new(),
                    owner: NONE,
                    last_taken: Instant::ZERO,
                    claimed_link: Link::UNLINKED,
                };
                let Ok(topic) = self.topics.insert(topic) else { return false };
                if !self.by_topic.insert(hash, topic) {
                    self.topics.remove(topic);
                    return false;
                }
                topic
            }
        };
        self.deliveries[index].under = topic;
        self.topics[topic].waiting.push_back(&mut self.deliveries, index);
        true
    }

    /// The topic under which results wait, if any do.
    pub(super) fn find_topic(&self, key: &[u8]) -> Option<u32> {
        if self.topics.is_empty() {
            return None;
        }
        self.find_hashed(self.hash.hash(key), key)
    }

    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.by_topic.candidates(hash).find(|&topic| self.key(topic) == key)
    }

    /// What a topic is called: what waits under it says so.
    fn key(&self, topic: u32) -> &[u8] {
        let first = self.topics[topic].waiting.front().map(|first| &self.deliveries[first]);
        first.map_or(&[], |entry| topic_of(&entry.message, &entry.topic, self.own_topic.as_ref()))
    }

    /// Lets a subscriber take what waits under `topic`, unless another does. However much that is, this looks at none of it.
    pub(super) fn claim(&mut self, now: Instant, id: u32, topic: &[u8]) {
        let Some(topic) = self.find_topic(topic).filter(|&topic| self.topics[topic].owner == NONE) else { return };
        let subscriber = &mut self.subscribers[id];
        if !subscriber.has_next() {
            subscriber.last_taken = now;
        }
        subscriber.claimed.push_back(&mut self.topics, topic);
        self.topics[topic].owner = id;
        self.wake(id);
    }

    /// Who takes what waits under `topic` takes it no more: another does, or it waits again.
    pub(super) fn release(&mut self, topic: u32) {
        let owner = core::mem::replace(&mut self.topics[topic].owner, NONE);
        let subscriber = &mut self.subscribers[owner];
        subscriber.claimed.remove(&mut self.topics, topic);
        let last_taken = subscriber.last_taken;
        let entry = &mut self.topics[topic];
        entry.last_taken = last_taken.max(entry.last_taken);
        if let Some(other) = self.subscriptions.exact_target(self.key(topic)) {
            let subscriber = &mut self.subscribers[other];
            if !subscriber.has_next() {
                subscriber.last_taken = last_taken;
            }
            subscriber.claimed.push_back(&mut self.topics, topic);
            self.topics[topic].owner = other;
            self.wake(other);
        }
    }

    /// Takes a delivery from under its topic, if it is under one.
    #[inline]
    pub(super) fn leave_topic(&mut self, index: u32) {
        let topic = core::mem::replace(&mut self.deliveries[index].under, NONE);
        if topic != NONE {
            self.topics[topic].waiting.remove(&mut self.deliveries, index);
            self.reap_topic(topic);
        }
    }

    fn reap_topic(&mut self, topic: u32) {
        let entry = &self.topics[topic];
        if entry.waiting.is_empty() {
            let (owner, hash) = (entry.owner, entry.hash);
            if owner != NONE {
                self.subscribers[owner].claimed.remove(&mut self.topics, topic);
            }
            self.by_topic.remove(hash, topic);
            self.topics.remove(topic);
        }
    }
}
