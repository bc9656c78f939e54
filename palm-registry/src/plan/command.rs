//! What a node is to start.

use super::{Instance, Plan};
use crate::cluster::{Component, Flag};
use crate::words;

/// A process that a node is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Which it is.
    pub instance: Instance,
    /// Its component.
    pub component: &'a Component,
    /// Its command line for our runner, with addresses in place of sockets, and quotes where [`words::split`] needs them.
    pub line: String,
    /// Addresses of its sockets, in the order of its flags.
    addresses: Vec<String>,
}

impl Command<'_> {
    /// The script, and each flag with its value, for `pylm-runner`. That splits a line at blanks, and quotes are characters to it; so a
    /// word has none around it.
    pub fn parts(&self) -> Vec<String> {
        let mut addresses = self.addresses.iter();
        let flag = |flag: &Flag| {
            let socket = flag.socket().and_then(|_| addresses.next()).map(String::as_str);
            let words = flag.words().iter().map(String::as_str);
            let parts: Vec<_> = [flag.name.as_str()].into_iter().chain(socket).chain(words).collect();
            parts.join(" ")
        };
        let flags: Vec<_> = self.component.flags.iter().map(flag).collect();
        [self.component.script.clone()].into_iter().chain(flags).collect()
    }
}

impl Plan {
    /// What a node is to start, in order. What needs a socket that has no address at the moment is left out.
    pub fn commands(&self, node: &str) -> impl Iterator<Item = Command<'_>> {
        let instances = self.nodes.node(node).map_or(&[][..], |node| &node.instances);
        instances.iter().filter_map(|instance| {
            let component = self.components.get(&instance.component)?;
            let addresses: Vec<_> = component.sockets().map(|socket| self.address(socket)).collect::<Option<_>>()?;
            let line = line(component, &addresses);
            Some(Command { instance: instance.clone(), component, line, addresses })
        })
    }
}

/// A component's command line.
fn line(component: &Component, addresses: &[String]) -> String {
    let mut line = match words::split(&component.script) {
        Some(_) => component.script.clone(),
        None => words::join(component.script.split_whitespace()),
    };
    let mut addresses = addresses.iter();
    for flag in &component.flags {
        line.push(' ');
        line.push_str(&flag.name);
        if let Some(address) = flag.socket().and_then(|_| addresses.next()) {
            line.push(' ');
            line.push_str(address);
        }
        for word in flag.words() {
            line.push(' ');
            line.push_str(&words::quote(word));
        }
    }
    line
}
