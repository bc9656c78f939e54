//! Who has subscribed to what.

use crate::buffer::Span;
use crate::collections::{Index, Link, Linked, List, NONE, Slab, Table};
use crate::hash::KeyedHash;

use super::MasterStorage;

/// Longest topic or prefix, in bytes.
pub(super) const TOPIC_MAX: usize = 255;

/// A subscription was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// There is no room for another one.
    Full,
    /// The prefix is longer than 255 bytes.
    TooLong,
}

impl core::fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Full => f.write_str("no room for another subscription"),
            Self::TooLong => write!(f, "a topic has at most {TOPIC_MAX} bytes"),
        }
    }
}

impl core::error::Error for SubscribeError {}

/// What a subscriber wants: every topic that begins so; named only by storage types.
#[derive(Debug)]
pub struct Subscription<B> {
    prefix: Span<B>,
    subscriber: u32,
    /// How often it was subscribed less how often it was cancelled.
    count: u32,
    link: Link,
}

/// The list of a subscriber's subscriptions.
#[derive(Debug)]
pub(super) struct OfSubscriber;

impl<B> Linked<OfSubscriber> for Subscription<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
    fn peek_link(&self) -> Link {
        self.link
    }
}

/// Most subscribers that are found at a time.
const TARGETS: usize = 8;

/// Who is to have a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) subscriber: u32,
    /// It has subscribed to the topic itself, and not to a shorter prefix.
    pub(super) exact: bool,
}

/// How far a search for subscribers is.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Lengths that are done, the longest first.
    lengths: usize,
    /// Places of the index that are done for the next.
    place: usize,
}

/// All subscriptions, by prefix.
///
/// Subscribers are numbers here; each one's list of its subscriptions is its own, and comes with the calls that change it.
#[derive(Debug)]
pub(super) struct Subscriptions<S: MasterStorage> {
    entries: Slab<Subscription<S::Key>, S::Subscriptions>,
    by_prefix: Index<S::SubscriptionPlaces>,
    hash: KeyedHash,
    /// Lengths that occur, shortest first.
    lengths: S::Lengths,
    known: S::Known,
}

impl<S: MasterStorage> Subscriptions<S> {
    pub(super) fn new(
        entries: S::Subscriptions,
        places: S::SubscriptionPlaces,
        lengths: S::Lengths,
        hash: KeyedHash,
    ) -> Self {
        Self { entries: Slab::new(entries), by_prefix: Index::new(places), hash, lengths, known: S::Known::default() }
    }

    /// Subscribes once more to every topic that begins with `prefix`; whether the subscriber had not yet.
    pub(super) fn add(
        &mut self,
        own: &mut List<OfSubscriber>,
        subscriber: u32,
        prefix: &[u8],
    ) -> Result<bool, SubscribeError> {
        if prefix.len() > TOPIC_MAX {
            return Err(SubscribeError::TooLong);
        }
        let hash = self.hash.hash(prefix);
        if let Some(known) = self.find(hash, prefix, subscriber) {
            self.entries[known].count = self.entries[known].count.saturating_add(1);
            return Ok(false);
        }
        let owned = Span::copy_from(prefix).ok_or(SubscribeError::TooLong)?;
        let entry = Subscription { prefix: owned, subscriber, count: 1, link: Link::UNLINKED };
        let index = self.entries.insert(entry).map_err(|_| SubscribeError::Full)?;
        if !self.by_prefix.insert(hash, index) {
            self.entries.remove(index);
            return Err(SubscribeError::Full);
        }
        if !self.count_length(prefix.len() as u8) {
            self.by_prefix.remove(hash, index);
            self.entries.remove(index);
            return Err(SubscribeError::Full);
        }
        own.push_back(&mut self.entries, index);
        self.forget_known();
        Ok(true)
    }

    /// How many there may be, and are.
    pub(super) fn room(&self) -> (usize, usize) {
        (self.entries.capacity(), self.entries.len())
    }

    /// Whether a subscriber has subscribed to just this.
    pub(super) fn is_known(&self, subscriber: u32, prefix: &[u8]) -> bool {
        self.find(self.hash.hash(prefix), prefix, subscriber).is_some()
    }

    /// Takes one subscription back; whether it was the subscriber's last to `prefix`.
    pub(super) fn cancel(&mut self, own: &mut List<OfSubscriber>, subscriber: u32, prefix: &[u8]) -> bool {
        let Some(index) = self.find(self.hash.hash(prefix), prefix, subscriber) else { return false };
        self.entries[index].count -= 1;
        let is_last = self.entries[index].count == 0;
        if is_last {
            self.remove(own, index);
        }
        is_last
    }

    /// Takes all of a subscriber's back.
    pub(super) fn clear(&mut self, own: &mut List<OfSubscriber>) {
        while let Some(index) = own.front() {
            self.remove(own, index);
        }
    }

    /// The only subscriber of a topic, which has subscribed to just that, if that has been seen lately.
    #[inline]
    pub(super) fn only_target(&self, topic: &[u8]) -> Option<u32> {
        let known = self.known.as_ref();
        let known = known.get(known_place(topic, known.len()))?;
        (known.subscriber != NONE && known.topic.as_slice() == topic).then_some(known.subscriber)
    }

    /// `subscriber` is the only one of `topic`, and has subscribed to just that, as long as the subscriptions do not change.
    pub(super) fn learn(&mut self, topic: &[u8], subscriber: u32) {
        let known = self.known.as_mut();
        let place = known_place(topic, known.len());
        if let (Ok(topic), Some(known)) = (heapless::Vec::from_slice(topic), known.get_mut(place)) {
            *known = Known { topic, subscriber };
        }
    }

    /// Some subscribers whose prefix begins `topic`, but for those that are `passed_over`: those with the longest prefix first, from
    /// where `cursor` stands on. If the answer is full, there may be more.
    pub(super) fn targets(
        &self,
        topic: &[u8],
        cursor: &mut Cursor,
        passed_over: impl Fn(u32) -> bool,
    ) -> heapless::Vec<Target, TARGETS> {
        let mut found = heapless::Vec::new();
        let lengths = self.lengths.as_ref();
        let fitting = lengths.partition_point(|length| usize::from(length.bytes) <= topic.len());
        for length in lengths.get(..fitting).unwrap_or(&[]).iter().rev().skip(cursor.lengths) {
            let Some(prefix) = topic.get(..usize::from(length.bytes)) else { break };
            for index in self.by_prefix.candidates_from(self.hash.hash(prefix), &mut cursor.place) {
                let subscription = &self.entries[index];
                let subscriber = subscription.subscriber;
                let is_new = |&&Target { subscriber: other, .. }: &&Target| other == subscriber;
                let due = subscription.prefix.as_slice() == prefix
                    && !passed_over(subscriber)
                    && found.iter().find(is_new).is_none();
                if due
                    && found.push(Target { subscriber, exact: prefix.len() == topic.len() }).is_ok()
                    && found.is_full()
                {
                    return found;
                }
            }
            cursor.lengths += 1;
            cursor.place = 0;
        }
        found
    }

    /// Somebody who has subscribed to `topic` itself.
    pub(super) fn exact_target(&self, topic: &[u8]) -> Option<u32> {
        let same = |&index: &u32| self.entries[index].prefix.as_slice() == topic;
        self.by_prefix.candidates(self.hash.hash(topic)).find(same).map(|index| self.entries[index].subscriber)
    }

    fn find(&self, hash: u64, prefix: &[u8], subscriber: u32) -> Option<u32> {
        self.by_prefix.candidates(hash).find(|&index| {
            let entry = &self.entries[index];
            entry.subscriber == subscriber && entry.prefix.as_slice() == prefix
        })
    }

    fn remove(&mut self, own: &mut List<OfSubscriber>, index: u32) {
        own.remove(&mut self.entries, index);
        let Some(entry) = self.entries.remove(index) else { return };
        self.by_prefix.remove(self.hash.hash(entry.prefix.as_slice()), index);
        self.discount_length(entry.prefix.len() as u8);
        self.forget_known();
    }

    /// One more subscription has this length. `false` if there is no room for another length.
    fn count_length(&mut self, bytes: u8) -> bool {
        let place = self.lengths.as_ref().partition_point(|length| length.bytes < bytes);
        if let Some(length) = self.lengths.as_mut().get_mut(place).filter(|length| length.bytes == bytes) {
            length.subscriptions += 1;
            return true;
        }
        let pushed = self.lengths.push(Length { bytes, subscriptions: 1 }).is_ok();
        if let (true, Some(from_place)) = (pushed, self.lengths.as_mut().get_mut(place..)) {
            from_place.rotate_right(1);
        }
        pushed
    }

    /// One less has it.
    fn discount_length(&mut self, bytes: u8) {
        let place = self.lengths.as_ref().partition_point(|length| length.bytes < bytes);
        let Some(from_place) = self.lengths.as_mut().get_mut(place..) else { return };
        let Some(length) = from_place.first_mut().filter(|length| length.bytes == bytes) else { return };
        length.subscriptions -= 1;
        if length.subscriptions == 0 {
            from_place.rotate_left(1);
            self.lengths.pop();
        }
    }

    /// The subscriptions have changed.
    fn forget_known(&mut self) {
        self.known.as_mut().iter_mut().for_each(|known| known.subscriber = NONE);
    }
}

/// A length that subscriptions have, and how many have it; named only by storage types.
#[derive(Debug)]
pub struct Length {
    bytes: u8,
    subscriptions: u32,
}

/// A topic with a single subscriber: most results need not be looked up by hash. Named only by storage types.
#[derive(Debug)]
pub struct Known {
    topic: heapless::Vec<u8, 40>,
    subscriber: u32,
}

impl Default for Known {
    fn default() -> Self {
        Self { topic: heapless::Vec::new(), subscriber: NONE }
    }
}

/// Where among `places` a topic is remembered: topics differ at their end, as UUIDs and counted names do.
fn known_place(topic: &[u8], places: usize) -> usize {
    let last = topic.last_chunk::<2>().map_or(0, |&[a, b]| usize::from(a) ^ usize::from(b) << 1);
    last % places.max(1)
}
