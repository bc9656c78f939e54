//! Whether the components of a cluster can be started one after the other, and reported by their names.

use std::collections::{HashMap, HashSet};

use super::{Cluster, Component, Flag, Readiness};
use crate::names;
use crate::wire::NAME_MAX;

/// What is wrong with a component's name: no runner could say it to the registry.
pub(crate) fn wrong_name(name: &str) -> Option<String> {
    if name.len() > NAME_MAX {
        return Some(format!("expected a name of at most {NAME_MAX} bytes, found {}", name.len()));
    }
    names::wrong(name).map(|wrong| format!("expected a name {wrong}"))
}

/// Longest time that a component may be given to end, in seconds.
const GRACE_MAX: u64 = 86_400;

/// The sockets of a cluster, by their names.
pub(super) fn sockets(cluster: &Cluster) -> HashSet<&str> {
    cluster.components.iter().flat_map(Component::sockets).collect()
}

/// What else of a component no runner could do, in a cluster that has these sockets: a key, and why not.
pub(super) fn wrong_value(sockets: &HashSet<&str>, component: &Component) -> Option<(&'static str, String)> {
    let extras = &component.extras;
    let has_zero = |text: &str| text.contains('\0');
    let zero = |key| Some((key, "expected text without zero bytes".to_owned()));
    if has_zero(&component.script) {
        return zero("script");
    }
    let flag_has_zero = |flag: &Flag| {
        let mut texts = flag.words().iter().map(String::as_str).chain([flag.name.as_str()]).chain(flag.socket());
        texts.any(has_zero)
    };
    if component.flags.iter().any(flag_has_zero) {
        return zero("flags");
    }
    if extras.directory.as_deref().is_some_and(has_zero) {
        return zero("directory");
    }
    if extras.environment.iter().any(|(name, value)| has_zero(name) || has_zero(value)) {
        return zero("environment");
    }
    if let Some(wrong) = component.role.as_deref().and_then(names::wrong_lines) {
        return Some(("role", format!("expected text {wrong}")));
    }
    if let Some(wrong) = component.sockets().find_map(names::wrong) {
        return Some(("flags", format!("expected names of sockets {wrong}")));
    }
    if let Some(name) = extras.environment.keys().find(|name| name.is_empty() || name.contains('=')) {
        return Some(("environment", format!("expected the name of a variable, without `=`, found `{name}`")));
    }
    if let Some(grace) = extras.grace.filter(|grace| grace.as_secs() > GRACE_MAX) {
        let found = grace.as_secs();
        return Some(("grace-seconds", format!("expected a number from 0 to {GRACE_MAX}, found {found}")));
    }
    if let Some(Readiness::Cache(address) | Readiness::Tcp(address)) = &extras.ready
        && let Some(socket) = address.strip_prefix('_')
        && !sockets.contains(socket)
    {
        return Some(("ready", format!("expected a socket that is a flag's value somewhere, found `_{socket}`")));
    }
    None
}

/// Why there is no order in which components can be placed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Disorder {
    /// A component is to come after one that does not exist.
    Unknown { component: usize, connected: String },
    /// Components are to come after each other; the first is also the last.
    Cycle(Vec<usize>),
}

/// Indices of the components, each after all that it is connected to; of two that may come in either order, the first in the file is
/// first. Components that have no place in it, in a cluster that no file was read into, are left out.
pub fn start_order(cluster: &Cluster) -> Vec<usize> {
    let mut walk = Walk::new(cluster);
    for index in 0..cluster.components.len() {
        if walk.visit(index).is_err() {
            walk.abandon();
        }
    }
    walk.order
}

pub(super) fn check(cluster: &Cluster) -> Result<(), Disorder> {
    let mut walk = Walk::new(cluster);
    (0..cluster.components.len()).try_for_each(|index| walk.visit(index))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    OnTheWay,
    Done,
}

/// A walk from each component to all that it is connected to, depth first. The way is kept here and not on the stack, which a file with
/// a long chain of components would overflow.
struct Walk<'a> {
    cluster: &'a Cluster,
    by_name: HashMap<&'a str, usize>,
    states: Vec<State>,
    /// Components that wait for what they are connected to, and how many of that are done.
    way: Vec<(usize, usize)>,
    order: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let names = cluster.components.iter().enumerate();
        let by_name = names.rev().map(|(index, component)| (component.name.as_str(), index)).collect();
        let states = vec![State::New; cluster.components.len()];
        Self { cluster, by_name, states, way: Vec::new(), order: Vec::new() }
    }

    fn visit(&mut self, index: usize) -> Result<(), Disorder> {
        self.enter(index)?;
        while let Some((index, next)) = self.way.last_mut() {
            let (index, connected) = (*index, self.cluster.components[*index].connected.get(*next));
            *next += 1;
            match connected {
                None => {
                    self.way.pop();
                    self.states[index] = State::Done;
                    self.order.push(index);
                }
                Some(connected) => match self.by_name.get(connected.as_str()) {
                    Some(&found) => self.enter(found)?,
                    None => return Err(Disorder::Unknown { component: index, connected: connected.clone() }),
                },
            }
        }
        Ok(())
    }

    fn enter(&mut self, index: usize) -> Result<(), Disorder> {
        match self.states[index] {
            State::Done => {}
            State::OnTheWay => {
                let way = self.way.iter().map(|(index, _)| *index).skip_while(|&earlier| earlier != index);
                return Err(Disorder::Cycle(way.chain([index]).collect()));
            }
            State::New => {
                self.states[index] = State::OnTheWay;
                self.way.push((index, 0));
            }
        }
        Ok(())
    }

    /// Who is on the way has no place in the order.
    fn abandon(&mut self) {
        self.way.clear();
    }
}
