//! What a cluster lacks.

use std::collections::HashMap;
use std::fmt;

use super::ports::Ports;
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
        let mut rooms = Rooms::of(self);
        let lacks = self.components.in_order().flat_map(|component| {
            // What keeps one copy of a component from its place keeps the others.
            let placed = self.nodes.placed(&component.name);
            let unplaced = (placed < component.copies() as usize).then(|| self.why_not_placed(component, &mut rooms));
            let unbound = component.sockets().find(|socket| !self.is_bound(socket)).map(|socket| {
                let owner = self.sockets.get(socket).map_or(socket, |socket| &socket.owner);
                Reason::NoAddress(owner.to_owned())
            });
            (0..component.copies()).filter_map(move |copy| {
                let instance = Instance { component: component.name.clone(), copy };
                let reason = if self.place(&instance).is_some() { unbound.clone() } else { unplaced.clone() };
                Some(Missing { instance, reason: reason? })
            })
        });
        lacks.collect()
    }

    /// Whether the cluster has all it needs.
    pub fn is_ready(&self) -> bool {
        let has_all =
            |component: &Component| self.is_whole(component) && component.sockets().all(|socket| self.is_bound(socket));
        self.components.len() > 0 && self.components.in_order().all(has_all)
    }

    fn why_not_placed(&self, component: &Component, rooms: &mut Rooms<'_>) -> Reason {
        if let Some(awaited) = self.awaited(component) {
            return Reason::Waits(awaited);
        }
        let extras = &component.extras;
        let with_room = if extras.nodes.is_empty() {
            if self.nodes().is_empty() {
                return Reason::NoNode(Vec::new());
            }
            rooms.first_with(extras.processors)
        } else {
            let named = extras.nodes.iter().flat_map(|name| {
                let given = rooms.given.get(name.as_str()).into_iter().flatten().copied();
                self.nodes.position(name).into_iter().chain(given)
            });
            let mut allowed: Vec<_> = named.collect();
            if allowed.is_empty() {
                return Reason::NoNode(extras.nodes.clone());
            }
            allowed.sort_unstable();
            allowed.into_iter().find(|index| rooms.free[*index] >= extras.processors)
        };
        match with_room.map(|index| &self.nodes()[index]) {
            None => Reason::NoRoom(extras.processors),
            Some(node) if self.has_ports(node, component, &mut rooms.ports) => {
                Reason::NotAsked(node.offer.name.clone())
            }
            Some(node) => Reason::NoPort(node.offer.name.clone()),
        }
    }
}

/// What nodes have left, counted once for all components.
struct Rooms<'a> {
    /// Nodes by the names that they gave.
    given: HashMap<&'a str, Vec<usize>>,
    /// Slots of each node that are free.
    free: Vec<u32>,
    /// The most that a node up to this one has: it never gets less.
    most: Vec<u32>,
    ports: Ports,
}

impl<'a> Rooms<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut given: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, node) in plan.nodes().iter().enumerate() {
            given.entry(node.offer.given_name()).or_default().push(index);
        }
        let free: Vec<u32> = plan.nodes().iter().map(|node| plan.free(node)).collect();
        let most = free.iter().scan(0, |most, free| {
            *most = (*most).max(*free);
            Some(*most)
        });
        Self { given, most: most.collect(), free, ports: Ports::unknown() }
    }

    /// The first node with so many slots free.
    fn first_with(&self, slots: u32) -> Option<usize> {
        let index = self.most.partition_point(|most| *most < slots);
        (index < self.most.len()).then_some(index)
    }
}
