//! A worker: does tasks.

mod connection;

pub use connection::{Task, WorkerConnection, WorkerEvent};
