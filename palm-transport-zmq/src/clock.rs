//! The clock of the machines that a component drives.

use std::time::Instant;

use palm_proto::{Backoff, Seed};
use std::time::Duration;

/// The shortest and the longest wait before the next try to connect.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Counts from when it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> palm_proto::Instant {
        palm_proto::Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// Waits before tries to connect, with randomness of its own.
pub(crate) fn backoff() -> Backoff {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    Backoff::new(FIRST, LONGEST, Seed::from_words([high, low]))
}
