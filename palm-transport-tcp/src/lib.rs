//! PALM's native protocol over TCP, Unix sockets and serial lines.

mod address;
mod backoff;
mod clock;
mod connecting;
mod listener;
mod master;
mod poll;
mod serial;
mod stream;

pub use address::{Address, AddressError};
pub use listener::BindError;
pub use master::{Counters, Master, MasterConfig, MasterHandle, Report};
