//! A job as `palm launch` sees it: what goes in, and what has become of it.

pub(crate) mod follower;
pub(crate) mod input;
pub(crate) mod job;
pub(crate) mod ledger;
pub(crate) mod messages;
mod names;
pub(crate) mod native;
pub(crate) mod server;
pub(crate) mod stop;

use std::fmt;
use std::path::PathBuf;

/// Where a message came from, as a person would name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// One of the repetitions, counted from 1.
    Message(u64),
    /// A line, counted from 1.
    Line(u64),
    /// A file.
    File(PathBuf),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(number) => write!(f, "message {number}"),
            Self::Line(number) => write!(f, "line {number}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
