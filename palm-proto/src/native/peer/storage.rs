//! Where the tables of workers and clients lie: inline, or on the heap.

use core::fmt::Debug;
use core::marker::PhantomData;

use crate::buffer::Buffer;
use crate::collections::{Place, Slot, Table};
use crate::native::{AliasEntry, SessionId};

use super::held::HeldTask;
use super::submission::Submission;

/// What a worker keeps of a function's name.
///
/// Text keeps all of it. Firmware that has its functions in an `enum` implements this for it, and then needs a byte for each
/// alias.
pub trait FunctionName: Debug + Sized {
    /// The function of this name, `server.method`; `None` if it is none of the worker's, or too long.
    fn from_name(name: &str) -> Option<Self>;
}

impl<const N: usize> FunctionName for heapless::String<N> {
    fn from_name(name: &str) -> Option<Self> {
        Self::try_from(name).ok()
    }
}

#[cfg(feature = "alloc")]
impl FunctionName for alloc::boxed::Box<str> {
    fn from_name(name: &str) -> Option<Self> {
        Some(name.into())
    }
}

/// The types of a worker's tables. Use [`FixedWorkerStorage`], or `HeapWorkerStorage` with the `alloc` feature.
#[expect(missing_docs, reason = "one table each, named for what it holds")]
pub trait WorkerStorage: Debug {
    type Text: AsRef<str> + Debug;
    type Function: FunctionName;
    type Held: Table<Slot<HeldTask>> + Debug;
    type Functions: Table<Option<Option<Self::Function>>> + Debug;
    type Sessions: Table<Option<SessionId>> + Debug;
}

/// A worker's tables inline: `WINDOW` tasks, and `ALIASES` functions and sessions each.
#[derive(Debug)]
pub struct FixedWorkerStorage<F, const WINDOW: usize, const ALIASES: usize>(PhantomData<F>);

impl<F: FunctionName, const WINDOW: usize, const ALIASES: usize> WorkerStorage
    for FixedWorkerStorage<F, WINDOW, ALIASES>
{
    type Text = &'static str;
    type Function = F;
    type Held = heapless::Vec<Slot<HeldTask>, WINDOW>;
    type Functions = heapless::Vec<Option<Option<F>>, ALIASES>;
    type Sessions = heapless::Vec<Option<SessionId>, ALIASES>;
}

/// The types of a client's tables. Use [`FixedClientStorage`], or `HeapClientStorage` with the `alloc` feature.
#[expect(missing_docs, reason = "one table each, named for what it holds")]
pub trait ClientStorage: Debug {
    type Text: AsRef<str> + Debug;
    type Name: Buffer + Debug;
    type Submissions: Table<Slot<Submission>> + Debug;
    type SubmissionPlaces: Table<Place> + Debug;
    type Names: Table<AliasEntry<Self::Name>> + Debug;
    type NamePlaces: Table<Place> + Debug;
}

/// A client's tables inline: `TASKS` tasks without a last result, and `NAMES` functions whose names a `B` can hold.
#[derive(Debug)]
pub struct FixedClientStorage<B, const TASKS: usize, const NAMES: usize>(PhantomData<B>);

impl<B: Buffer + Debug, const TASKS: usize, const NAMES: usize> ClientStorage for FixedClientStorage<B, TASKS, NAMES> {
    type Text = &'static str;
    type Name = B;
    type Submissions = heapless::Vec<Slot<Submission>, TASKS>;
    type SubmissionPlaces = heapless::Vec<Place, TASKS>;
    type Names = heapless::Vec<AliasEntry<B>, NAMES>;
    type NamePlaces = heapless::Vec<Place, NAMES>;
}

#[cfg(feature = "alloc")]
pub use heap::{HeapClientStorage, HeapWorkerStorage};

#[cfg(feature = "alloc")]
mod heap {
    use alloc::boxed::Box;

    use bytes::Bytes;

    use super::*;
    use crate::collections::HeapTable;

    /// A worker's tables on the heap, sized when it is made.
    #[derive(Debug)]
    pub struct HeapWorkerStorage;

    impl WorkerStorage for HeapWorkerStorage {
        type Text = Box<str>;
        type Function = Box<str>;
        type Held = HeapTable<Slot<HeldTask>>;
        type Functions = HeapTable<Option<Option<Box<str>>>>;
        type Sessions = HeapTable<Option<SessionId>>;
    }

    /// A client's tables on the heap, sized when it is made.
    #[derive(Debug)]
    pub struct HeapClientStorage;

    impl ClientStorage for HeapClientStorage {
        type Text = Box<str>;
        type Name = Bytes;
        type Submissions = HeapTable<Slot<Submission>>;
        type SubmissionPlaces = HeapTable<Place>;
        type Names = HeapTable<AliasEntry<Bytes>>;
        type NamePlaces = HeapTable<Place>;
    }
}
