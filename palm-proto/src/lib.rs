//! PALM as state machines.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod buffer;
pub mod client;
pub mod message;
pub mod slots;
pub mod time;
pub mod worker;

pub use buffer::{Buffer, Span};
pub use message::{MessageRef, MessageWriter, Status, TaskId};
pub use time::Instant;
