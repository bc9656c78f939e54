//! One task that is under way.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use palm_proto::Status;

use super::Handle;
use super::failure::Failure;
use super::inbox::{Inbox, Outcome, Progress};
use super::run::Command;
use super::tasks::Like;

/// A task that was submitted. Dropped before its result is there, it is cancelled.
pub struct Pending {
    handle: Arc<Handle>,
    inbox: Arc<Inbox>,
    over: bool,
}

impl Pending {
    pub(super) fn new(handle: Arc<Handle>, like: Arc<Like>, payload: Bytes) -> Self {
        let inbox = Arc::<Inbox>::default();
        let command = Command::Submit { inbox: Arc::clone(&inbox), like, payload };
        if !handle.shared.push(command) {
            let result = Err(Failure::of(Status::Unavailable));
            inbox.put(&mut vec![Outcome { sequence: 0, result, last: true }]);
        }
        Self { handle, inbox, over: false }
    }

    /// Waits for the last result.
    ///
    /// # Errors
    /// If the function failed, or there was none to call, or the time was up.
    pub fn wait(mut self) -> Result<Bytes, Failure> {
        for outcome in self.by_ref() {
            if outcome.last {
                return outcome.result;
            }
        }
        // The last result was taken before.
        Err(Failure::of(Status::Unavailable))
    }

    /// Waits no longer than `timeout` for the next outcome, which is the only one unless the function has several; `None` if none
    /// has come, and after the last.
    pub fn next_within(&mut self, timeout: Duration) -> Option<Outcome> {
        self.next_until(Instant::now().checked_add(timeout))
    }

    /// What was said last about how far the task is.
    pub fn progress(&self) -> Option<Progress> {
        self.inbox.progress()
    }

    fn next_until(&mut self, until: Option<Instant>) -> Option<Outcome> {
        if self.over {
            return None;
        }
        let outcome = self.inbox.take(until)?;
        self.over = outcome.last;
        Some(outcome)
    }
}

impl Iterator for Pending {
    type Item = Outcome;

    /// Waits for the next outcome, which is the only one unless the function has several; `None` after the last.
    fn next(&mut self) -> Option<Outcome> {
        self.next_until(None)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.over {
            // With no thread any more there is nothing to cancel.
            self.handle.shared.push(Command::Forget(Arc::clone(&self.inbox)));
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("over", &self.over).finish_non_exhaustive()
    }
}
