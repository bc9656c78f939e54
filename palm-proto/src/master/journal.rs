//! What becomes of a master's messages and results, as it happens.
//!
//! Who writes the records down before anything that follows from them leaves the process (a message is accepted, a task sent, a
//! result handed over) can build the same master anew after a crash: see [`Record`]. A master without a journal has `()`, which
//! costs nothing.

use core::fmt::Debug;

use crate::buffer::Span;
use crate::message::TaskId;
use crate::time::Instant;

/// A result that is kept, among those that are at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResultId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// One change.
///
/// The state of a master is what was submitted and has not ended, in this order, and what is kept and has not left. A new one comes to
/// have it when each of the former is given to [`Master::handle_submit`](super::Master::handle_submit) and each of the latter to
/// [`Master::handle_result`](super::Master::handle_result). Workers and subscribers are those that connect then: what a worker was
/// sent is queued again, unless it [claims](super::Master::claim) that.
#[derive(Debug)]
#[non_exhaustive]
pub enum Record<'a, B> {
    /// A message was taken in.
    Submitted {
        /// Its task.
        task: TaskId,
        /// Itself, as it came.
        message: &'a Span<B>,
        /// Its deadline, which in the message is the time that was left when it came.
        deadline: Option<Instant>,
    },
    /// It was answered or given up; if there is a result, that is kept next.
    Ended {
        /// Its task.
        task: TaskId,
    },
    /// A result waits for a subscriber; one that several have subscribed to is kept for each.
    Kept {
        /// The result.
        result: ResultId,
        /// Itself, as it leaves.
        message: &'a Span<B>,
    },
    /// It was handed over, or dropped.
    Left {
        /// The result.
        result: ResultId,
    },
}

/// Takes the records of a master.
pub trait Journal<B>: Debug {
    /// Notes a change that has happened.
    fn record(&mut self, record: Record<'_, B>);
}

impl<B> Journal<B> for () {
    #[inline(always)]
    fn record(&mut self, _: Record<'_, B>) {}
}
