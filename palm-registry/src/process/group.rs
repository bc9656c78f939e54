//! A process group: a program and all that it started.

use rustix::process::{Pid, Signal, kill_process_group};

use super::Lifeline;

/// A process group, killed when this is dropped.
#[derive(Debug)]
pub struct Group {
    leader: Option<Pid>,
    lifeline: Lifeline,
}

impl Group {
    /// Takes charge of the group that the child `leader` leads.
    pub fn adopt(leader: Option<u32>, lifeline: &Lifeline) -> Self {
        let leader = leader.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(leader) = leader {
            lifeline.hold(leader);
        }
        Self { leader, lifeline: lifeline.clone() }
    }

    /// Asks the group to end.
    pub fn terminate(&self) {
        if let Some(leader) = self.leader {
            // `Err` if nothing of it is left.
            let _ = kill_process_group(leader, Signal::TERM);
        }
    }

    /// The number of its leader, which is the group's; `None`: it was killed, or there never was one.
    pub fn id(&self) -> Option<u32> {
        self.leader.and_then(|leader| u32::try_from(leader.as_raw_nonzero().get()).ok())
    }

    /// Ends the group at once; whatever is left of it after its leader has ended, too.
    pub fn kill(&mut self) {
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
