//! A client: submits tasks and gives their results back.

mod connection;
mod failure;
mod tasks;

pub use connection::{ClientConnection, ClientEvent};
pub use failure::Failure;
pub use tasks::{Submission, TaskKey};
