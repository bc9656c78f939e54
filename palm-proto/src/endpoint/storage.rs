//! Where an endpoint's tables lie: inline, or on the heap.

use core::fmt::Debug;

use crate::buffer::Buffer;
use crate::cache::Entry;
use crate::collections::{Place, Slot, Table};
use crate::master::{FixedStorage, MasterStorage, Tables};

use super::native::{FixedNative, NativeStorage, NativeTables};
use super::peer::Peer;

/// The types of an endpoint's tables. Use [`FixedEndpoint`], or `HeapEndpoint` with the `alloc` feature.
pub trait EndpointStorage: Debug {
    /// The master's tables.
    type Master: MasterStorage;
    /// Connections.
    type Peers: Table<Slot<Peer<<Self::Master as MasterStorage>::Buffer>>> + Debug;
    /// The cache's entries.
    type Entries: Table<Slot<Entry<<Self::Master as MasterStorage>::Buffer>>> + Debug;
    /// The index of the cache.
    type EntryPlaces: Table<Place> + Debug;
    /// The tables for native peers.
    type Native: NativeStorage<Master = Self::Master>;
}

/// An endpoint's tables, all empty.
#[derive(Debug)]
pub struct EndpointTables<S: EndpointStorage> {
    pub(super) master: Tables<S::Master>,
    pub(super) peers: S::Peers,
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
    type Peers = heapless::Vec<Slot<Peer<B>>, PEERS>;
    type Entries = heapless::Vec<Slot<Entry<B>>, PEERS>;
    type EntryPlaces = heapless::Vec<Place, PEERS>;
    type Native = FixedNative<B, TASKS, PEERS>;
}

impl<B: Buffer + Clone + Debug, const TASKS: usize, const PEERS: usize> EndpointTables<FixedEndpoint<B, TASKS, PEERS>> {
    /// Empty tables.
    pub const fn fixed() -> Self {
        Self {
            master: Tables::fixed(),
            peers: heapless::Vec::new(),
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

    /// Tables on the heap, sized when the endpoint is made; messages in [`Bytes`] unless told otherwise.
    #[derive(Debug)]
    pub struct HeapEndpoint<B = Bytes> {
        buffer: core::marker::PhantomData<B>,
    }

    impl<B: Buffer + Clone + Debug> EndpointStorage for HeapEndpoint<B> {
        type Master = HeapStorage<B>;
        type Peers = HeapTable<Slot<Peer<B>>>;
        type Entries = HeapTable<Slot<Entry<B>>>;
        type EntryPlaces = HeapTable<Place>;
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
            entries: HeapTable::new(entries),
            entry_places: HeapTable::new(entries.saturating_mul(2)),
            native: native_tables(&TableSizes { tasks: 0, peers: 0, subscriptions: 0 }),
        }
    }
}
