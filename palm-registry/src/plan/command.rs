//! What a node is to start.

use super::{Instance, Plan};
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
    /// Where in the line a flag begins.
    flags: Vec<usize>,
}

impl Command<'_> {
    /// The script, and each flag with its value.
    pub fn parts(&self) -> Vec<&str> {
        let ends = self.flags.iter().copied().chain([self.line.len() + 1]);
        let begins = std::iter::once(0).chain(self.flags.iter().copied());
        begins.zip(ends).filter_map(|(begin, end)| self.line.get(begin..end - 1)).collect()
    }
}

impl Plan {
    /// What a node is to start, in order. What needs a socket that has no address at the moment is left out.
    pub fn commands(&self, node: &str) -> impl Iterator<Item = Command<'_>> {
        let instances = self.nodes.node(node).map_or(&[][..], |node| &node.instances);
        instances.iter().filter_map(|instance| {
            let component = self.components.get(&instance.component)?;
            let (mut line, mut flags) = (component.script.clone(), Vec::new());
            for flag in &component.flags {
                line.push(' ');
                flags.push(line.len());
                line.push_str(&flag.name);
                line.push(' ');
                line.push_str(&self.value(flag)?);
            }
            Some(Command { instance: instance.clone(), component, line, flags })
        })
    }

    fn value(&self, flag: &Flag) -> Option<String> {
        match flag.socket() {
            Some(socket) => self.address(socket),
            None => Some(flag.value.clone()),
        }
    }
}
