//! What a cluster lacks.

use std::collections::HashMap;
use std::fmt;

use super::{Instance, Plan};
use crate::cluster::Component;

/// Something that does not run, as the plan has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What.
    pub instance: Instance,
    /// Why.
    pub reason: Reason,
}

/// Why something has no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A component that it is connected to is not placed as a whole.
    Waits(String),
    /// Of the nodes on which it may be, none has so many slots free.
    NoRoom(u32),
    /// None of the nodes on which it may be is there.
    NoNode(Vec<String>),
    /// There is room on a node, which has not asked since.
    NotAsked(String),
    /// It is placed, but a socket that it needs has no address until this component is placed again.
    NoAddress(String),
    /// There is room on a node, which has no ports left.
    NoPort(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.instance.component)?;
        if self.instance.copy > 0 {
            write!(f, " (copy {})", self.instance.copy)?;
        }
        f.write_str(": ")?;
        match &self.reason {
            Reason::Waits(component) => write!(f, "waits for {component}"),
            Reason::NoRoom(1) => f.write_str("no node has 1 slot free"),
            Reason::NoRoom(slots) => write!(f, "no node has {slots} slots free"),
            Reason::NoNode(nodes) if nodes.is_empty() => f.write_str("there is no node"),
            Reason::NoNode(nodes) => write!(f, "none of its nodes is there: {}", nodes.join(", ")),
            Reason::NotAsked(node) => write!(f, "goes to {node} when that asks"),
            Reason::NoAddress(component) => write!(f, "waits for an address of {component}"),
            Reason::NoPort(node) => write!(f, "{node} has no port left for its sockets"),
        }
    }
}

impl Plan {
    /// All that does not run, and why, in the order in which it is placed.
    pub fn missing(&self) -> Vec<Missing> {
        // What keeps one copy of a component from its place keeps the others.
        let mut known: HashMap<String, Reason> = HashMap::new();
        let lacks = self.instances().filter_map(|(component, instance)| {
            let reason = match self.place(&instance) {
                Some(_) => {
                    let socket = component.sockets().find(|socket| self.address(socket).is_none())?;
                    let owner = self.sockets.get(socket).map_or(socket, |socket| &socket.owner);
                    Reason::NoAddress(owner.to_owned())
                }
                None => {
                    let reason = known.entry(component.name.clone()).or_insert_with(|| self.why_not_placed(component));
                    reason.clone()
                }
            };
            Some(Missing { instance, reason })
        });
        lacks.collect()
    }

    /// Whether the cluster has all it needs.
    pub fn is_ready(&self) -> bool {
        let has_all = |component: &Component| {
            self.is_whole(component) && component.sockets().all(|socket| self.address(socket).is_some())
        };
        self.components.len() > 0 && self.components.in_order().all(has_all)
    }

    fn why_not_placed(&self, component: &Component) -> Reason {
        if let Some(awaited) = self.awaited(component) {
            return Reason::Waits(awaited);
        }
        let extras = &component.extras;
        let mut nodes =
            self.nodes().iter().filter(|node| extras.nodes.is_empty() || extras.nodes.contains(&node.offer.name));
        let Some(first) = nodes.next() else { return Reason::NoNode(extras.nodes.clone()) };
        let with_room = std::iter::once(first).chain(nodes).find(|node| self.free(node) >= extras.processors);
        match with_room {
            None => Reason::NoRoom(extras.processors),
            Some(node) if self.new_sockets(node, component).is_some() => Reason::NotAsked(node.offer.name.clone()),
            Some(node) => Reason::NoPort(node.offer.name.clone()),
        }
    }
}
