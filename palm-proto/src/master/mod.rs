//! The master: takes messages from clients, has workers do them, and sees to it that each result gets home.
//!
//! A [`Master`] knows its peers by role, not by transport: *senders* submit messages, *workers* take them, whoever has an
//! answer hands it in, and *subscribers* take results by topic. A worker's or client's connection may have several roles.
//!
//! What it keeps, and the bound of each, is in `docs/spec.md`, section 5: messages until they are answered (so that those
//! of a lost worker can be given to another), results until somebody takes them or the time to keep has passed, which
//! attempt was accepted of tasks that had several. All of it is counted against one bound on memory and one on messages; at
//! either, [`Master::may_submit`] and [`Master::may_answer`] say no, and the caller stops reading.
//!
//! ```
//! use palm_proto::master::{Master, MasterConfig, Tables, FixedStorage};
//! use palm_proto::message::{MessageWriter, MessageRef};
//! use palm_proto::random::Seed;
//! use palm_proto::{Instant, Span};
//!
//! type Buffer = heapless::Vec<u8, 128>;
//! let mut master: Master<FixedStorage<Buffer, 4, 2>> =
//!     Master::new("foo", MasterConfig::default(), Tables::fixed(), Seed::from_u64(1))?;
//! let now = Instant::ZERO;
//! let (client, worker) = (master.add_sender().unwrap(), master.add_worker(now, 7, 1).unwrap());
//! let home = master.add_subscriber(now, 8).unwrap();
//! master.handle_subscribe(now, home, b"me")?;
//!
//! let mut message = Buffer::new();
//! MessageWriter::new(&mut message).client("me").function("foo.bar").payload(b"hi").finish()?;
//! master.handle_submit(now, client, Span::whole(message)).unwrap();
//!
//! assert_eq!(master.poll_wake(), Some(7), "worker 7 has something to send");
//! let mut wire = Buffer::new();
//! let assignment = master.poll_task(worker).unwrap();
//! wire.extend_from_slice(assignment.message.as_slice()).unwrap();
//! wire.extend_from_slice(&assignment.tags(now)).unwrap();
//!
//! master.handle_result(now, Span::whole(wire)).unwrap();
//! assert_eq!(master.poll_wake(), Some(8));
//! let result = master.poll_result(now, home).unwrap();
//! assert_eq!(MessageRef::parse(result.message.as_slice())?.payload, b"hi");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accounts;
mod answers;
mod completion;
mod config;
mod deadlines;
mod delivery;
mod departures;
mod dispatch;
mod event;
mod failure;
mod finished;
mod identity;
mod journal;
mod leases;
mod machine;
mod names;
mod origin;
mod output;
mod reply;
mod results;
mod revoked;
mod storage;
mod submit;
mod subscribers;
mod subscriptions;
mod task;
#[cfg(test)]
mod tests;
mod window;
mod worker;
mod workers;

pub use accounts::{Sender, SenderId};
pub use config::{Counters, Gauges, MESSAGE_OVERHEAD, MasterConfig, WindowLimits};
pub use delivery::{Delivery, Subscriber, Topic};
pub use departures::Departure;
pub use event::{Event, Label};
pub use finished::Finished;
pub use identity::Identity;
pub use journal::{Journal, Record, ResultId};
pub(crate) use leases::ATTEMPTS_CLAIMED;
pub use machine::{Master, NameTooLong};
pub use origin::{Note, Origin, ResultKind};
pub(crate) use origin::{Prepared, Unfit};
pub(crate) use output::millis_left;
pub use output::{Assignment, Outcome, Tags};
pub use results::SubscriberId;
pub use revoked::Revoked;
pub use storage::{FixedStorage, MasterStorage, Tables};
#[cfg(feature = "alloc")]
pub use storage::{HeapStorage, TableSizes};
pub use submit::{NotTaken, Refusal};
pub use subscriptions::{Known, Length, SubscribeError, Subscription};
pub use task::Task;
pub use worker::{Worker, WorkerId};
