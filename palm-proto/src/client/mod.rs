//! A client's job: messages out, results in, matched to each other (`docs/spec.md`, section 8).
//!
//! [`Job`] numbers nothing itself: whoever has several jobs on one client gives each message its sequence number out of one
//! count, so that a result finds its job by it. Its tables lie inline in a [`FixedJob`], and on the heap in a `HeapJob` (with
//! the `alloc` feature).

mod config;
mod entry;
mod job;
mod outcome;
mod progress;
mod reply;
mod retry;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use entry::Entry;
#[cfg(feature = "alloc")]
pub use job::HeapJob;
pub use job::{FixedJob, Job};
pub use outcome::{Counters, Failure, Outcome, SubmitError, SubmitErrorKind, Transmit};
pub use reply::Reply;
pub use retry::Retry;
