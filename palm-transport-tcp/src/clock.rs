//! The time as the machines count it.

use std::time::{Duration, Instant};

/// Time since a start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> palm_proto::Instant {
        palm_proto::Instant::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The machines' time as the operating system's; `None` if it never comes.
    pub(crate) fn instant(self, at: palm_proto::Instant) -> Option<Instant> {
        self.start.checked_add(Duration::from_micros(at.as_micros()))
    }
}
