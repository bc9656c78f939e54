//! PALM over ZeroMQ: master, worker and client on tokio, each able to stand in for its Python counterpart.
//!
//! - [`Master`] takes messages from clients, has workers do them, and publishes the results: [`MasterConfig`] says how.
//! - [`Worker`] answers messages with functions, described with [`Worker::builder`].
//! - [`Client`] sends messages and gives their results back, each to its message: one with [`Client::eval`], a stream of them
//!   with [`Client::job`]. It sees the server's cache too.
//! - [`CacheClient`] is a connection to a cache alone.
//! - [`tell_runner`] tells the runner that has started a component how many messages it has handled.
//! - With the feature `clap`, `args` has the flags of each as a group for a program's command line.
//!
//! What they decide is decided in `palm-proto`; here are the sockets, the tasks and the clock.
//!
//! # A worker and a client
//!
//! ```
//! use palm_transport_zmq::{Call, Client, JobOptions, Master, MasterConfig, Worker, from_iter};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let master = Master::bind(MasterConfig::on_free_ports("texts")).await?;
//! let cache = master.addresses().cache.clone();
//! tokio::spawn(master.run());
//!
//! let worker = Worker::builder()
//!     .cache_address(&cache)
//!     .concurrency(8)
//!     .function("shout", async |call: Call| {
//!         let text = std::str::from_utf8(call.payload())?;
//!         Ok::<_, std::str::Utf8Error>(text.to_uppercase())
//!     })
//!     .build()?;
//! tokio::spawn(worker.run());
//!
//! let client = Client::builder("texts", &cache).connect().await?;
//! assert_eq!(client.eval("shout", "hello").await?, "HELLO");
//!
//! let options = JobOptions { ordered: true, window: 100, ..JobOptions::default() };
//! let mut job = client.job("shout", from_iter(["a", "b", "c"]), &options);
//! while let Some(outcome) = job.next().await {
//!     println!("input {}: {:?}", outcome.sequence, outcome.result);
//! }
//!
//! let failure = client.eval("shout", &b"\xff"[..]).await.unwrap_err();
//! assert_eq!(failure.to_string(), "failed: invalid utf-8 sequence of 1 bytes from index 0");
//! # Ok(())
//! # }
//! ```
//!
//! # What to rely on
//!
//! - **Each input of a job ends in exactly one last outcome**, as long as there is a time limit or nothing is lost. With our
//!   master nothing is; a Python master loses what its workers die with, and results that come too fast: give a
//!   [`timeout`](JobOptions::timeout) and [`retries`](JobOptions::retries) there.
//! - **A message may be done more than once**: what is unanswered is sent again after a time-out and on a new connection. The
//!   client drops the second result; the function has to bear the second call.
//! - **Failures are told from results** whatever components are in between, as long as the worker is ours. A Python worker
//!   answers `0` when its function fails, and so does not say.
//! - **Everyone reconnects**: a worker and a client look for their server for as long as it takes, with growing waits, say once
//!   that it is gone and once that it is back, and ask its cache anew where its sockets are.
//! - **Nothing grows without bound**: a job has at most its window under way, a worker its concurrency and its queue, and 64 MiB
//!   of results that its master does not read.
//! - **Whom they connect to cannot end them**: what a peer sends is bounded before it is kept, whatever a header claims.
//! - **A server behind a connection that carries nothing any more is missed** within three heartbeats, of 5 s unless told otherwise,
//!   and looked for anew.

#[cfg(feature = "clap")]
pub mod args;
mod cache_client;
mod client;
mod clock;
mod discovery;
mod log_limit;
mod master;
mod socket;
mod stream;
mod telling;
mod worker;

pub use cache_client::{CacheClient, CacheError};
pub use client::{
    Client, ClientBuilder, ConnectError, Failure, FromChannel, FromIter, Job, JobOptions, Outcome, from_channel,
    from_iter,
};
pub use discovery::DiscoveryError;
pub use master::{Addresses, BindError, Counters, Master, MasterConfig, MasterHandle, Report};
pub use palm_proto::{CacheLimits, Request, Status};
pub use socket::SocketError;
pub use telling::{Telling, tell_runner};
pub use worker::{BuildError, Call, Report as WorkerReport, Results, Worker, WorkerBuilder, WorkerHandle};
