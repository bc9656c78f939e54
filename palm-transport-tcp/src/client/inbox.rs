//! Where the results of a job, or of one task, arrive.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::failure::Failure;

/// One result of a task, or its failure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Number of the input, from 0.
    pub sequence: u64,
    /// The function's result.
    pub result: Result<Bytes, Failure>,
    /// Whether it is the input's last; always, unless a function has several.
    pub last: bool,
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Number of the input, from 0.
    pub sequence: u64,
    /// In thousandths.
    pub permille: u16,
    /// More about it, for people; may be empty.
    pub text: String,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    there: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The one that came first: there is no other as a rule where one task is waited for.
    first: Option<Outcome>,
    outcomes: VecDeque<Outcome>,
    progress: Option<Progress>,
    /// Somebody waits for outcomes.
    waiting: bool,
}

impl Inbox {
    /// Puts all that has arrived in; one wake-up for all.
    pub(super) fn put(&self, arrived: &mut Vec<Outcome>) {
        let mut state = self.lock();
        let mut arrived = arrived.drain(..);
        if state.first.is_none() && state.outcomes.is_empty() {
            state.first = arrived.next();
        }
        state.outcomes.extend(arrived);
        if std::mem::take(&mut state.waiting) {
            drop(state);
            self.there.notify_one();
        }
    }

    pub(super) fn put_progress(&self, progress: Progress) {
        self.lock().progress = Some(progress);
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        self.lock().progress.clone()
    }

    /// Moves what has arrived to `outcomes`; waits for something.
    pub(super) fn take_all(&self, outcomes: &mut VecDeque<Outcome>) {
        let mut state = self.wait(None);
        outcomes.extend(state.first.take());
        if outcomes.is_empty() {
            std::mem::swap(outcomes, &mut state.outcomes);
        } else {
            outcomes.append(&mut state.outcomes);
        }
    }

    /// Takes what arrived first; waits for something until `until`, for ever if that is `None`.
    pub(super) fn take(&self, until: Option<Instant>) -> Option<Outcome> {
        let mut state = self.wait(until);
        state.first.take().or_else(|| state.outcomes.pop_front())
    }

    /// Waits for something until `until`, for ever if that is `None`.
    fn wait(&self, until: Option<Instant>) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while state.first.is_none() && state.outcomes.is_empty() {
            state.waiting = true;
            state = match until {
                None => self.there.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.there.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.waiting = false;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
