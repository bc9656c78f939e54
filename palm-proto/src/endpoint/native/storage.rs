//! Where the tables for native peers lie: inline, or on the heap.

use core::fmt::Debug;

use crate::buffer::{Buffer, Span};
use crate::collections::{Place, Slot, Table};
use crate::master::MasterStorage;

use super::super::part::Part;
use super::peer::Aliases;
use super::{BufferOf, Claim, Kept, Name, NativePeer, Outstanding, Progress, Session, Submission, Told};

/// The types of the tables for native peers. Use [`FixedNative`], or `HeapNative` with the `alloc` feature.
#[expect(missing_docs, reason = "one table each, named for what it holds")]
pub trait NativeStorage: Debug {
    type Master: MasterStorage;
    /// What the messages of a client with a function begin with is kept in: pipeline, client and function.
    type Opening: Buffer + Debug;
    /// A value of the cache on its way; [`Absent`](crate::endpoint::Absent) where there is no cache.
    type Value: Part<Span<BufferOf<Self>>>;
    /// What a worker knows by alias: some functions and sessions.
    type Aliases: Aliases;
    type Peers: Table<Slot<NativePeer<Self::Value, Self::Aliases>>> + Debug;
    type Progress: Table<Slot<Progress>> + Debug;
    type Sessions: Table<Slot<Session>> + Debug;
    type SessionPlaces: Table<Place> + Debug;
    type Submissions: Table<Slot<Submission>> + Debug;
    type SubmissionPlaces: Table<Place> + Debug;
    type Kept: Table<Slot<Kept<BufferOf<Self>>>> + Debug;
    type Outstanding: Table<Slot<Outstanding>> + Debug;
    type OutstandingPlaces: Table<Place> + Debug;
    type Claims: Table<Slot<Claim>> + Debug;
    type ClaimPlaces: Table<Place> + Debug;
    type Names: Table<Slot<Name<Self::Opening>>> + Debug;
    type NamePlaces: Table<Place> + Debug;
}

/// The tables for native peers, all empty.
#[derive(Debug)]
pub struct NativeTables<N: NativeStorage + ?Sized> {
    pub(super) peers: N::Peers,
    pub(super) progress: N::Progress,
    pub(super) sessions: N::Sessions,
    pub(super) session_places: N::SessionPlaces,
    pub(super) submissions: N::Submissions,
    pub(super) submission_places: N::SubmissionPlaces,
    pub(super) kept: N::Kept,
    pub(super) outstanding: N::Outstanding,
    pub(super) outstanding_places: N::OutstandingPlaces,
    pub(super) claims: N::Claims,
    pub(super) claim_places: N::ClaimPlaces,
    pub(super) names: N::Names,
    pub(super) name_places: N::NamePlaces,
}

/// Tables inline: `TASKS` tasks, and `PEERS` connections, sessions and aliases.
/// `M` are the master's tables. What messages begin with is kept in `O`, values of the cache are `V`, and a worker knows `ALIASES`
/// functions and sessions at a time.
#[derive(Debug)]
pub struct FixedNative<M, O, V, const TASKS: usize, const PEERS: usize, const ALIASES: usize> {
    types: core::marker::PhantomData<(M, O, V)>,
}

impl<M, O, V, const TASKS: usize, const PEERS: usize, const ALIASES: usize> NativeStorage
    for FixedNative<M, O, V, TASKS, PEERS, ALIASES>
where
    M: MasterStorage,
    O: Buffer + Debug,
    V: Part<Span<M::Buffer>>,
{
    type Master = M;
    type Opening = O;
    type Value = V;
    type Aliases = Told<ALIASES>;
    type Peers = heapless::Vec<Slot<NativePeer<V, Told<ALIASES>>>, PEERS>;
    type Progress = heapless::Vec<Slot<Progress>, 1>;
    type Sessions = heapless::Vec<Slot<Session>, PEERS>;
    type SessionPlaces = heapless::Vec<Place, PEERS>;
    type Submissions = heapless::Vec<Slot<Submission>, TASKS>;
    type SubmissionPlaces = heapless::Vec<Place, TASKS>;
    type Kept = heapless::Vec<Slot<Kept<M::Buffer>>, TASKS>;
    type Outstanding = heapless::Vec<Slot<Outstanding>, TASKS>;
    type OutstandingPlaces = heapless::Vec<Place, TASKS>;
    type Claims = heapless::Vec<Slot<Claim>, PEERS>;
    type ClaimPlaces = heapless::Vec<Place, PEERS>;
    type Names = heapless::Vec<Slot<Name<O>>, PEERS>;
    type NamePlaces = heapless::Vec<Place, PEERS>;
}

impl<M, O, V, const TASKS: usize, const PEERS: usize, const ALIASES: usize>
    NativeTables<FixedNative<M, O, V, TASKS, PEERS, ALIASES>>
where
    M: MasterStorage,
    O: Buffer + Debug,
    V: Part<Span<M::Buffer>>,
{
    /// Empty tables.
    pub const fn fixed() -> Self {
        Self {
            peers: heapless::Vec::new(),
            progress: heapless::Vec::new(),
            sessions: heapless::Vec::new(),
            session_places: heapless::Vec::new(),
            submissions: heapless::Vec::new(),
            submission_places: heapless::Vec::new(),
            kept: heapless::Vec::new(),
            outstanding: heapless::Vec::new(),
            outstanding_places: heapless::Vec::new(),
            claims: heapless::Vec::new(),
            claim_places: heapless::Vec::new(),
            names: heapless::Vec::new(),
            name_places: heapless::Vec::new(),
        }
    }
}

#[cfg(feature = "alloc")]
pub use heap::{HeapNative, native_tables};

#[cfg(feature = "alloc")]
mod heap {
    use bytes::Bytes;

    use super::*;
    use crate::collections::HeapTable;
    use crate::master::{HeapStorage, TableSizes};

    /// Aliases that a worker is told at a time, of functions and of sessions each; others take their places.
    const ALIASES: usize = 8;
    /// Aliases of all clients together, for each connection.
    const NAMES_A_PEER: usize = 16;

    /// Tables on the heap, sized when the endpoint is made; messages in [`Bytes`] unless told otherwise.
    #[derive(Debug)]
    pub struct HeapNative<B = Bytes> {
        buffer: core::marker::PhantomData<B>,
    }

    impl<B: Buffer + Clone + Debug> NativeStorage for HeapNative<B> {
        type Master = HeapStorage<B>;
        type Opening = B;
        type Value = Span<B>;
        type Aliases = Told<ALIASES>;
        type Peers = HeapTable<Slot<NativePeer<Span<B>, Told<ALIASES>>>>;
        type Progress = HeapTable<Slot<Progress>>;
        type Sessions = HeapTable<Slot<Session>>;
        type SessionPlaces = HeapTable<Place>;
        type Submissions = HeapTable<Slot<Submission>>;
        type SubmissionPlaces = HeapTable<Place>;
        type Kept = HeapTable<Slot<Kept<B>>>;
        type Outstanding = HeapTable<Slot<Outstanding>>;
        type OutstandingPlaces = HeapTable<Place>;
        type Claims = HeapTable<Slot<Claim>>;
        type ClaimPlaces = HeapTable<Place>;
        type Names = HeapTable<Slot<Name<B>>>;
        type NamePlaces = HeapTable<Place>;
    }

    /// Empty tables.
    pub fn native_tables<B: Buffer + Clone + Debug>(sizes: &TableSizes) -> NativeTables<HeapNative<B>> {
        let TableSizes { tasks, peers, .. } = *sizes;
        // A task may be with its worker still when it has been given up and has made room for another.
        let outstanding = tasks.saturating_mul(2);
        let submissions = tasks.saturating_mul(3);
        let names = peers.saturating_mul(NAMES_A_PEER);
        NativeTables {
            peers: HeapTable::new(peers),
            progress: HeapTable::new(peers),
            sessions: HeapTable::new(peers.saturating_mul(2)),
            session_places: HeapTable::new(peers.saturating_mul(4)),
            submissions: HeapTable::new(submissions),
            submission_places: HeapTable::new(submissions.saturating_mul(2)),
            kept: HeapTable::new(tasks.saturating_mul(2)),
            outstanding: HeapTable::new(outstanding),
            outstanding_places: HeapTable::new(outstanding.saturating_mul(2)),
            claims: HeapTable::new(tasks),
            claim_places: HeapTable::new(tasks.saturating_mul(2)),
            names: HeapTable::new(names),
            name_places: HeapTable::new(names.saturating_mul(2)),
        }
    }
}
