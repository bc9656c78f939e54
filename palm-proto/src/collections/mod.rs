//! Tables of fixed capacity that the machines are made of.
//!
//! Entries are named by `u32` indices, so that tables can refer to one another without lifetimes or reference counts.

mod index;
mod list;
mod queue;
mod slab;
mod sought;
mod table;

pub use index::Place;
pub(crate) use index::{Beside, Index};
pub(crate) use list::{Link, Linked, List};
pub use queue::Queue;
pub(crate) use slab::Slab;
pub use slab::Slot;
pub(crate) use sought::{Sought, SoughtList};
#[cfg(feature = "alloc")]
pub use table::HeapTable;
pub use table::Table;

/// The index of no entry.
pub(crate) const NONE: u32 = u32::MAX;

/// Most entries of a table whose entries have indices: those are lower.
pub(crate) const ENTRIES_MAX: u32 = NONE - 1;
