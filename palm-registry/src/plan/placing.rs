//! Placing components on nodes, and giving their sockets addresses.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::components::Components;
use super::node::NodeOffer;
use super::nodes::{Instance, Node, Nodes};
use super::wanted::Wanted;
use crate::cluster::{Cluster, Component};

/// A socket that has a component to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// The component that needed it first, and binds it.
    pub owner: String,
    /// The node that it is on; `None`: that node has left, and the owner is not placed again yet.
    pub node: Option<String>,
    /// Its port there.
    pub port: u16,
}

/// What is where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) components: Components,
    pub(super) nodes: Nodes,
    pub(super) sockets: BTreeMap<String, Socket>,
    /// Of the components of which anything is.
    pub(super) wanted: BTreeMap<String, Wanted>,
}

impl Plan {
    /// A cluster of which nothing is placed.
    pub fn new(cluster: Cluster) -> Self {
        Self {
            components: Components::new(cluster),
            nodes: Nodes::default(),
            sockets: BTreeMap::new(),
            wanted: BTreeMap::new(),
        }
    }

    /// A plan as it was stored; what the cluster no longer has is left out.
    pub fn restored(
        cluster: Cluster,
        nodes: Vec<Node>,
        sockets: BTreeMap<String, Socket>,
        wanted: BTreeMap<String, Wanted>,
    ) -> Self {
        let mut plan = Self { components: Components::new(cluster), nodes: nodes.into(), sockets, wanted };
        plan.prune();
        plan
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        self.components.cluster()
    }

    /// A component by its name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.get(name)
    }

    /// The nodes, in the order in which they came.
    pub fn nodes(&self) -> &[Node] {
        self.nodes.list()
    }

    /// The sockets, by their names.
    pub fn sockets(&self) -> &BTreeMap<String, Socket> {
        &self.sockets
    }

    /// A socket's address, if it has one.
    pub fn address(&self, socket: &str) -> Option<String> {
        let socket = self.sockets.get(socket)?;
        let node = self.nodes.node(socket.node.as_deref()?)?;
        Some(format!("tcp://{}:{}", bracketed(&node.offer.ip), socket.port))
    }

    /// The node that an instance is on.
    pub fn place(&self, instance: &Instance) -> Option<&Node> {
        self.nodes.place(&instance.component, instance.copy)
    }

    /// A node asks what it is to run. One that is known has what it had before, as long as it offers as much; a new one, or one
    /// that has room, is given what waits for a place.
    pub fn offer(&mut self, offer: NodeOffer) {
        let before = self.nodes.node(&offer.name).map(|node| node.offer.clone());
        let index = self.nodes.add(offer);
        if let Some(before) = before {
            self.follow_offer(index, &before);
        }
        self.fill(index);
    }

    /// Whether nothing would be another if this node asked.
    pub fn is_settled(&self, offer: &NodeOffer) -> bool {
        let Some(node) = self.nodes.node(&offer.name).filter(|node| node.offer == *offer) else { return false };
        let free = self.free(node);
        // Most often all is placed, or the node full, and nobody has to look further.
        self.nodes.placed_in_all() >= self.components.copies_in_all()
            || free == 0
            || !self.components.in_order().any(|component| {
                component.extras.processors <= free
                    && self.may_have(node, component)
                    && self.new_sockets(node, component).is_some()
            })
    }

    /// A node has left: what it ran waits for a place again, its sockets have no addresses until then. Whether it was there.
    pub fn remove_node(&mut self, name: &str) -> bool {
        let was_there = self.nodes.remove(name);
        if was_there {
            self.void_sockets_of(name);
        }
        was_there
    }

    /// The cluster's file is another: what it still has stays where it is, and has as many copies as the file says.
    pub fn replace(&mut self, cluster: Cluster) {
        self.components = Components::new(cluster);
        for wanted in self.wanted.values_mut() {
            wanted.replicas = None;
        }
        self.wanted.retain(|_, wanted| *wanted != Wanted::default());
        self.prune();
    }

    /// Nothing is placed any more, and no node is known.
    pub fn reset(&mut self) {
        self.nodes.clear();
        self.sockets.clear();
    }

    /// All that is to run, in the order in which it is placed.
    pub(super) fn instances(&self) -> impl Iterator<Item = (&Component, Instance)> {
        self.components.in_order().flat_map(|component| {
            (0..component.copies()).map(move |copy| (component, Instance { component: component.name.clone(), copy }))
        })
    }

    /// Whether all copies of a component have places.
    pub(super) fn is_whole(&self, component: &Component) -> bool {
        self.nodes.placed(&component.name) >= component.copies() as usize
    }

    /// The first component that something is connected to of which not all is placed.
    pub(super) fn awaited(&self, component: &Component) -> Option<String> {
        let is_whole = |name: &&String| self.components.get(name).is_some_and(|connected| self.is_whole(connected));
        component.connected.iter().find(|name| !is_whole(name)).cloned()
    }

    /// Slots of a node that are free.
    pub(super) fn free(&self, node: &Node) -> u32 {
        node.offer.processors.saturating_sub(self.taken(&node.instances))
    }

    fn taken(&self, instances: &[Instance]) -> u32 {
        let slots = |instance: &Instance| {
            self.components.get(&instance.component).map_or(0, |component| component.extras.processors)
        };
        instances.iter().map(slots).fold(0, u32::saturating_add)
    }

    /// Whether copies of a component wait for a place that may be on a node.
    fn may_have(&self, node: &Node, component: &Component) -> bool {
        let nodes = &component.extras.nodes;
        let is_allowed = nodes.is_empty() || nodes.contains(&node.offer.name);
        is_allowed && !self.is_whole(component) && self.awaited(component).is_none()
    }

    /// Places what waits and can be on a node.
    fn fill(&mut self, index: usize) {
        for position in 0..self.components.len() {
            let Some(component) = self.components.nth(position) else { continue };
            if !self.may_have(&self.nodes.list()[index], component) {
                continue;
            }
            let component = component.clone();
            let waiting = (0..component.copies()).filter(|&copy| self.nodes.place(&component.name, copy).is_none());
            for copy in waiting.collect::<Vec<_>>() {
                let fits = component.extras.processors <= self.free(&self.nodes.list()[index]);
                if !fits || !self.bind_sockets(index, &component) {
                    break;
                }
                self.nodes.put(index, Instance { component: component.name.clone(), copy });
            }
        }
    }

    /// Gives the sockets that a component is the first to need addresses on its node. `false`: there are not enough ports.
    fn bind_sockets(&mut self, index: usize, component: &Component) -> bool {
        let bound = self.new_sockets(&self.nodes.list()[index], component);
        bound.map(|bound| self.sockets.extend(bound)).is_some()
    }

    /// The sockets that come to be if a component is put on a node; `None`: there are not enough ports there.
    pub(super) fn new_sockets(&self, node: &Node, component: &Component) -> Option<BTreeMap<String, Socket>> {
        let mut bound = BTreeMap::new();
        // One without an address comes back with the component that owns it.
        let is_new = |socket: &&str| {
            self.sockets.get(*socket).is_none_or(|known| known.node.is_none() && known.owner == component.name)
        };
        let mut sockets = component.sockets().filter(is_new).peekable();
        // Most often there are none, and then nobody has to look for ports.
        let mut taken = if sockets.peek().is_some() { self.ports_taken(&node.offer) } else { BTreeSet::new() };
        for socket in sockets {
            if bound.contains_key(socket) {
                continue;
            }
            let port = free_port(&node.offer, &taken)?;
            taken.insert(port);
            let owner = component.name.clone();
            bound.insert(socket.to_owned(), Socket { owner, node: Some(node.offer.name.clone()), port });
        }
        Some(bound)
    }

    /// The ports that somebody has on a node's Ip, whichever node it is.
    fn ports_taken(&self, offer: &NodeOffer) -> BTreeSet<u16> {
        let here = |socket: &&Socket| {
            let node = socket.node.as_deref().and_then(|name| self.nodes.node(name));
            node.is_some_and(|node| node.offer.ip == offer.ip)
        };
        self.sockets.values().filter(here).map(|socket| socket.port).collect()
    }

    /// A node that is known may offer something else than before.
    fn follow_offer(&mut self, index: usize, before: &NodeOffer) {
        let offer = &self.nodes.list()[index].offer;
        if offer == before {
            return;
        }
        if offer.ip != before.ip {
            // Its ports may be taken there.
            self.void_sockets_of(&before.name);
        }
        self.evict(index);
        self.rehome_sockets();
    }

    /// Takes off what is more than a node has slots for.
    fn evict(&mut self, index: usize) {
        while self.taken(&self.nodes.list()[index].instances) > self.nodes.list()[index].offer.processors {
            self.nodes.pop(index);
        }
    }

    /// The node's sockets have to have other addresses.
    fn void_sockets_of(&mut self, node: &str) {
        for socket in self.sockets.values_mut().filter(|socket| socket.node.as_deref() == Some(node)) {
            socket.node = None;
        }
        self.rehome_sockets();
    }

    /// A socket is where a copy of its owner is. One whose owner has none where it was has no address, or one where another copy is.
    fn rehome_sockets(&mut self) {
        let names: Vec<String> = self.sockets.keys().cloned().collect();
        for name in names {
            let Some(socket) = self.sockets.get(&name) else { continue };
            let has_owner = |node: &Node| node.instances.iter().any(|instance| instance.component == socket.owner);
            if socket.node.as_deref().and_then(|node| self.nodes.node(node)).is_some_and(has_owner) {
                continue;
            }
            let home = self.nodes.first_with(&socket.owner).map(|node| node.offer.clone());
            let port = home.as_ref().and_then(|offer| free_port(offer, &self.ports_taken(offer)));
            if let Some(socket) = self.sockets.get_mut(&name) {
                socket.node = port.and(home).map(|offer| offer.name);
                socket.port = port.unwrap_or(0);
            }
        }
    }

    /// Leaves out what the cluster does not have.
    pub(super) fn prune(&mut self) {
        self.apply_wanted();
        let components = &self.components;
        let has = |instance: &Instance| {
            components.get(&instance.component).is_some_and(|component| instance.copy < component.copies())
        };
        self.nodes.retain(has);
        self.sockets.retain(|name, socket| {
            components.get(&socket.owner).is_some_and(|owner| owner.sockets().any(|needed| needed == name))
        });
        for index in 0..self.nodes.list().len() {
            self.evict(index);
        }
        self.rehome_sockets();
        self.bind_new_sockets();
    }

    /// What is placed may need sockets that it did not need before.
    fn bind_new_sockets(&mut self) {
        for index in 0..self.nodes.list().len() {
            for instance in self.nodes.list()[index].instances.clone() {
                if let Some(component) = self.components.get(&instance.component).cloned() {
                    self.bind_sockets(index, &component);
                }
            }
        }
    }
}

/// The first port of a node that is not taken.
fn free_port(offer: &NodeOffer, taken: &BTreeSet<u16>) -> Option<u16> {
    (offer.ports_from..=u16::MAX).find(|port| !taken.contains(port))
}

/// An IPv6 address as it stands in an address with a port.
fn bracketed(ip: &str) -> String {
    if ip.contains(':') && !ip.starts_with('[') { format!("[{ip}]") } else { ip.to_owned() }
}
