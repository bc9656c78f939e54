//! How a job is done.

use core::time::Duration;

use super::retry::Retry;

/// How a job is done.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Most messages that are under way: submitted, and their last outcome not taken. At least one; less if the tables have not
    /// `results` entries for each.
    pub window: u32,
    /// Results that each message has; at least one.
    pub results: u32,
    /// Whether outcomes come in the order of the messages, not as they arrive.
    pub ordered: bool,
    /// How long a try may take, from the submission or the transmit to the result; `None`: for ever.
    pub timeout: Option<Duration>,
    /// How long a master is told that a try is waited for, from when it comes there; `None`: that is not in the messages.
    pub deadline: Option<Duration>,
    /// What is tried again.
    pub retry: Retry,
    /// Wait before a message that the master was [`Unavailable`](crate::Status::Unavailable) for is tried again.
    pub retry_delay: Duration,
}

impl Default for Config {
    /// A window of 1000, one result for each message, as they arrive, no time limit, no retry.
    fn default() -> Self {
        Self {
            window: 1000,
            results: 1,
            ordered: false,
            timeout: None,
            deadline: None,
            retry: Retry::NONE,
            retry_delay: Duration::from_millis(200),
        }
    }
}
