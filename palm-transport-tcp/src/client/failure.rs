//! Why a task has no result.

use std::fmt;

use palm_proto::Status;
use palm_proto::native::NotSent;

/// What went wrong with a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure; [`Status::DeadlineExceeded`] if the time was up.
    pub status: Status,
    /// More about it, for people; may be empty.
    pub text: String,
}

impl Failure {
    pub(super) const fn of(status: Status) -> Self {
        Self { status, text: String::new() }
    }

    pub(super) fn of_refused(refused: NotSent) -> Self {
        let status = if refused == NotSent::TooLong { Status::TooLong } else { Status::NoSuchFunction };
        Self { status, text: refused.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

impl std::error::Error for Failure {}
