//! PALM's native protocol over TCP, Unix sockets and serial lines.

mod address;
mod backoff;
mod client;
mod clock;
mod connecting;
mod listener;
mod master;
mod peer;
mod poll;
mod serial;
mod stream;
mod worker;

pub use address::{Address, AddressError};
pub use client::{
    Client, ClientBuilder, ClientConnection, ClientEvent, ConnectError, Failure, Job, JobOptions, Outcome, Pending,
    Progress, Submission, TaskKey,
};
pub use listener::BindError;
pub use master::{Counters, Master, MasterConfig, MasterHandle, Report};
pub use palm_proto::{CacheLimits, Status};
pub use peer::{BuildError, Cache, CacheError, Condition, PeerOptions, Value};
pub use worker::{
    Call, Counters as WorkerCounters, Report as WorkerReport, Results, Task, Worker, WorkerBuilder, WorkerConnection,
    WorkerEvent, WorkerHandle,
};
