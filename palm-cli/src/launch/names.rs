//! Messages that are named at the end of a job: the first few.

use std::fmt;

use super::Label;
use crate::output::harmless;

/// How many failed, and how many missing, messages are named at the end.
const NAMED: usize = 20;

/// The first few of many, and how many.
#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) total: u64,
    pub(super) first: Vec<String>,
}

/// A message, and what is the matter with it, in one line: others have named it, and have said why.
pub(super) fn name(label: &Label, why: &dyn fmt::Display) -> String {
    harmless(&format!("{label}: {why}"), false).into_owned()
}

impl Names {
    /// Counts one more, and keeps its name if it is one of the first.
    pub(super) fn add(&mut self, name: impl FnOnce() -> String) {
        self.total += 1;
        if self.first.len() < NAMED {
            self.first.push(name());
        }
    }
}
