//! A worker: takes messages, has their functions called, and makes the results (`docs/spec.md`, section 7).
//!
//! [`Worker`] calls nothing itself: its driver runs what [`Worker::poll_call`] names, as many at a time as the worker allows,
//! and gives the answers back. Its messages lie inline in a [`FixedWorker`], and on the heap in a `HeapWorker` (with the
//! `alloc` feature).

mod answer;
mod call;
mod machine;
mod request;
mod task;
#[cfg(test)]
mod tests;

pub use answer::{Answer, write_answer};
pub use call::{Call, CallId, Config, Counters, Event, Full, Stop, UnknownCall};
#[cfg(feature = "alloc")]
pub use machine::HeapWorker;
pub use machine::{FixedWorker, Worker};
pub use request::Request;
pub use task::Task;
