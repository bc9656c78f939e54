//! What a node is to start.

use super::placing::{Instance, Plan};
use crate::cluster::{Component, Flag};

/// A process that a node is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Which it is.
    pub instance: Instance,
    /// Its component.
    pub component: &'a Component,
    /// Its command line, with addresses in place of sockets.
    pub line: String,
}

impl Plan {
    /// What a node is to start, in order. What needs a socket that has no address at the moment is left out.
    pub fn commands(&self, node: &str) -> impl Iterator<Item = Command<'_>> {
        let instances = self.node(node).map_or(&[][..], |node| &node.instances);
        instances.iter().filter_map(|instance| {
            let component = self.cluster.component(&instance.component)?;
            let mut line = component.script.clone();
            for flag in &component.flags {
                line.push(' ');
                line.push_str(&flag.name);
                line.push(' ');
                line.push_str(&self.value(flag)?);
            }
            Some(Command { instance: instance.clone(), component, line })
        })
    }

    fn value(&self, flag: &Flag) -> Option<String> {
        match flag.socket() {
            Some(socket) => self.address(socket),
            None => Some(flag.value.clone()),
        }
    }
}
