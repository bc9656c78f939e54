//! The peers' side of the native protocol: the machines of a worker and of a client (`docs/spec.md`, sections 9.5 to 9.8).
//!
//! A [`Worker`] knows which tasks it has and what they are called in the present connection; a [`Client`] knows which of its
//! tasks have no last result yet. Neither keeps a payload, or queues anything: what arrives is handed on as an event that
//! borrows from the frame, what the caller says is a frame that borrows from the caller, and there is nothing to it but a small
//! table. Connections may break at any time, and another one takes up what the last has left.
//!
//! # What a driver does
//!
//! 1. It connects and says so: `handle_connected(now)`.
//! 2. It sends what `poll_transmit` gives until that is `None`, after each of the calls below.
//! 3. It hands in each frame that arrives, `handle_frame(now, frame)`, and does what the event says.
//! 4. At the time that `poll_timeout` tells, and no harm is done earlier, it calls `handle_timeout(now)`.
//! 5. When the connection breaks, when a call gives a [`Fault`] or says that the master is [`Lost`], and when it is
//!    refused or told Goodbye, it closes, calls `handle_disconnected()`, and begins again, at once or later. On a line to close is to
//!    do nothing, and to connect as well.
//!
//! [`Framing`] is what streams and lines have in common. Every call takes constant time beside what its frame is long, but for those
//! that say otherwise.
//!
//! ```
//! use palm_proto::Instant;
//! use palm_proto::native::{
//!     FixedWorker, Frame, Header, Magic, PeerConfig, SessionId, TaskNumber, ToMaster, ToPeer, WorkerEvent,
//! };
//!
//! let config = PeerConfig::new("a thermometer", "secret", SessionId(*b"drawn at random."));
//! let mut worker: FixedWorker<heapless::String<32>, 4, 8> = FixedWorker::fixed(config);
//! let now = Instant::ZERO;
//! worker.handle_connected(now);
//! assert!(matches!(worker.poll_transmit().map(|frame| frame.header), Some(ToMaster::Hello { window: 4, .. })));
//!
//! // What a master says:
//! let welcome = ToPeer::Welcome { magic: Magic, version: 1, epoch: 7, max_frame: 256, window: 0, heartbeat_ms: 0 };
//! assert!(matches!(worker.handle_frame(now, &welcome.encode())?, Some(WorkerEvent::Connected { resumed: false, .. })));
//! worker.handle_frame(now, b"\x05\x00server.celsius")?;
//! worker.handle_frame(now, b"\x06\x00drawn by another")?;
//! let Some(WorkerEvent::Task(task)) = worker.handle_frame(now, b"\x07\x00\x00\x00room 3")? else { panic!("no task") };
//! assert_eq!((task.function.map(|name| name.as_str()), task.payload), (Some("server.celsius"), &b"room 3"[..]));
//!
//! let id = task.id;
//! let done = Frame::with_body(ToMaster::Done { number: TaskNumber::FIRST }, b"21.5");
//! assert_eq!(worker.done(id, b"21.5")?, done);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod client;
mod config;
mod error;
mod framing;
mod held;
mod link;
mod storage;
mod submission;
#[cfg(test)]
mod tests;
mod worker;

pub use cache::CacheAnswer;
#[cfg(feature = "alloc")]
pub use client::HeapClient;
pub use client::{Client, ClientEvent, FixedClient};
pub use config::{PeerConfig, Retry};
pub use error::{Fault, Lost, NotSent};
pub use framing::{Deframed, Framing, FramingFault, LineFraming, NotFramed};
pub use held::{HeldId, HeldTask};
pub use storage::{ClientStorage, FixedClientStorage, FixedWorkerStorage, FunctionName, WorkerStorage};
#[cfg(feature = "alloc")]
pub use storage::{HeapClientStorage, HeapWorkerStorage};
pub use submission::{Resubmit, Submission, Submit, Submitted};
#[cfg(feature = "alloc")]
pub use worker::HeapWorker;
pub use worker::{FixedWorker, TaskEvent, Worker, WorkerEvent};
