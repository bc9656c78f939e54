//! PALM over ZeroMQ.

mod backoff;
mod cache_client;
mod client;
mod discovery;
mod master;
mod socket;
mod worker;

pub use cache_client::{CacheClient, CacheError};
pub use client::{
    Client, ClientBuilder, ConnectError, Failure, FromChannel, FromIter, Job, JobOptions, Outcome, from_channel,
    from_iter,
};
pub use discovery::DiscoveryError;
pub use master::{Addresses, BindError, Counters, Master, MasterConfig, MasterHandle, Report};
pub use palm_proto::CacheLimits;
pub use palm_proto::Status;
pub use worker::{BuildError, Call, Report as WorkerReport, Results, Worker, WorkerBuilder, WorkerHandle};
