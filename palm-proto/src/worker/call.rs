//! What goes between a worker and its driver.

use core::fmt;

use crate::message::{MessageRef, ParseError};
use crate::time::Instant;

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Number of calls that run at the same time; at least one.
    pub concurrency: u32,
}

/// Names a call that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// What a function is called with.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Name of the function.
    pub method: &'a str,
    /// The message.
    pub message: MessageRef<'a>,
    /// When the client stops waiting, if it said.
    pub expires: Option<Instant>,
}

/// What becomes of the messages that have not begun when a worker stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// They are done; so are those that come still.
    Finish,
    /// They go back undone, with [`Status::HandedBack`](crate::Status::HandedBack): only to a master that knows this status.
    HandBack,
}

/// Something that a worker's operator may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// What came was no message, and was dropped: nobody can be told. Of several the last is reported.
    Malformed(ParseError),
}

/// Counts since the worker was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages received, malformed ones not among them.
    pub received: u64,
    /// Things received that were no message.
    pub malformed: u64,
    /// Results written.
    pub results: u64,
    /// Failures written, those of expired messages among them.
    pub failures: u64,
    /// Messages whose deadline had passed before they could begin.
    pub expired: u64,
    /// Messages given back undone.
    pub handed_back: u64,
    /// Answers dropped because not even the failure in place of them fitted into the output.
    pub dropped: u64,
}

/// The worker has no room for a message, which is given back; ask again after a transmit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<B>(pub B);

impl<B> fmt::Display for Full<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the worker has no room for another message")
    }
}

impl<B: fmt::Debug> core::error::Error for Full<B> {}

/// There is no such call, or it has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCall;

impl fmt::Display for UnknownCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such call runs")
    }
}

impl core::error::Error for UnknownCall {}
