//! What all processes of a node do, for the registry and for whoever looks on.

use std::collections::HashMap;

use tokio::time::Instant;

use super::super::sender::Dialect;
use super::super::supervisor::Supervisor;
use super::super::usage::{self, Usage};
use super::{Entry, Fleet, GATHER, Key, Standing};
use crate::locked::locked;
use crate::wire::{Process, State, Sync};

impl Fleet {
    pub(super) fn report(&self, leaving: bool) -> Sync {
        Sync { node: self.node.clone(), run: self.run, processes: self.processes(&usage::by_group()), leaving }
    }

    fn processes(&self, usage: &HashMap<u32, Usage>) -> Vec<Process> {
        let entries = self.order.iter().filter_map(|key| self.entries.get_key_value(key));
        let process = |((component, copy), entry): (&Key, &Entry)| {
            let supervisor = &entry.supervisor;
            let ((state, _), pid) = (supervisor.state(), entry.child.as_ref().and_then(|child| child.id));
            let (messages, rate) = entry.told.as_ref().map_or((None, None), |told| {
                let told = locked(told);
                (told.messages(), told.rate(std::time::Instant::now()).filter(|_| pid.is_some()))
            });
            let used = pid.and_then(|pid| usage.get(&pid)).copied().unwrap_or_default();
            Process {
                component: component.clone(),
                copy: *copy,
                state,
                pid,
                since: self.since(entry),
                restarts: supervisor.restarts(),
                exit: supervisor.exit(),
                cpu_seconds: used.cpu_seconds,
                memory_bytes: used.memory_bytes,
                generation: supervisor.generation(),
                messages,
                rate,
            }
        };
        entries.map(process).collect()
    }

    /// Has changes reported soon, and shows them to whoever looks on.
    pub(super) fn notice_changes(&mut self) {
        let noticed = (self.states(), self.is_over());
        if noticed == self.noticed {
            return;
        }
        for (key, state) in noticed.0.iter().filter(|state| !self.noticed.0.contains(state)) {
            tracing::debug!("{} (copy {}) is {}", key.0, key.1, state.name());
        }
        if noticed.0 != self.noticed.0 {
            let soon = Instant::now() + GATHER;
            self.ask_at = self.ask_at.map(|at| if self.is_away { at } else { at.min(soon) });
        }
        let is_over = noticed.1;
        self.noticed = noticed;
        if let Some(standing) = &self.standing {
            standing.send_replace(Standing { processes: self.processes(&HashMap::new()), is_over });
        }
        if is_over && *self.dialect.borrow() == Dialect::Python {
            // Nobody can want anything any more.
            self.end(Ok(()));
        }
    }

    pub(super) fn states(&self) -> Vec<(Key, State)> {
        let state = |key: &Key| Some((key.clone(), self.entries.get(key)?.supervisor.state().0));
        self.order.iter().filter_map(state).collect()
    }

    /// Whether nothing runs, and nothing is going to: also if something waits for another that has failed, and the registry knows that.
    fn is_over(&self) -> bool {
        let mut supervisors = self.entries.values().map(|entry| &entry.supervisor);
        if self.entries.is_empty() || supervisors.clone().any(Supervisor::is_alive) {
            return false;
        }
        let is_held = |one: &Supervisor| one.wanted().hold && self.answered == self.states();
        supervisors.all(|one| one.is_over() || is_held(one))
    }
}
