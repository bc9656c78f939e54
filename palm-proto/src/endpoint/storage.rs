//! Where an endpoint's tables lie: inline, or on the heap.

use core::fmt::Debug;

use crate::buffer::{Buffer, Span};
use crate::cache::Entry;
use crate::collections::{Place, Queue, Slot, Table};
use crate::master::{FixedStorage, MasterStorage, Tables};

use super::crowd::Crowd;
use super::event::EndpointEvent;
use super::native::{FixedNative, NativeStorage, NativeTables};
use super::part::{Absent, Part};
use super::peer::{Control, Peer, ZeroMq};

/// Events that wait to be polled at most, where tables lie inline: each takes 128 bytes.
const EVENTS_INLINE: usize = 2;

/// The types of an endpoint's tables. Use [`FixedEndpoint`], [`NativeEndpoint`], or `HeapEndpoint` with the `alloc` feature.
pub trait EndpointStorage: Debug {
    /// The master's tables.
    type Master: MasterStorage;
    /// What there is to a connection that speaks ZeroMQ; [`Absent`] where none does.
    type ZeroMq: Part<ZeroMq<<Self::Master as MasterStorage>::Buffer>>;
    /// What connections that speak ZeroMQ share; [`Absent`] where none does.
    type Control: Part<Control>;
    /// Connections.
    type Peers: Table<Slot<Peer<Self::ZeroMq>>> + Debug;
    /// Where connections come from.
    type Sources: Table<Slot<Crowd>> + Debug;
    /// The index of those.
    type SourcePlaces: Table<Place> + Debug;
    /// The cache's entries.
    type Entries: Table<Slot<Entry<<Self::Master as MasterStorage>::Buffer>>> + Debug;
    /// The index of the cache.
    type EntryPlaces: Table<Place> + Debug;
    /// Events that wait to be polled.
    type Events: Queue<EndpointEvent>;
    /// The tables for native peers.
    type Native: NativeStorage<Master = Self::Master>;
}

/// An endpoint's tables, all empty.
#[derive(Debug)]
pub struct EndpointTables<S: EndpointStorage> {
    pub(super) master: Tables<S::Master>,
    pub(super) peers: S::Peers,
    pub(super) sources: S::Sources,
    pub(super) source_places: S::SourcePlaces,
    pub(super) entries: S::Entries,
    pub(super) entry_places: S::EntryPlaces,
    pub(super) native: NativeTables<S::Native>,
}

/// Tables inline: `TASKS` messages, and `PEERS` connections in all, subscriptions and entries of the cache.
#[derive(Debug)]
pub struct FixedEndpoint<B, const TASKS: usize, const PEERS: usize> {
    buffer: core::marker::PhantomData<B>,
}

impl<B: Buffer + Clone + Debug, const TASKS: usize, const PEERS: usize> EndpointStorage
    for FixedEndpoint<B, TASKS, PEERS>
{
    type Master = FixedStorage<B, TASKS, PEERS>;
    type ZeroMq = ZeroMq<B>;
    type Control = Control;
    type Peers = heapless::Vec<Slot<Peer<ZeroMq<B>>>, PEERS>;
    type Sources = heapless::Vec<Slot<Crowd>, PEERS>;
    type SourcePlaces = heapless::Vec<Place, PEERS>;
    type Entries = heapless::Vec<Slot<Entry<B>>, PEERS>;
    type EntryPlaces = heapless::Vec<Place, PEERS>;
    type Events = heapless::Deque<EndpointEvent, EVENTS_INLINE>;
    type Native = FixedNative<Self::Master, B, Span<B>, TASKS, PEERS, 8>;
}

impl<B: Buffer + Clone + Debug, const TASKS: usize, const PEERS: usize> EndpointTables<FixedEndpoint<B, TASKS, PEERS>> {
    /// Empty tables.
    pub const fn fixed() -> Self {
        Self {
            master: Tables::fixed(),
            peers: heapless::Vec::new(),
            sources: heapless::Vec::new(),
            source_places: heapless::Vec::new(),
            entries: heapless::Vec::new(),
            entry_places: heapless::Vec::new(),
            native: NativeTables::fixed(),
        }
    }
}

/// Tables inline of an endpoint for native peers only, without a cache, for where each kilobyte counts: `TASKS` messages, `RESULTS`
/// results, and `PEERS` connections, of which one in eight is kept for workers.
///
/// Each message has a place for its result set aside, and one client has no more messages than places are left: four with eight.
/// A function's name may have 32 bytes, and the messages with it have some 90 bytes beside the name and the payload: what does not
/// fit fails alone. Peers are told to send no frame that would not fit with a name of 16 bytes. With buffers
/// of 176 bytes, four messages and eight results, six connections take 16 KiB, of which each takes 1.2.
#[derive(Debug)]
pub struct NativeEndpoint<B, const TASKS: usize, const RESULTS: usize, const PEERS: usize> {
    buffer: core::marker::PhantomData<B>,
}

/// A topic of a native client: its session's id in hexadecimal digits.
type SessionTopic = heapless::Vec<u8, 32>;
/// What the messages of a native client with a function begin with: pipeline and client take 68 bytes.
type Opening = heapless::Vec<u8, 102>;

impl<B: Buffer + Clone + Debug, const TASKS: usize, const RESULTS: usize, const PEERS: usize> EndpointStorage
    for NativeEndpoint<B, TASKS, RESULTS, PEERS>
{
    type Master = FixedStorage<B, TASKS, PEERS, SessionTopic, RESULTS>;
    type ZeroMq = Absent;
    type Control = Absent;
    type Peers = heapless::Vec<Slot<Peer<Absent>>, PEERS>;
    type Sources = heapless::Vec<Slot<Crowd>, 0>;
    type SourcePlaces = heapless::Vec<Place, 0>;
    type Entries = heapless::Vec<Slot<Entry<B>>, 0>;
    type EntryPlaces = heapless::Vec<Place, 0>;
    type Events = heapless::Deque<EndpointEvent, EVENTS_INLINE>;
    type Native = FixedNative<Self::Master, Opening, Absent, TASKS, PEERS, 4>;
}

impl<B: Buffer + Clone + Debug, const TASKS: usize, const RESULTS: usize, const PEERS: usize>
    EndpointTables<NativeEndpoint<B, TASKS, RESULTS, PEERS>>
{
    /// Empty tables.
    pub const fn fixed() -> Self {
        Self {
            master: Tables::fixed(),
            peers: heapless::Vec::new(),
            sources: heapless::Vec::new(),
            source_places: heapless::Vec::new(),
            entries: heapless::Vec::new(),
            entry_places: heapless::Vec::new(),
            native: NativeTables::fixed(),
        }
    }
}

#[cfg(feature = "alloc")]
pub use heap::{HeapEndpoint, heap_tables};

#[cfg(feature = "alloc")]
mod heap {
    use bytes::Bytes;

    use super::*;
    use crate::collections::HeapTable;
    use crate::endpoint::native::{HeapNative, native_tables};
    use crate::master::{HeapStorage, TableSizes};

    /// Events that wait to be polled at most.
    const EVENTS: usize = 32;

    /// Tables on the heap, sized when the endpoint is made; messages in [`Bytes`] unless told otherwise.
    #[derive(Debug)]
    pub struct HeapEndpoint<B = Bytes> {
        buffer: core::marker::PhantomData<B>,
    }

    impl<B: Buffer + Clone + Debug> EndpointStorage for HeapEndpoint<B> {
        type Master = HeapStorage<B>;
        type ZeroMq = ZeroMq<B>;
        type Control = Control;
        type Peers = HeapTable<Slot<Peer<ZeroMq<B>>>>;
        type Sources = HeapTable<Slot<Crowd>>;
        type SourcePlaces = HeapTable<Place>;
        type Entries = HeapTable<Slot<Entry<B>>>;
        type EntryPlaces = HeapTable<Place>;
        type Events = heapless::Deque<EndpointEvent, EVENTS>;
        type Native = HeapNative<B>;
    }

    impl<B: Buffer + Clone + Debug> EndpointTables<HeapEndpoint<B>> {
        /// With room for native peers, too: `sizes.peers` of them, for `sizes.tasks` tasks.
        #[must_use]
        pub fn with_native(mut self, sizes: &TableSizes) -> Self {
            self.native = native_tables(sizes);
            self
        }
    }

    /// Empty tables: `sizes.peers` connections in all, none of them native, and `entries` in the cache.
    pub fn heap_tables<B: Buffer + Clone + Debug>(
        sizes: &TableSizes,
        entries: usize,
    ) -> EndpointTables<HeapEndpoint<B>> {
        EndpointTables {
            master: Tables::sized(sizes),
            peers: HeapTable::new(sizes.peers),
            sources: HeapTable::new(sizes.peers),
            source_places: HeapTable::new(sizes.peers.saturating_mul(2)),
            entries: HeapTable::new(entries),
            entry_places: HeapTable::new(entries.saturating_mul(2)),
            native: native_tables(&TableSizes { tasks: 0, peers: 0, subscriptions: 0 }),
        }
    }
}
