//! PALM as state machines.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod backoff;
pub mod buffer;
pub mod cache;
pub mod client;
pub mod collections;
pub mod endpoint;
pub mod hash;
pub mod master;
pub mod message;
pub mod native;
pub mod random;
pub mod time;
pub mod uuid;
pub mod worker;
pub mod zmtp;

pub use backoff::{Backoff, Reminder};
#[cfg(feature = "std")]
pub use buffer::PooledBuffer;
pub use buffer::{Buffer, Span};
#[cfg(feature = "alloc")]
pub use cache::HeapCache;
pub use cache::{Cache, CacheLimits, CacheOutcome, CacheRefused, CacheReply, DeleteRefused, FixedCache, SetRefused};
pub use hash::KeyedHash;
pub use master::{Master, MasterConfig};
pub use message::{MessageRef, MessageWriter, RawMessage, Status, TaskId};
pub use random::{Random, Seed};
pub use time::Instant;
pub use uuid::Uuid;
pub use worker::Request;
