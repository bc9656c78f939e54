//! A process group: a program and all that it started.

use rustix::process::{Pid, Signal, kill_process_group};

use super::Lifeline;

/// A process group, killed when this is dropped.
pub(super) struct Group {
    leader: Option<Pid>,
    lifeline: Lifeline,
}

impl Group {
    /// Takes charge of the group that the child `leader` leads.
    pub(super) fn adopt(leader: Option<u32>, lifeline: &Lifeline) -> Self {
        let leader = leader.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(leader) = leader {
            lifeline.hold(leader);
        }
        Self { leader, lifeline: lifeline.clone() }
    }

    /// Asks the group to end.
    pub(super) fn terminate(&self) {
        if let Some(leader) = self.leader {
            // `Err` if nothing of it is left.
            let _ = kill_process_group(leader, Signal::TERM);
        }
    }

    /// Ends the group at once; whatever is left of it after its leader has ended, too.
    pub(super) fn kill(&mut self) {
        if let Some(leader) = self.leader.take() {
            let _ = kill_process_group(leader, Signal::KILL);
            self.lifeline.release(leader);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
