//! Placing components on nodes, and giving their sockets addresses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::node::NodeOffer;
use super::wanted::Wanted;
use crate::cluster::{Cluster, Component, start_order};

/// One of a component's processes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance {
    /// The component's name.
    pub component: String,
    /// Which of its copies, from 0.
    pub copy: u32,
}

/// A node, and what it is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it offers.
    pub offer: NodeOffer,
    /// What is placed on it, in the order in which it is started.
    pub instances: Vec<Instance>,
}

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
    pub(super) cluster: Cluster,
    /// In the order in which they came.
    pub(super) nodes: Vec<Node>,
    pub(super) sockets: BTreeMap<String, Socket>,
    /// Of the components of which anything is.
    pub(super) wanted: BTreeMap<String, Wanted>,
}

impl Plan {
    /// A cluster of which nothing is placed.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, nodes: Vec::new(), sockets: BTreeMap::new(), wanted: BTreeMap::new() }
    }

    /// A plan as it was stored; what the cluster no longer has is left out.
    pub fn restored(
        cluster: Cluster,
        nodes: Vec<Node>,
        sockets: BTreeMap<String, Socket>,
        wanted: BTreeMap<String, Wanted>,
    ) -> Self {
        let mut plan = Self { cluster, nodes, sockets, wanted };
        plan.prune();
        plan
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The nodes, in the order in which they came.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The sockets, by their names.
    pub fn sockets(&self) -> &BTreeMap<String, Socket> {
        &self.sockets
    }

    /// A socket's address, if it has one.
    pub fn address(&self, socket: &str) -> Option<String> {
        let socket = self.sockets.get(socket)?;
        let node = self.node(socket.node.as_deref()?)?;
        Some(format!("tcp://{}:{}", bracketed(&node.offer.ip), socket.port))
    }

    /// The node that an instance is on.
    pub fn place(&self, instance: &Instance) -> Option<&Node> {
        self.nodes.iter().find(|node| node.instances.contains(instance))
    }

    /// A node asks what it is to run. One that is known has what it had before, as long as it offers as much; a new one, or one
    /// that has room, is given what waits for a place.
    pub fn offer(&mut self, offer: NodeOffer) {
        let known = self.nodes.iter().position(|node| node.offer.name == offer.name);
        let index = match known {
            Some(index) => {
                self.change_offer(index, offer);
                index
            }
            None => {
                self.nodes.push(Node { offer, instances: Vec::new() });
                self.nodes.len() - 1
            }
        };
        self.fill(index);
    }

    /// A node has left: what it ran waits for a place again, its sockets have no addresses until then. Whether it was there.
    pub fn remove_node(&mut self, name: &str) -> bool {
        let Some(index) = self.nodes.iter().position(|node| node.offer.name == name) else { return false };
        self.nodes.remove(index);
        self.void_sockets_of(name);
        true
    }

    /// The cluster's file is another: what it still has stays where it is, and has as many copies as the file says.
    pub fn replace(&mut self, cluster: Cluster) {
        self.cluster = cluster;
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

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.offer.name == name)
    }

    /// All that is to run, in the order in which it is placed.
    pub(super) fn instances(&self) -> impl Iterator<Item = (&Component, Instance)> {
        start_order(&self.cluster).into_iter().flat_map(|index| {
            let component = &self.cluster.components[index];
            (0..component.copies()).map(move |copy| (component, Instance { component: component.name.clone(), copy }))
        })
    }

    /// The first component that something is connected to of which not all is placed.
    pub(super) fn awaited(&self, component: &Component) -> Option<String> {
        let is_whole = |name: &String| {
            self.cluster.component(name).is_some_and(|connected| {
                (0..connected.copies()).all(|copy| self.place(&Instance { component: name.clone(), copy }).is_some())
            })
        };
        component.connected.iter().find(|name| !is_whole(name)).cloned()
    }

    /// Slots of a node that are free.
    pub(super) fn free(&self, node: &Node) -> u32 {
        node.offer.processors.saturating_sub(self.taken(&node.instances))
    }

    fn taken(&self, instances: &[Instance]) -> u32 {
        let slots = |instance: &Instance| {
            self.cluster.component(&instance.component).map_or(0, |component| component.extras.processors)
        };
        instances.iter().map(slots).fold(0, u32::saturating_add)
    }

    /// Places what waits and can be on a node.
    fn fill(&mut self, index: usize) {
        let waiting: Vec<_> = self.instances().map(|(component, instance)| (component.clone(), instance)).collect();
        for (component, instance) in waiting {
            let node = &self.nodes[index];
            let allowed = component.extras.nodes.is_empty() || component.extras.nodes.contains(&node.offer.name);
            let fits = component.extras.processors <= self.free(node);
            if !allowed || !fits || self.place(&instance).is_some() || self.awaited(&component).is_some() {
                continue;
            }
            if self.bind_sockets(index, &component) {
                self.nodes[index].instances.push(instance);
            }
        }
    }

    /// Gives the sockets that a component is the first to need addresses on its node. `false`: there are not enough ports.
    fn bind_sockets(&mut self, index: usize, component: &Component) -> bool {
        let bound = self.with_sockets(&self.nodes[index], component);
        bound.map(|bound| self.sockets = bound).is_some()
    }

    /// The sockets, if a component is put on a node; `None`: there are not enough ports there.
    pub(super) fn with_sockets(&self, node: &Node, component: &Component) -> Option<BTreeMap<String, Socket>> {
        let mut bound = self.sockets.clone();
        for socket in component.sockets() {
            // One without an address comes back with the component that owns it.
            if bound.get(socket).is_some_and(|known| known.node.is_some() || known.owner != component.name) {
                continue;
            }
            let port = self.free_port(&node.offer, &bound)?;
            let owner = component.name.clone();
            bound.insert(socket.to_owned(), Socket { owner, node: Some(node.offer.name.clone()), port });
        }
        Some(bound)
    }

    /// The first port of a node that nobody has on its Ip, whichever node it is.
    fn free_port(&self, offer: &NodeOffer, bound: &BTreeMap<String, Socket>) -> Option<u16> {
        let here = |socket: &&Socket| {
            let node = socket.node.as_deref().and_then(|name| self.node(name));
            node.is_some_and(|node| node.offer.ip == offer.ip)
        };
        let taken: std::collections::BTreeSet<u16> = bound.values().filter(here).map(|socket| socket.port).collect();
        (offer.ports_from..=u16::MAX).find(|port| !taken.contains(port))
    }

    /// A node that is known offers something else.
    fn change_offer(&mut self, index: usize, offer: NodeOffer) {
        let moved = self.nodes[index].offer.ip != offer.ip;
        let name = offer.name.clone();
        self.nodes[index].offer = offer;
        if moved {
            // Its ports may be taken there.
            self.void_sockets_of(&name);
        }
        while self.taken(&self.nodes[index].instances) > self.nodes[index].offer.processors {
            self.nodes[index].instances.pop();
        }
        self.rehome_sockets();
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
            if socket.node.as_deref().and_then(|node| self.node(node)).is_some_and(has_owner) {
                continue;
            }
            let home = self.nodes.iter().find(|node| has_owner(node)).map(|node| node.offer.clone());
            let port = home.as_ref().and_then(|offer| self.free_port(offer, &self.sockets));
            if let Some(socket) = self.sockets.get_mut(&name) {
                socket.node = port.and(home).map(|offer| offer.name);
                socket.port = port.unwrap_or(0);
            }
        }
    }

    /// Leaves out what the cluster does not have.
    pub(super) fn prune(&mut self) {
        self.apply_wanted();
        let cluster = &self.cluster;
        let has = |instance: &Instance| {
            cluster.component(&instance.component).is_some_and(|component| instance.copy < component.copies())
        };
        for node in &mut self.nodes {
            node.instances.retain(has);
        }
        self.sockets.retain(|name, socket| {
            cluster.component(&socket.owner).is_some_and(|owner| owner.sockets().any(|needed| needed == name))
        });
        for index in 0..self.nodes.len() {
            while self.taken(&self.nodes[index].instances) > self.nodes[index].offer.processors {
                self.nodes[index].instances.pop();
            }
        }
        self.rehome_sockets();
        self.bind_new_sockets();
    }

    /// What is placed may need sockets that it did not need before.
    fn bind_new_sockets(&mut self) {
        for index in 0..self.nodes.len() {
            for instance in self.nodes[index].instances.clone() {
                if let Some(component) = self.cluster.component(&instance.component).cloned() {
                    self.bind_sockets(index, &component);
                }
            }
        }
    }
}

/// An IPv6 address as it stands in an address with a port.
fn bracketed(ip: &str) -> String {
    if ip.contains(':') && !ip.starts_with('[') { format!("[{ip}]") } else { ip.to_owned() }
}
