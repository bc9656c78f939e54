//! What the whole-system tests are made of: programs under test, stock Python peers, hand-made ZMTP peers.
//!
//! The tests themselves are in `tests/tests`; the Python programs that they run, which use the real `pylm`, in
//! `tests/python`. What a test starts with:
//!
//! - [`Master`], [`Worker`] and [`Launcher`] are processes, each either [`Side::Ours`] or [`Side::Stock`];
//! - [`StockClient`] runs `client.py`, and [`Process`] anything else, with its output collected;
//! - [`NativeClient`] is a client over a plain [`std::net::TcpStream`];
//! - [`zmtp::Peer`] speaks ZMTP by hand over a plain [`std::net::TcpStream`], for what no library lets one do, and
//!   [`RawClient`] is a client made of two of them;
//! - [`within`] bounds a whole test, [`until`] waits for something.
//!
//! Every wait has a bound. Every process is in a group of its own that is killed when its [`Process`] is dropped, and
//! also when the test program itself is killed ([`reaper`]).
//!
//! The Python peer is set up once below the target directory ([`python`]); the program `palm` is built once by cargo
//! ([`palm`]).

pub mod attack;
pub mod cluster;
pub mod fleet;
pub mod hostile;
pub mod native;
pub mod palm;
pub mod payload;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod python;
pub mod python_registry;
pub mod raw;
pub mod reaper;
pub mod registry;
pub mod simulation;
pub mod wait;
pub mod zmtp;

pub use cluster::{Addresses, Launcher, Master, Side, StockClient, Worker};
pub use native::NativeClient;
pub use process::Process;
pub use raw::RawClient;
pub use wait::{until, within};
