//! A worker as its master sees it.

use crate::collections::{Link, Linked, List};
use crate::message::TaskId;
use crate::time::Instant;

use super::identity::Holder;
use super::task::InQueue;
use super::window::Window;

/// A connection over which tasks go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// A worker; named only by storage types.
#[derive(Debug)]
pub struct Worker {
    pub(super) token: u32,
    /// Whose answers count for what it is sent.
    pub(super) holder: Holder,
    /// Messages that it may be working on at the same time.
    pub(super) jobs: u32,
    /// Whether it may yield nothing for a message, and must then answer in order.
    pub(super) may_be_silent: bool,
    /// Messages that it was sent and that have been taken from it since it last answered: it may be at them still, which
    /// counts as load.
    pub(super) in_vain: u32,
    /// What it holds: first what was sent, then what is still to be sent.
    pub(super) tasks: List<InQueue>,
    pub(super) next_unsent: u32,
    pub(super) bytes: u64,
    pub(super) window: Window,
    /// Since when the first of its tasks is the first.
    pub(super) head_since: Instant,
    pub(super) standing: Standing,
    /// What it was at when it was taken to hang, or has been tried with since, and which attempt of that.
    pub(super) awaited: Option<(TaskId, u32)>,
    /// Gets nothing as long as it holds something.
    pub(super) apart: bool,
    /// Gets nothing more at all.
    pub(super) draining: bool,
    pub(super) level: u8,
    pub(super) level_link: Link,
    pub(super) lease_link: Link,
    pub(super) wake_link: Link,
    pub(super) suspect_link: Link,
}

/// What is thought of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    /// It is taken to hang: it gets nothing until it answers, or the lease time has passed again.
    Suspended,
    /// It gets one message to show that it works. For what it was sent before may have been lost, or its answer.
    Tried,
}

#[derive(Debug)]
pub(super) struct InLevel;
#[derive(Debug)]
pub(super) struct InLease;
#[derive(Debug)]
pub(super) struct InWake;
#[derive(Debug)]
pub(super) struct InSuspects;

impl Linked<InLevel> for Worker {
    fn link(&mut self) -> &mut Link {
        &mut self.level_link
    }
    fn peek_link(&self) -> Link {
        self.level_link
    }
}

impl Linked<InLease> for Worker {
    fn link(&mut self) -> &mut Link {
        &mut self.lease_link
    }
    fn peek_link(&self) -> Link {
        self.lease_link
    }
}

impl Linked<InWake> for Worker {
    fn link(&mut self) -> &mut Link {
        &mut self.wake_link
    }
    fn peek_link(&self) -> Link {
        self.wake_link
    }
}

impl Linked<InSuspects> for Worker {
    fn link(&mut self) -> &mut Link {
        &mut self.suspect_link
    }
    fn peek_link(&self) -> Link {
        self.suspect_link
    }
}

/// Levels of load: exact up to 7 outstanding, then by powers of two.
pub(super) const LEVELS: usize = 20;
pub(super) const EXACT_LEVELS: u8 = 8;
/// Level of a worker that is given nothing.
pub(super) const NO_LEVEL: u8 = u8::MAX;

pub(super) fn level_of(outstanding: usize) -> u8 {
    let level = match outstanding {
        0..8 => outstanding,
        more => 5 + more.ilog2() as usize,
    };
    level.min(LEVELS - 1) as u8
}

impl Worker {
    /// Messages outstanding.
    pub(super) fn outstanding(&self) -> usize {
        self.tasks.len()
    }
}
