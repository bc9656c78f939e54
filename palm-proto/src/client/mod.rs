//! A client's job: messages out, results in, matched to each other (`docs/spec.md`, section 8).
//!
//! [`Job`] numbers nothing itself: whoever has several jobs on one client gives each message its sequence number out of one
//! count, so that a result finds its job by it.

mod job;
mod reply;
mod retry;

pub use job::{Config, Counters, Failure, Job, Outcome, Place, SubmitError, SubmitErrorKind, Transmit};
pub use reply::Reply;
pub use retry::Retry;
