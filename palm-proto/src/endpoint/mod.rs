//! A master at the end of ZeroMQ connections: its five sockets, and every connection to them, in one machine.
//!
//! [`Endpoint`] puts [`Master`](crate::master::Master), [`Cache`](crate::cache::Cache) and one
//! [`zmtp::Connection`](crate::zmtp::Connection) for each peer together. A driver accepts connections and moves bytes; who
//! may send how much, who is silent or hostile, and what goes where is decided here (`docs/spec.md`, section 6).
//!
//! The contract for a driver, for each connection:
//! - [`handle_accept`](Endpoint::handle_accept) when it is established, [`handle_close`](Endpoint::handle_close) when it is
//!   gone;
//! - offer what was received to [`handle_input`](Endpoint::handle_input), and do as it says: read more, wait, or close.
//!   What is read into a buffer of its own is told by [`handle_part`](Endpoint::handle_part), and when it is whole handed over by
//!   [`handle_message`](Endpoint::handle_message);
//! - send what [`poll_transmit`](Endpoint::poll_transmit) gives until it is `None`, and tell
//!   [`handle_sent`](Endpoint::handle_sent) what has left; [`transmit_to`](Endpoint::transmit_to) gives all at once, in less
//!   time, to a driver for byte streams;
//! - after any call, come back to every connection that [`poll_ready`](Endpoint::poll_ready) names, take events, and call
//!   [`handle_timeout`](Endpoint::handle_timeout) at [`poll_timeout`](Endpoint::poll_timeout).

mod config;
mod crowd;
mod event;
mod flow;
mod input;
mod machine;
mod native;
mod output;
mod part;
mod peer;
mod reply;
mod storage;
#[cfg(test)]
mod tests;
mod timers;
mod transmit;

pub use config::{EndpointConfig, EndpointCounters};
pub use crowd::{Crowd, Source};
pub use event::{EndpointEvent, Fault};
pub use input::{Next, Progress};
pub use machine::Endpoint;
pub use native::{
    Aliases, Claim, FixedNative, Kept, Name, NativePeer, NativeStorage, NativeTables, Outstanding,
    Progress as NativeProgress, Session, Submission, Told,
};
#[cfg(feature = "alloc")]
pub use native::{HeapNative, native_tables};
pub use part::{Absent, Part};
pub use peer::{ConnectionId, Control, Peer, Service, ZeroMq};
pub use storage::{EndpointStorage, EndpointTables, FixedEndpoint, NativeEndpoint};
#[cfg(feature = "alloc")]
pub use storage::{HeapEndpoint, heap_tables};
pub use transmit::{Outlet, Transmit};
