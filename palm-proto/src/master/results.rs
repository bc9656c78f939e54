//! Results on their way to who subscribed to them.
//!
//! A result for which there is a subscriber waits in that subscriber's queue; one for which there is none yet, under its
//! topic, until somebody subscribes or the time to keep has passed. What a subscriber had not taken when it left goes back
//! under its topic.

use core::ops::Range;
use core::time::Duration;

use crate::buffer::{Buffer, Span};
use crate::collections::{Index, Link, List, NONE, Slab};
use crate::hash::KeyedHash;
use crate::time::Instant;

use super::MasterStorage;
use super::delivery::{Delivery, Holder, InAge, InWake, Subscriber, Topic};
use super::journal::{Journal as _, Record, ResultId};
use super::origin::Note;
use super::subscriptions::{SubscribeError, Subscriptions};

/// A connection over which results go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriberId(pub(super) u32);

/// A result that goes into the book.
pub(super) struct Publication<B> {
    pub(super) message: Span<B>,
    pub(super) topic: Range<u32>,
    pub(super) sender: u32,
    pub(super) note: Note,
}

/// What went out of the book, for the accounts.
pub(super) struct Removed {
    pub(super) sender: u32,
    pub(super) footprint: usize,
}

#[derive(Debug)]
pub(super) struct Results<S: MasterStorage> {
    deliveries: Slab<Delivery<S::Buffer>, S::Deliveries>,
    subscribers: Slab<Subscriber, S::Subscribers>,
    subscriptions: Subscriptions<S>,
    topics: Slab<Topic<S::Key>, S::Topics>,
    by_topic: Index<S::TopicPlaces>,
    /// All deliveries, roughly by age.
    ages: List<InAge>,
    wakes: List<InWake>,
    hash: KeyedHash,
    keep: Duration,
    /// Number of the current publication.
    publication: u64,
    /// The master's name, where results go to the next stage.
    pub(super) own_topic: Option<Span<S::Key>>,
}

impl<S: MasterStorage> Results<S> {
    #[expect(clippy::too_many_arguments, reason = "one table each")]
    pub(super) fn new(
        deliveries: S::Deliveries,
        subscribers: S::Subscribers,
        subscriptions: S::Subscriptions,
        subscription_places: S::SubscriptionPlaces,
        lengths: S::Lengths,
        topics: S::Topics,
        topic_places: S::TopicPlaces,
        hash: KeyedHash,
        keep: Duration,
    ) -> Self {
        Self {
            deliveries: Slab::new(deliveries),
            subscribers: Slab::new(subscribers),
            subscriptions: Subscriptions::new(subscriptions, subscription_places, lengths, hash),
            topics: Slab::new(topics),
            by_topic: Index::new(topic_places),
            ages: List::new(),
            wakes: List::new(),
            hash,
            keep,
            publication: 0,
            own_topic: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.deliveries.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.deliveries.capacity()
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    /// Whether results wait for anybody who is connected.
    pub(super) fn has_takers(&self) -> bool {
        self.subscribers.indices().any(|index| !self.subscribers[index].queue.is_empty())
    }

    pub(super) fn add_subscriber(&mut self, now: Instant, token: u32) -> Option<SubscriberId> {
        let subscriber = Subscriber {
            token,
            queue: List::new(),
            subscriptions: List::new(),
            last_taken: now,
            publication: 0,
            wake_link: Link::UNLINKED,
        };
        self.subscribers.insert(subscriber).ok().map(SubscriberId)
    }

    /// Takes a subscriber out. What it had not taken waits for another one, unless others were given it, too.
    /// O(results and subscriptions that it had).
    pub(super) fn remove_subscriber(
        &mut self,
        journal: &mut S::Journal,
        SubscriberId(id): SubscriberId,
        mut drop: impl FnMut(Removed),
    ) {
        if self.subscribers.get(id).is_none() {
            return;
        }
        self.subscriptions.clear(&mut self.subscribers[id].subscriptions);
        let last_taken = self.subscribers[id].last_taken;
        while let Some(index) = self.subscribers[id].queue.pop_front(&mut self.deliveries) {
            if last_taken > self.deliveries[index].since {
                // It would have been kept for one that is slow: it is for one that calls again.
                self.renew(index, last_taken);
            }
            let entry = &self.deliveries[index];
            if entry.taken || entry.sibling != NONE || !self.rehome(index) {
                drop(self.discard(journal, index));
            }
        }
        if self.subscribers[id].wake_link.is_linked() {
            self.wakes.remove(&mut self.subscribers, id);
        }
        self.subscribers.remove(id);
    }

    /// Subscribes to every topic that begins with `prefix`, and hands over what waits under those.
    /// O(topics under which results wait, and those results).
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        SubscriberId(id): SubscriberId,
        prefix: &[u8],
    ) -> Result<(), SubscribeError> {
        if self.subscriptions.add(&mut self.subscribers[id].subscriptions, id, prefix)? {
            self.claim(now, id, prefix);
        }
        Ok(())
    }

    /// Takes one subscription back; what is in the subscriber's queue by then still goes to it.
    pub(super) fn cancel(&mut self, SubscriberId(id): SubscriberId, prefix: &[u8]) {
        let Some(subscriber) = self.subscribers.get_mut(id) else { return };
        self.subscriptions.cancel(&mut subscriber.subscriptions, id, prefix);
    }

    /// Puts a result into the queue of each of its subscribers, or under its topic if there are none. `charge` is told the
    /// account and the footprint of each that is kept; `spare` is how many copies there may be for further subscribers. Gives
    /// the number of copies that found no room.
    ///
    /// The caller has seen to it that the table has room for one.
    pub(super) fn publish(
        &mut self,
        journal: &mut S::Journal,
        now: Instant,
        publication: Publication<S::Buffer>,
        mut charge: impl FnMut(u32, usize),
        spare: usize,
    ) -> Result<u64, Publication<S::Buffer>> {
        let Publication { message, topic, sender, note } = publication;
        let key = topic_of(&message, &topic, self.own_topic.as_ref());
        if let Some(target) = self.subscriptions.only_target(key) {
            charge(sender, message.footprint());
            self.hand(journal, now, Publication { message, topic, sender, note }, target, NONE);
            return Ok(0);
        }
        let mut first = None;
        let mut copies_dropped = 0;
        let mut room = spare;
        let mut only = true;
        let mut copies = NONE;
        self.publication += 1;
        loop {
            let found = self.targets(topic_of(&message, &topic, self.own_topic.as_ref()));
            for &target in &found {
                self.subscribers[target].publication = self.publication;
                if first.is_none() {
                    first = Some(target);
                } else if room == 0 {
                    only = false;
                    copies_dropped += 1;
                } else {
                    only = false;
                    room -= 1;
                    charge(sender, message.footprint());
                    let note = note.clone();
                    let copy = Publication { message: message.clone(), topic: topic.clone(), sender, note };
                    copies = self.hand(journal, now, copy, target, copies);
                }
            }
            if !found.is_full() {
                break;
            }
        }
        charge(sender, message.footprint());
        if let (Some(target), true) = (first, only) {
            self.subscriptions.learn(topic_of(&message, &topic, self.own_topic.as_ref()), target);
        }
        let publication = Publication { message, topic, sender, note };
        match first {
            Some(target) => _ = self.hand(journal, now, publication, target, copies),
            None => {
                let entry = Self::delivery(now, publication, Holder::Topic(0));
                let index = match self.deliveries.insert(entry) {
                    Ok(index) => index,
                    Err(entry) => {
                        return Err(Publication {
                            message: entry.message,
                            topic: entry.topic,
                            sender,
                            note: entry.note,
                        });
                    }
                };
                self.ages.push_back(&mut self.deliveries, index);
                self.note_kept(journal, index);
                if !self.rehome(index) {
                    let entry = self.forget(journal, index);
                    return Err(Publication { message: entry.message, topic: entry.topic, sender, note: entry.note });
                }
            }
        }
        Ok(copies_dropped)
    }

    /// The next subscriber that has something to take since it was last asked.
    pub(super) fn pop_wake(&mut self) -> Option<u32> {
        let index = self.wakes.pop_front(&mut self.subscribers)?;
        Some(self.subscribers[index].token)
    }

    pub(super) fn has_next(&self, SubscriberId(id): SubscriberId) -> bool {
        self.subscribers.get(id).is_some_and(|subscriber| !subscriber.queue.is_empty())
    }

    /// The next result for a subscriber, which stays where it is.
    pub(super) fn peek_next(&self, SubscriberId(id): SubscriberId) -> Option<&Delivery<S::Buffer>> {
        Some(&self.deliveries[self.subscribers.get(id)?.queue.front()?])
    }

    /// The next result for a subscriber.
    pub(super) fn take_next(
        &mut self,
        journal: &mut S::Journal,
        now: Instant,
        SubscriberId(id): SubscriberId,
    ) -> Option<Delivery<S::Buffer>> {
        let subscriber = self.subscribers.get_mut(id)?;
        subscriber.last_taken = now;
        let index = subscriber.queue.pop_front(&mut self.deliveries)?;
        let mut sibling = self.deliveries[index].sibling;
        while sibling != index && sibling != NONE {
            self.deliveries[sibling].taken = true;
            sibling = self.deliveries[sibling].sibling;
        }
        Some(self.forget(journal, index))
    }

    /// When the oldest result's time to keep has passed, if nobody takes anything until then.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.ages.front().map(|oldest| self.deliveries[oldest].since + self.keep)
    }

    /// Drops the oldest result if its time has passed. `Kept` if its holder has taken something since, and it stays.
    pub(super) fn expire(&mut self, journal: &mut S::Journal, now: Instant) -> Expiry<S::Buffer> {
        let Some(oldest) = self.ages.front() else { return Expiry::None };
        let entry = &self.deliveries[oldest];
        if entry.since + self.keep > now {
            return Expiry::None;
        }
        if let Holder::Subscriber(id) = entry.holder {
            let last_taken = self.subscribers[id].last_taken;
            if last_taken > entry.since && last_taken + self.keep > now {
                self.renew(oldest, last_taken);
                return Expiry::Kept;
            }
        }
        match self.deliveries[oldest].holder {
            Holder::Subscriber(id) => self.subscribers[id].queue.remove(&mut self.deliveries, oldest),
            Holder::Topic(topic) => {
                self.topics[topic].waiting.remove(&mut self.deliveries, oldest);
                self.reap_topic(topic);
            }
        }
        Expiry::Dropped(self.forget(journal, oldest))
    }

    /// The time to keep begins again at `since`.
    fn renew(&mut self, index: u32, since: Instant) {
        self.ages.remove(&mut self.deliveries, index);
        self.deliveries[index].since = since;
        self.ages.push_back(&mut self.deliveries, index);
    }

    fn discard(&mut self, journal: &mut S::Journal, index: u32) -> Removed {
        let entry = self.forget(journal, index);
        Removed { sender: entry.sender, footprint: entry.message.footprint() }
    }

    fn id(&self, index: u32) -> ResultId {
        ResultId { index, generation: self.deliveries.generation(index).unwrap_or(0) }
    }

    #[inline(always)]
    fn note_kept(&self, journal: &mut S::Journal, index: u32) {
        journal.record(Record::Kept { result: self.id(index), message: &self.deliveries[index].message });
    }

    /// Takes a delivery out that is in no queue. O(copies of it).
    fn forget(&mut self, journal: &mut S::Journal, index: u32) -> Delivery<S::Buffer> {
        journal.record(Record::Left { result: self.id(index) });
        let next = self.deliveries[index].sibling;
        if next != NONE {
            let mut previous = next;
            while self.deliveries[previous].sibling != index {
                previous = self.deliveries[previous].sibling;
            }
            self.deliveries[previous].sibling = if next == previous { NONE } else { next };
        }
        self.ages.remove(&mut self.deliveries, index);
        self.deliveries.remove(index).expect("queues hold indices of live deliveries only")
    }

    fn delivery(now: Instant, publication: Publication<S::Buffer>, holder: Holder) -> Delivery<S::Buffer> {
        Delivery {
            message: publication.message,
            topic: publication.topic,
            sender: publication.sender,
            note: publication.note,
            since: now,
            holder,
            taken: false,
            sibling: NONE,
            queue_link: Link::UNLINKED,
            age_link: Link::UNLINKED,
        }
    }

    /// Puts a result into a subscriber's queue, and into the ring of `copies`, a member of which it gives.
    fn hand(
        &mut self,
        journal: &mut S::Journal,
        now: Instant,
        publication: Publication<S::Buffer>,
        subscriber: u32,
        copies: u32,
    ) -> u32 {
        let entry = Self::delivery(now, publication, Holder::Subscriber(subscriber));
        let Ok(index) = self.deliveries.insert(entry) else { return copies };
        self.ages.push_back(&mut self.deliveries, index);
        self.note_kept(journal, index);
        self.enqueue(now, index, subscriber);
        if copies != NONE {
            let next = self.deliveries[copies].sibling;
            self.deliveries[index].sibling = if next == NONE { copies } else { next };
            self.deliveries[copies].sibling = index;
        }
        index
    }

    fn enqueue(&mut self, now: Instant, index: u32, id: u32) {
        let subscriber = &mut self.subscribers[id];
        if subscriber.queue.is_empty() {
            // It took all there was, and is measured from now on.
            subscriber.last_taken = now;
        }
        subscriber.queue.push_back(&mut self.deliveries, index);
        if !subscriber.wake_link.is_linked() {
            self.wakes.push_back(&mut self.subscribers, id);
        }
    }

    /// Puts a delivery that is in no queue under its topic, or hands it to who has subscribed; `false` if there is no room
    /// for the topic.
    fn rehome(&mut self, index: u32) -> bool {
        let entry = &self.deliveries[index];
        let since = entry.since;
        let key = topic_of(&entry.message, &entry.topic, self.own_topic.as_ref());
        self.publication += 1;
        if let Some(&target) = self.targets(key).first() {
            self.deliveries[index].holder = Holder::Subscriber(target);
            self.enqueue(since, index, target);
            return true;
        }
        let hash = self.hash.hash(key);
        let known = self.by_topic.candidates(hash).find(|&topic| self.topics[topic].key.as_slice() == key);
        let topic = match known {
            Some(topic) => topic,
            None => {
                let Some(key) = Span::copy_from(key) else { return false };
                let Ok(topic) = self.topics.insert(Topic { key, waiting: List::new() }) else { return false };
                if !self.by_topic.insert(hash, topic) {
                    self.topics.remove(topic);
                    return false;
                }
                topic
            }
        };
        self.deliveries[index].holder = Holder::Topic(topic);
        self.topics[topic].waiting.push_back(&mut self.deliveries, index);
        true
    }

    /// Hands what waits under topics that begin with `prefix` to a subscriber.
    fn claim(&mut self, now: Instant, id: u32, prefix: &[u8]) {
        if self.topics.is_empty() {
            return;
        }
        let mut from = 0;
        loop {
            let begins = |&topic: &u32| topic >= from && self.topics[topic].key.as_slice().starts_with(prefix);
            let Some(topic) = self.topics.indices().find(begins) else { return };
            while let Some(index) = self.topics[topic].waiting.pop_front(&mut self.deliveries) {
                self.deliveries[index].holder = Holder::Subscriber(id);
                self.enqueue(now, index, id);
            }
            self.reap_topic(topic);
            from = topic + 1;
        }
    }

    fn reap_topic(&mut self, topic: u32) {
        if self.topics[topic].waiting.is_empty() {
            let hash = self.hash.hash(self.topics[topic].key.as_slice());
            self.by_topic.remove(hash, topic);
            self.topics.remove(topic);
        }
    }

    /// Some subscribers whose prefix begins `topic` and that were not given this publication yet. If the answer is full, there
    /// may be more.
    fn targets(&self, topic: &[u8]) -> heapless::Vec<u32, 8> {
        self.subscriptions.targets(topic, |target| self.subscribers[target].publication == self.publication)
    }
}

/// What became of the oldest result.
pub(super) enum Expiry<B> {
    /// There is none whose time has passed.
    None,
    /// It stays, as its holder is taking results.
    Kept,
    /// It is dropped.
    Dropped(Delivery<B>),
}

/// The topic of a result: `own` where results go to the next stage, else its client's id.
pub(super) fn topic_of<'a, B: Buffer, K: Buffer>(
    message: &'a Span<B>,
    topic: &Range<u32>,
    own: Option<&'a Span<K>>,
) -> &'a [u8] {
    match own {
        Some(name) => name.as_slice(),
        None => message.as_slice().get(topic.start as usize..topic.end as usize).unwrap_or(&[]),
    }
}
