//! Results on their way to who subscribed to them.
//!
//! A result whose topic somebody has subscribed to waits in that subscriber's queue; one for which there is nobody yet, under its
//! topic, until somebody subscribes to just that or the time to keep has passed. What a subscriber had not taken when it left goes
//! back under its topic. Who has subscribed to a shorter prefix is given what comes from then on, which waits for the topic's own
//! client as well.
//!
//! - `waiting.rs`: topics under which results wait, and who takes them;
//! - `spares.rs`: copies that give way when room is needed;
//! - `copies.rs`: what there is of a result that several are given.

use core::ops::Range;
use core::time::Duration;

use crate::buffer::{Buffer, Span};
use crate::collections::{Index, Link, List, NONE, Slab};
use crate::hash::KeyedHash;
use crate::time::Instant;

use super::MasterStorage;
use super::accounts::Accounts;
use super::delivery::{Delivery, InAge, InSpare, InWake, Rank, Subscriber, Tie, Topic};
use super::journal::{Journal as _, Record, ResultId};
use super::origin::Note;
use super::subscriptions::{Cursor, SubscribeError, Subscriptions, Target};

mod copies;
mod spares;
mod waiting;

/// A connection over which results go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriberId(pub(super) u32);

/// A result that goes into the book.
#[derive(Debug)]
pub(super) struct Publication<B> {
    pub(super) message: Span<B>,
    pub(super) topic: Range<u32>,
    pub(super) sender: u32,
    pub(super) note: Note,
}

/// What goes with a change: the time, who is told, and on whose account results are.
pub(super) struct Ledger<'a, S: MasterStorage> {
    pub(super) now: Instant,
    pub(super) journal: &'a mut S::Journal,
    pub(super) accounts: &'a mut Accounts<S::Senders>,
    /// Counts copies for further subscribers that found no room, or gave way.
    pub(super) copies_dropped: &'a mut u64,
    /// Counts copies kept for their own clients that gave way before one came.
    pub(super) kept_dropped: &'a mut u64,
}

#[derive(Debug)]
pub(super) struct Results<S: MasterStorage> {
    deliveries: Slab<Delivery<S::Buffer>, S::Deliveries>,
    subscribers: Slab<Subscriber, S::Subscribers>,
    subscriptions: Subscriptions<S>,
    /// Subscribers that have subscribed to anything.
    subscribed: usize,
    topics: Slab<Topic, S::Topics>,
    by_topic: Index<S::TopicPlaces>,
    /// All deliveries, roughly by age.
    ages: List<InAge, ()>,
    /// Copies kept for their topics' own clients, and others, that give way when room is needed; roughly by age.
    kept: List<InSpare>,
    extras: List<InSpare>,
    wakes: List<InWake, ()>,
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
            subscribed: 0,
            topics: Slab::new(topics),
            by_topic: Index::new(topic_places),
            ages: List::new(),
            kept: List::new(),
            extras: List::new(),
            wakes: List::new(),
            hash,
            keep,
            publication: 0,
            own_topic: None,
        }
    }

    /// Results that wait, but for copies that give way.
    pub(super) fn len(&self) -> usize {
        self.deliveries.len() - self.spares()
    }

    pub(super) fn capacity(&self) -> usize {
        self.deliveries.capacity()
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    /// Whether results wait for anybody who is connected.
    pub(super) fn has_takers(&self) -> bool {
        self.subscribers.indices().any(|index| self.subscribers[index].has_next())
    }

    pub(super) fn add_subscriber(&mut self, now: Instant, token: u32) -> Option<SubscriberId> {
        let subscriber = Subscriber {
            token,
            queue: List::new(),
            claimed: List::new(),
            subscriptions: List::new(),
            last_taken: now,
            publication: 0,
            wake_link: Link::UNLINKED,
        };
        self.subscribers.insert(subscriber).ok().map(SubscriberId)
    }

    /// Takes a subscriber out. What it had not taken waits for another one, unless others were given it, too.
    /// O(subscriptions and results that it had, but for those that had waited when it came).
    pub(super) fn remove_subscriber(&mut self, ledger: &mut Ledger<'_, S>, SubscriberId(id): SubscriberId) {
        if self.subscribers.get(id).is_none() {
            return;
        }
        self.subscribed -= usize::from(!self.subscribers[id].subscriptions.is_empty());
        self.subscriptions.clear(&mut self.subscribers[id].subscriptions);
        while let Some(topic) = self.subscribers[id].claimed.front() {
            self.release(topic);
        }
        let last_taken = self.subscribers[id].last_taken;
        while let Some(index) = self.subscribers[id].queue.pop_front(&mut self.deliveries) {
            if last_taken > self.deliveries[index].since {
                // It would have been kept for one that is slow: it is for one that calls again.
                self.renew(index, last_taken);
            }
            let entry = &mut self.deliveries[index];
            entry.holder = NONE;
            if entry.under != NONE {
                // It waits for its client still.
                continue;
            }
            let is_with_others = entry.taken || entry.tie != Tie::None || entry.rank == Rank::Extra;
            if is_with_others || !self.rehome(index) {
                self.forget(ledger, index);
            }
        }
        if self.subscribers[id].wake_link.is_linked() {
            self.wakes.remove(&mut self.subscribers, id);
        }
        self.subscribers.remove(id);
    }

    /// Subscribes to every topic that begins with `prefix`. What waits under `prefix` itself goes to this subscriber, unless it goes
    /// to another already. O(1).
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        SubscriberId(id): SubscriberId,
        prefix: &[u8],
    ) -> Result<(), SubscribeError> {
        if !self.may_add_subscription(id) && !self.subscriptions.is_known(id, prefix) {
            return Err(SubscribeError::Full);
        }
        let subscriber = &mut self.subscribers[id];
        self.subscribed += usize::from(subscriber.subscriptions.is_empty());
        let added = self.subscriptions.add(&mut subscriber.subscriptions, id, prefix);
        self.subscribed -= usize::from(subscriber.subscriptions.is_empty());
        if added? {
            self.claim(now, id, prefix);
        }
        Ok(())
    }

    /// Whether a subscriber may have one more subscription: the first if there is room, and further ones as long as it has no more than
    /// are left free beside one for each subscriber that may come. So none uses them up.
    fn may_add_subscription(&self, id: u32) -> bool {
        let own = self.subscribers[id].subscriptions.len();
        let (most, taken) = self.subscriptions.room();
        let subscribers = self.subscribers.capacity();
        let reserved = if most > subscribers { subscribers - self.subscribed } else { 0 };
        own == 0 || own < (most - taken).saturating_sub(reserved)
    }

    /// Takes one subscription back; what is in the subscriber's queue by then still goes to it. O(1).
    pub(super) fn cancel(&mut self, SubscriberId(id): SubscriberId, prefix: &[u8]) {
        let Some(subscriber) = self.subscribers.get_mut(id) else { return };
        let had_any = !subscriber.subscriptions.is_empty();
        let was_last = self.subscriptions.cancel(&mut subscriber.subscriptions, id, prefix);
        self.subscribed -= usize::from(had_any && subscriber.subscriptions.is_empty());
        if was_last && let Some(topic) = self.find_topic(prefix).filter(|&topic| self.topics[topic].owner == id) {
            self.release(topic);
        }
    }

    /// Puts a result into the queue of each of its subscribers, or under its topic if there are none. `spare` is how many copies
    /// there may be for further subscribers to the topic itself.
    ///
    /// The caller has seen to it that the table has room for one.
    pub(super) fn publish(
        &mut self,
        ledger: &mut Ledger<'_, S>,
        publication: Publication<S::Buffer>,
        spare: usize,
    ) -> Result<(), Publication<S::Buffer>> {
        let key = topic_of(&publication.message, &publication.topic, self.own_topic.as_ref());
        if let Some(target) = self.subscriptions.only_target(key) {
            self.hand(ledger, publication, target);
            return Ok(());
        }
        self.publication += 1;
        let mut cursor = Cursor::default();
        let found = self.targets(key, &mut cursor);
        let Some((&first, rest)) = found.split_first() else { return self.wait(ledger, publication) };
        if first.exact && rest.is_empty() {
            self.subscriptions.learn(key, first.subscriber);
        }
        self.subscribers[first.subscriber].publication = self.publication;
        if let Some(index) = self.hand(ledger, publication, first.subscriber) {
            if !first.exact {
                self.put_under_topic(index);
            }
            self.hand_copies(ledger, (index, first), rest, cursor, spare);
        }
        Ok(())
    }

    /// The next subscriber that has something to take since it was last asked.
    pub(super) fn pop_wake(&mut self) -> Option<u32> {
        let index = self.wakes.pop_front(&mut self.subscribers)?;
        Some(self.subscribers[index].token)
    }

    pub(super) fn has_next(&self, SubscriberId(id): SubscriberId) -> bool {
        self.subscribers.get(id).is_some_and(Subscriber::has_next)
    }

    /// The next result for a subscriber, which stays where it is.
    pub(super) fn peek_next(&self, SubscriberId(id): SubscriberId) -> Option<&Delivery<S::Buffer>> {
        let subscriber = self.subscribers.get(id)?;
        let next = match subscriber.claimed.front() {
            Some(topic) => self.topics[topic].waiting.front()?,
            None => subscriber.queue.front()?,
        };
        Some(&self.deliveries[next])
    }

    /// The next result for a subscriber. O(1).
    pub(super) fn take_next(
        &mut self,
        ledger: &mut Ledger<'_, S>,
        SubscriberId(id): SubscriberId,
    ) -> Option<Publication<S::Buffer>> {
        let subscriber = self.subscribers.get_mut(id)?;
        subscriber.last_taken = ledger.now;
        let index = match subscriber.claimed.front() {
            Some(topic) => self.topics[topic].waiting.front()?,
            None => subscriber.queue.front()?,
        };
        let entry = &self.deliveries[index];
        if entry.tie != Tie::None {
            self.tell_copies(ledger, index);
        } else if entry.under != NONE && entry.holder != NONE {
            return Some(self.take_shared(ledger, index, id));
        }
        self.take_out(index);
        let entry = self.forget(ledger, index);
        Some(Publication { message: entry.message, topic: entry.topic, sender: entry.sender, note: entry.note })
    }

    /// When the oldest result's time to keep has passed, if nobody takes anything until then.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.ages.front().map(|oldest| self.deliveries[oldest].since + self.keep)
    }

    /// Drops the oldest result if its time has passed. `Kept` if its holder has taken something since, and it stays.
    pub(super) fn expire(&mut self, ledger: &mut Ledger<'_, S>) -> Expiry<S::Buffer> {
        let Some(oldest) = self.ages.front() else { return Expiry::None };
        let entry = &self.deliveries[oldest];
        if entry.since + self.keep > ledger.now {
            return Expiry::None;
        }
        let of = |id: u32| self.subscribers.get(id).map(|subscriber| subscriber.last_taken);
        let of_topic = |topic: &Topic| of(topic.owner).unwrap_or(topic.last_taken);
        let last_taken = of(entry.holder).max(self.topics.get(entry.under).map(of_topic)).unwrap_or(Instant::ZERO);
        if last_taken > entry.since && last_taken + self.keep > ledger.now {
            self.renew(oldest, last_taken);
            return Expiry::Kept;
        }
        if entry.rank != Rank::Full {
            self.drop_expired(ledger, oldest);
            return Expiry::Kept;
        }
        self.take_out(oldest);
        Expiry::Dropped(self.forget(ledger, oldest))
    }

    /// The time to keep begins again at `since`.
    fn renew(&mut self, index: u32, since: Instant) {
        self.ages.remove(&mut self.deliveries, index);
        self.deliveries[index].since = since;
        self.ages.push_back(&mut self.deliveries, index);
    }

    /// Takes a delivery out of the queue and from under the topic that it is in.
    #[inline]
    fn take_out(&mut self, index: u32) {
        self.leave_queue(index);
        self.leave_topic(index);
    }

    #[inline]
    fn leave_queue(&mut self, index: u32) {
        let holder = core::mem::replace(&mut self.deliveries[index].holder, NONE);
        if holder != NONE {
            self.subscribers[holder].queue.remove(&mut self.deliveries, index);
        }
    }

    fn id(&self, index: u32) -> ResultId {
        ResultId { index, generation: self.deliveries.generation(index).unwrap_or(0) }
    }

    #[inline(always)]
    fn note_kept(&self, journal: &mut S::Journal, index: u32) {
        journal.record(Record::Kept { result: self.id(index), message: &self.deliveries[index].message });
    }

    /// Takes a delivery out that is in no queue.
    #[inline]
    fn forget(&mut self, ledger: &mut Ledger<'_, S>, index: u32) -> Delivery<S::Buffer> {
        self.leave_copies(index);
        self.ages.remove(&mut self.deliveries, index);
        if self.deliveries[index].rank == Rank::Full {
            ledger.journal.record(Record::Left { result: self.id(index) });
        } else {
            self.leave_spares(index);
        }
        let entry = self.deliveries.remove(index).expect("queues hold indices of live deliveries only");
        let (sender, footprint) = (entry.sender, entry.message.footprint());
        match entry.rank {
            Rank::Full => ledger.accounts.remove_result(sender, footprint),
            Rank::Kept => ledger.accounts.remove_kept(sender, footprint),
            Rank::Extra => ledger.accounts.remove_extra(footprint),
        }
        entry
    }

    fn delivery(now: Instant, publication: Publication<S::Buffer>, rank: Rank) -> Delivery<S::Buffer> {
        Delivery {
            message: publication.message,
            topic: publication.topic,
            sender: publication.sender,
            note: publication.note,
            since: now,
            holder: NONE,
            under: NONE,
            rank,
            taken: false,
            tie: Tie::None,
            tied: [NONE; 2],
            queue_link: Link::UNLINKED,
            topic_link: Link::UNLINKED,
            age_link: Link::UNLINKED,
            spare_link: Link::UNLINKED,
        }
    }

    /// Puts a result into a subscriber's queue; where it is.
    fn hand(
        &mut self,
        ledger: &mut Ledger<'_, S>,
        publication: Publication<S::Buffer>,
        subscriber: u32,
    ) -> Option<u32> {
        ledger.accounts.add_result(publication.sender, publication.message.footprint());
        self.make_room(ledger);
        let entry = Self::delivery(ledger.now, publication, Rank::Full);
        let index = self.deliveries.insert(entry).ok()?;
        self.ages.push_back(&mut self.deliveries, index);
        self.note_kept(ledger.journal, index);
        self.enqueue(ledger.now, index, subscriber);
        Some(index)
    }

    fn enqueue(&mut self, now: Instant, index: u32, id: u32) {
        let subscriber = &mut self.subscribers[id];
        if !subscriber.has_next() {
            // It took all there was, and is measured from now on.
            subscriber.last_taken = now;
        }
        subscriber.queue.push_back(&mut self.deliveries, index);
        self.deliveries[index].holder = id;
        self.wake(id);
    }

    fn wake(&mut self, id: u32) {
        if !self.subscribers[id].wake_link.is_linked() {
            self.wakes.push_back(&mut self.subscribers, id);
        }
    }

    /// Some subscribers whose prefix begins `topic` and that were not given this publication yet. If the answer is full, there
    /// may be more.
    fn targets(&self, topic: &[u8], cursor: &mut Cursor) -> heapless::Vec<Target, 8> {
        let given = |target| self.subscribers[target].publication == self.publication;
        self.subscriptions.targets(topic, cursor, given)
    }
}

/// What became of the oldest result.
pub(super) enum Expiry<B> {
    /// There is none whose time has passed.
    None,
    /// It stays, as its holder is taking results; or it was a copy that gives way, and is gone.
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
