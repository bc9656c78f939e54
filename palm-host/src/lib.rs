//! What PALM's drivers share on a host, and no protocol decides.
//!
//! - [`local_address`]: the address that the name of an interface stands for, to bind a socket to it.
//! - [`unknown_host`]: why a name cannot be bound, with the interfaces that there are.
//! - [`bind_unix`]: binds a Unix socket, and says when a file that is there already may be removed for it.
//!
//! A driver still makes its sockets itself, with the runtime that it is built on.
#![forbid(unsafe_code)]

mod interface;
mod socket_file;

pub use interface::{local_address, unknown_host};
pub use socket_file::{SocketFile, bind_unix};
