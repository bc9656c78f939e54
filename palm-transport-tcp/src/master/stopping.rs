//! How a master stops: what is out is finished, the rest given back, and what results still can be are handed over.

use std::time::Duration;

use palm_proto::Instant;

use super::turn::MasterEndpoint;

/// Messages given back in a turn when the grace time is over.
const ABANDON_A_TURN: usize = 1_000;
/// Least time to hand over results.
const FLUSH: Duration = Duration::from_secs(1);

/// How far a master has come with stopping.
#[derive(Debug)]
pub(super) struct Stopping {
    grace: Duration,
    stage: Stage,
    /// Messages that were given back.
    pub(super) left: usize,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Running,
    /// Finishing what is out.
    Draining(Instant),
    /// Handing over results.
    Flushing(Instant),
}

impl Stopping {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, stage: Stage::Running, left: 0 }
    }

    /// When to look again, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Running => None,
            Stage::Draining(until) | Stage::Flushing(until) => Some(until),
        }
    }

    /// Goes on, after each turn of the loop. Whether all is over.
    pub(super) fn advance(&mut self, now: Instant, endpoint: &mut MasterEndpoint) -> bool {
        if let Stage::Running = self.stage {
            endpoint.drain();
            self.stage = Stage::Draining(now + self.grace);
        }
        if let Stage::Draining(until) = self.stage {
            if endpoint.is_idle() || until <= now {
                self.left += endpoint.abandon(now, ABANDON_A_TURN);
            }
            if !endpoint.is_idle() {
                return false;
            }
            self.stage = Stage::Flushing(until.max(now + FLUSH));
        }
        match self.stage {
            Stage::Flushing(until) => endpoint.is_flushed() || until <= now,
            Stage::Running | Stage::Draining(_) => false,
        }
    }
}
