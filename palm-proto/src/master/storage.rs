//! Where a master's tables lie: inline, or on the heap.

use core::fmt::Debug;

use crate::buffer::Buffer;
use crate::collections::{Place, Queue, Slot, Table};

use super::accounts::Sender;
use super::delivery::{Delivery, Subscriber, Topic};
use super::departures::Departure;
use super::event::Event;
use super::finished::Finished;
use super::journal::Journal;
use super::revoked::Revoked;
use super::subscriptions::{Known, Length, Subscription};
use super::task::Task;
use super::worker::Worker;

/// Events that wait to be polled at most, where tables lie inline: each takes 128 bytes.
const EVENTS_INLINE: usize = 2;

/// The types of a master's tables. Use [`FixedStorage`], or `HeapStorage` with the `alloc` feature.
#[expect(missing_docs, reason = "one table each, named for what it holds")]
pub trait MasterStorage: Debug {
    /// What a message is kept in.
    type Buffer: Buffer + Clone + Debug;
    /// What a topic, or the beginning of one, is kept in.
    type Key: Buffer + Debug;
    type Tasks: Table<Slot<Task<Self::Buffer>>> + Debug;
    type Workers: Table<Slot<Worker>> + Debug;
    type Senders: Table<Slot<Sender>> + Debug;
    type Deadlines: Table<u32> + Debug;
    type Deliveries: Table<Slot<Delivery<Self::Buffer>>> + Debug;
    type Subscribers: Table<Slot<Subscriber>> + Debug;
    type Subscriptions: Table<Slot<Subscription<Self::Key>>> + Debug;
    type SubscriptionPlaces: Table<Place> + Debug;
    type Lengths: Table<Length> + Debug;
    /// An array, best of a power of two.
    type Known: AsRef<[Known]> + AsMut<[Known]> + Default + Debug;
    type Topics: Table<Slot<Topic>> + Debug;
    type TopicPlaces: Table<Place> + Debug;
    type Departures: Table<Departure> + Debug;
    type Finished: Table<Finished> + Debug;
    type FinishedPlaces: Table<Place> + Debug;
    type Revocations: Queue<Revoked>;
    type Events: Queue<Event>;
    /// Who is told of all that happens; `()`: nobody.
    type Journal: Journal<Self::Buffer>;
}

/// A master's tables, all empty.
#[derive(Debug)]
pub struct Tables<S: MasterStorage> {
    pub(super) tasks: S::Tasks,
    pub(super) workers: S::Workers,
    pub(super) senders: S::Senders,
    pub(super) deadlines: S::Deadlines,
    pub(super) deliveries: S::Deliveries,
    pub(super) subscribers: S::Subscribers,
    pub(super) subscriptions: S::Subscriptions,
    pub(super) subscription_places: S::SubscriptionPlaces,
    pub(super) lengths: S::Lengths,
    pub(super) topics: S::Topics,
    pub(super) topic_places: S::TopicPlaces,
    pub(super) departures: S::Departures,
    pub(super) finished: S::Finished,
    pub(super) finished_places: S::FinishedPlaces,
    pub(super) journal: S::Journal,
}

/// Tables inline: `TASKS` messages and as many results, `PEERS` connections of each role and as many subscriptions.
///
/// Where each byte counts: topics may be kept in another buffer, `K`, and there may be more `RESULTS` than messages. Each message
/// has a place for its result set aside, and one sender may have no more messages than places are left free: with eight, four.
#[derive(Debug)]
pub struct FixedStorage<B, const TASKS: usize, const PEERS: usize, K = B, const RESULTS: usize = TASKS> {
    buffers: core::marker::PhantomData<(B, K)>,
}

impl<B, const TASKS: usize, const PEERS: usize, K, const RESULTS: usize> MasterStorage
    for FixedStorage<B, TASKS, PEERS, K, RESULTS>
where
    B: Buffer + Clone + Debug,
    K: Buffer + Debug,
{
    type Buffer = B;
    type Key = K;
    type Tasks = heapless::Vec<Slot<Task<B>>, TASKS>;
    type Workers = heapless::Vec<Slot<Worker>, PEERS>;
    type Senders = heapless::Vec<Slot<Sender>, PEERS>;
    type Deadlines = heapless::Vec<u32, TASKS>;
    type Deliveries = heapless::Vec<Slot<Delivery<B>>, RESULTS>;
    type Subscribers = heapless::Vec<Slot<Subscriber>, PEERS>;
    type Subscriptions = heapless::Vec<Slot<Subscription<K>>, PEERS>;
    type SubscriptionPlaces = heapless::Vec<Place, PEERS>;
    type Lengths = heapless::Vec<Length, PEERS>;
    type Known = [Known; 2];
    type Topics = heapless::Vec<Slot<Topic>, RESULTS>;
    type TopicPlaces = heapless::Vec<Place, RESULTS>;
    type Departures = heapless::Vec<Departure, 2>;
    type Finished = heapless::Vec<Finished, TASKS>;
    type FinishedPlaces = heapless::Vec<Place, TASKS>;
    type Revocations = heapless::Deque<Revoked, TASKS>;
    type Events = heapless::Deque<Event, EVENTS_INLINE>;
    type Journal = ();
}

impl<B, const TASKS: usize, const PEERS: usize, K, const RESULTS: usize>
    Tables<FixedStorage<B, TASKS, PEERS, K, RESULTS>>
where
    B: Buffer + Clone + Debug,
    K: Buffer + Debug,
{
    /// Empty tables.
    pub const fn fixed() -> Self {
        Self {
            tasks: heapless::Vec::new(),
            workers: heapless::Vec::new(),
            senders: heapless::Vec::new(),
            deadlines: heapless::Vec::new(),
            deliveries: heapless::Vec::new(),
            subscribers: heapless::Vec::new(),
            subscriptions: heapless::Vec::new(),
            subscription_places: heapless::Vec::new(),
            lengths: heapless::Vec::new(),
            topics: heapless::Vec::new(),
            topic_places: heapless::Vec::new(),
            departures: heapless::Vec::new(),
            finished: heapless::Vec::new(),
            finished_places: heapless::Vec::new(),
            journal: (),
        }
    }
}

#[cfg(feature = "alloc")]
pub use heap::{HeapStorage, TableSizes};

#[cfg(feature = "alloc")]
mod heap {
    use bytes::Bytes;

    use super::*;
    use crate::collections::HeapTable;
    use crate::master::revoked::REVOCATIONS;
    use crate::master::subscriptions::TOPIC_MAX;

    /// Events that wait to be polled at most.
    const EVENTS: usize = 16;

    /// Tables on the heap, sized when the master is made; messages in [`Bytes`] unless told otherwise.
    #[derive(Debug)]
    pub struct HeapStorage<B = Bytes, J = ()> {
        types: core::marker::PhantomData<(B, J)>,
    }

    impl<B: Buffer + Clone + Debug, J: Journal<B>> MasterStorage for HeapStorage<B, J> {
        type Buffer = B;
        type Key = B;
        type Tasks = HeapTable<Slot<Task<B>>>;
        type Workers = HeapTable<Slot<Worker>>;
        type Senders = HeapTable<Slot<Sender>>;
        type Deadlines = HeapTable<u32>;
        type Deliveries = HeapTable<Slot<Delivery<B>>>;
        type Subscribers = HeapTable<Slot<Subscriber>>;
        type Subscriptions = HeapTable<Slot<Subscription<B>>>;
        type SubscriptionPlaces = HeapTable<Place>;
        type Lengths = HeapTable<Length>;
        type Known = [Known; 8];
        type Topics = HeapTable<Slot<Topic>>;
        type TopicPlaces = HeapTable<Place>;
        type Departures = HeapTable<Departure>;
        type Finished = HeapTable<Finished>;
        type FinishedPlaces = HeapTable<Place>;
        type Revocations = heapless::Deque<Revoked, REVOCATIONS>;
        type Events = heapless::Deque<Event, EVENTS>;
        type Journal = J;
    }

    /// How many entries the tables have.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TableSizes {
        /// Messages, queued and with workers.
        pub tasks: usize,
        /// Connections of each role.
        pub peers: usize,
        /// Subscriptions, of all subscribers.
        pub subscriptions: usize,
    }

    impl TableSizes {
        /// Connections that may be on their way out, beside those that there may be (`docs/spec.md`, section 5.5).
        const GIVING_WAY: usize = 64;

        /// For so many messages, and for so many connections at a time. It has room for those that give way and are not closed yet.
        pub const fn for_connections(tasks: usize, connections: usize) -> Self {
            let peers = connections.saturating_add(Self::GIVING_WAY);
            Self { tasks, peers, subscriptions: peers.saturating_mul(4) }
        }
    }

    impl<B: Buffer + Clone + Debug> Tables<HeapStorage<B>> {
        /// Empty tables.
        pub fn sized(sizes: &TableSizes) -> Self {
            Self::with_journal(sizes, ())
        }
    }

    impl<B: Buffer + Clone + Debug, J: Journal<B>> Tables<HeapStorage<B, J>> {
        /// Empty tables of a master that tells `journal` of all that happens.
        pub fn with_journal(sizes: &TableSizes, journal: J) -> Self {
            let TableSizes { tasks, peers, subscriptions } = *sizes;
            Self {
                tasks: HeapTable::new(tasks),
                workers: HeapTable::new(peers),
                // Accounts outlive their connections until what came over them is done.
                senders: HeapTable::new(peers.saturating_add(tasks.saturating_mul(2))),
                deadlines: HeapTable::new(tasks),
                // A message that is done becomes a result, and a MuxWorker's become several.
                deliveries: HeapTable::new(tasks.saturating_mul(2)),
                subscribers: HeapTable::new(peers),
                subscriptions: HeapTable::new(subscriptions),
                subscription_places: HeapTable::new(subscriptions.saturating_mul(2)),
                lengths: HeapTable::new(TOPIC_MAX + 1),
                topics: HeapTable::new(tasks.saturating_mul(2)),
                topic_places: HeapTable::new(tasks.saturating_mul(4)),
                departures: HeapTable::new(peers),
                finished: HeapTable::new(tasks),
                finished_places: HeapTable::new(tasks.saturating_mul(2)),
                journal,
            }
        }
    }
}
