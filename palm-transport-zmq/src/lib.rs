//! PALM over ZeroMQ.

mod backoff;
mod cache_client;
mod discovery;
mod socket;
mod worker;

pub use cache_client::{CacheClient, CacheError};
pub use discovery::DiscoveryError;
pub use worker::{BuildError, Call, Report as WorkerReport, Worker, WorkerBuilder, WorkerHandle};
