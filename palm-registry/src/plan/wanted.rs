//! What people want of a component beside what its file says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::cluster::limits;

/// What is wanted of a component, as it was asked for last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// It is not to run, though it keeps its places.
    pub stopped: bool,
    /// Counts the times that it was to be restarted: a process of an earlier generation is to be replaced.
    pub generation: u64,
    /// Copies beside the first; `None`: as many as the file says.
    pub replicas: Option<u32>,
}

impl Plan {
    /// What is wanted, of the components of which anything is.
    pub fn all_wanted(&self) -> &BTreeMap<String, Wanted> {
        &self.wanted
    }

    /// What is wanted of a component.
    pub fn wanted(&self, component: &str) -> Wanted {
        self.wanted.get(component).copied().unwrap_or_default()
    }

    /// A component is not to run until it is started again. Whether there is such a component.
    pub fn stop(&mut self, component: &str) -> bool {
        self.want(component, |wanted| wanted.stopped = true)
    }

    /// A component is to run. Whether there is such a component.
    pub fn start(&mut self, component: &str) -> bool {
        self.want(component, |wanted| wanted.stopped = false)
    }

    /// The processes of a component that there are now are to be replaced by new ones; one that was stopped runs again. Whether there is
    /// such a component.
    pub fn restart(&mut self, component: &str) -> bool {
        self.want(component, |wanted| {
            wanted.stopped = false;
            wanted.generation += 1;
        })
    }

    /// A component has so many copies beside the first from now on, until its file is another; those with the highest numbers go first.
    /// Whether there is such a component.
    pub fn scale(&mut self, component: &str, replicas: u32) -> bool {
        let is_there = self.want(component, |wanted| wanted.replicas = Some(replicas));
        if is_there {
            self.prune();
        }
        is_there
    }

    /// Whether a component may have so many copies beside the first: of all components together there may be so many.
    ///
    /// # Errors
    /// If not: why.
    pub fn check_scale(&self, component: &str, replicas: u32) -> Result<(), String> {
        let copies =
            self.cluster().components.iter().map(|other| {
                (other, if other.name == component { replicas.saturating_add(1) } else { other.copies() })
            });
        limits::size(copies).map_err(|(_, reason)| reason)
    }

    fn want(&mut self, component: &str, change: impl FnOnce(&mut Wanted)) -> bool {
        if self.components.get(component).is_none() {
            return false;
        }
        let wanted = self.wanted.entry(component.to_owned()).or_default();
        change(wanted);
        if *wanted == Wanted::default() {
            self.wanted.remove(component);
        }
        true
    }

    /// Leaves out what is wanted of components that are no more, and has the others have as many copies as they are to have.
    pub(super) fn apply_wanted(&mut self) {
        let components = &mut self.components;
        self.wanted.retain(|name, _| components.get(name).is_some());
        let scaled = self.wanted.iter().filter_map(|(name, wanted)| Some((name, wanted.replicas?)));
        components.set_replicas(scaled);
    }
}
