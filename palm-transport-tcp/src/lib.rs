//! PALM's native protocol over TCP, Unix sockets and serial lines: master, worker and client for threads, on mio, without an
//! async runtime.
//!
//! - [`Master`] takes tasks from clients and has workers do them, in one thread: [`MasterConfig`] says how.
//! - [`Worker`] answers tasks with functions, on threads of its own: described with [`Worker::builder`].
//! - [`Client`] submits tasks and gives their results back: one with [`Client::eval`], many with [`Client::submit_all`] and
//!   [`Client::job`]. It sees the master's cache too.
//! - [`WorkerConnection`] and [`ClientConnection`] are what those two are made of, for whoever has a loop already.
//!
//! An [`Address`] is `tcp://HOST:PORT`, `unix:///PATH` or `serial:///DEVICE?baud=RATE`. What is decided is decided in
//! `palm-proto`; here are the sockets, the threads and the clock. A master of `palm-transport-zmq` takes the same workers and
//! clients, beside those of ZeroMQ.
//!
//! # A worker and a client
//!
//! ```
//! use palm_transport_tcp::{Call, Client, JobOptions, Master, MasterConfig, Worker};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let master = Master::bind(MasterConfig::on_free_port("texts"))?;
//! let address = master.addresses()[0].to_string();
//! let stop_master = master.handle();
//! let mastering = std::thread::spawn(move || master.run());
//!
//! let worker = Worker::builder(&address)
//!     .jobs(8)
//!     .function("shout", |call: Call| {
//!         let text = std::str::from_utf8(call.payload())?;
//!         Ok::<_, std::str::Utf8Error>(text.to_uppercase())
//!     })
//!     .build()?;
//! let stop_worker = worker.handle();
//! let working = std::thread::spawn(move || worker.run());
//!
//! let client = Client::builder(&address).connect()?;
//! assert_eq!(client.eval("shout", "hello")?, "HELLO");
//!
//! let options = JobOptions { ordered: true, window: 100, ..JobOptions::default() };
//! for outcome in client.job("shout", ["a", "b", "c"], &options) {
//!     println!("input {}: {:?}", outcome.sequence, outcome.result);
//! }
//!
//! let failure = client.eval("shout", &b"\xff"[..]).unwrap_err();
//! assert_eq!(failure.to_string(), "failed: invalid utf-8 sequence of 1 bytes from index 0");
//!
//! stop_worker.shutdown();
//! assert_eq!(working.join().expect("a worker does not panic")?.left, 0);
//! drop(client);
//! stop_master.shutdown();
//! assert_eq!(mastering.join().expect("a master does not panic")?.left, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # What to rely on
//!
//! - **Each task ends in exactly one last outcome**, as long as its master comes again if it goes, or there is a time limit.
//! - **A task may be done more than once**: when a worker is lost with it, and when its master starts anew. Its client has one
//!   result; the function has to bear the second call. A worker that only loses its connection goes on with what it does, and what
//!   it has done by then is sent over the next one.
//! - **Everyone reconnects**: after 10 ms at first, then with growing waits of up to 5 s. Who is refused for good, for a wrong token
//!   say, ends and says why.
//! - **Nothing grows without bound**: a job has at most its window under way, a worker the window that it tells its master, and 64 MiB
//!   of results of functions with several that have not left; a master counts what it holds.
//! - **A serial line** is a connection that breaks at the first byte that is lost or changed, and is made anew at once. Nobody else
//!   can open the device in the meantime.
//! - Hosts that vanish are missed after three heartbeats; the operating system asks too, on TCP.
//! - Host names are looked up by the thread that has the connection, which waits for the answer.

mod address;
mod bridge;
mod client;
mod clock;
mod connecting;
mod framed;
mod listener;
mod master;
mod peer;
mod poll;
mod serial;
mod stream;
mod worker;

pub use address::{Address, AddressError};
pub use bridge::{BridgeOptions, LineBridge};
pub use client::{
    Client, ClientBuilder, ClientConnection, ClientEvent, ConnectError, Failure, Job, JobOptions, Outcome, Pending,
    Progress, Submission, TaskKey,
};
pub use listener::BindError;
pub use master::{Counters, Master, MasterConfig, MasterHandle, Report};
pub use palm_proto::{CacheLimits, Request, Status};
pub use peer::{BuildError, Cache, CacheError, Condition, NO_TOKEN, PeerOptions, Value};
pub use worker::{
    Call, Counters as WorkerCounters, Report as WorkerReport, Results, Task, Worker, WorkerBuilder, WorkerConnection,
    WorkerEvent, WorkerHandle,
};
