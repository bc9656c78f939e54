//! Which failures are worth another try.

use crate::message::Status;

/// What a client sends again, as the same message with the same sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often one message is sent again at most.
    pub limit: u32,
    /// A message that was not answered in time.
    pub timeout: bool,
    /// A message that a master did not get done before it stopped.
    pub unavailable: bool,
    /// A message that took every worker it was given to with it.
    pub dead_letter: bool,
}

impl Retry {
    /// Nothing is sent again.
    pub const NONE: Self = Self { limit: 0, timeout: false, unavailable: false, dead_letter: false };

    /// Sends again up to `limit` times whatever was not answered in time or given up on by a master that stopped; a dead
    /// letter is left dead.
    pub const fn times(limit: u32) -> Self {
        Self { limit, timeout: true, unavailable: true, dead_letter: false }
    }

    /// Whether a message that was sent again `retries` times already is sent again after a failure with `status`.
    pub const fn applies(&self, status: Status, retries: u32) -> bool {
        let wanted = match status {
            Status::DeadlineExceeded => self.timeout,
            Status::Unavailable | Status::HandedBack => self.unavailable,
            Status::DeadLetter => self.dead_letter,
            Status::Done | Status::Failed | Status::NoSuchFunction | Status::WrongServer => false,
            Status::TooLong | Status::Cancelled | Status::Other(_) => false,
        };
        wanted && retries < self.limit
    }
}
