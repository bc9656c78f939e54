//! Placing components on nodes, and giving their sockets addresses.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::components::Components;
use super::node::NodeOffer;
use super::nodes::{Instance, Node, Nodes};
use super::ports::Ports;
use super::wanted::Wanted;
use crate::cluster::{Cluster, Component};

/// Nodes that a cluster may have.
pub const NODES_MAX: usize = 10_000;

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

    /// Whether this node is known, or there may be one more.
    pub fn has_room_for(&self, node: &str) -> bool {
        self.nodes.list().len() < NODES_MAX || self.nodes.node(node).is_some()
    }

    /// The same offer of a node that is known by its name and its Ip, as nodes are over Python's interface: under its name, or, if a node at
    /// another Ip has that, under both.
    #[must_use]
    pub fn told_apart(&self, offer: NodeOffer) -> NodeOffer {
        let is_elsewhere = |node: &Node| node.offer.ip != offer.ip;
        let is_taken = self.nodes.node(&offer.name).is_some_and(is_elsewhere);
        self.called(offer, is_taken)
    }

    /// The same offer under its name, or under its name and its Ip: if it came so before, or if its name `is_taken` by a node at another Ip.
    #[must_use]
    pub fn called(&self, offer: NodeOffer, is_taken: bool) -> NodeOffer {
        let both = NodeOffer::with_ip(&offer.name, &offer.ip);
        if is_taken || self.nodes.node(&both).is_some() { NodeOffer { name: both, ..offer } } else { offer }
    }

    /// A component by its name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.get(name)
    }

    /// How many components stand before one, each connected to the next.
    pub fn level(&self, name: &str) -> u32 {
        self.components.level(name)
    }

    /// A node by its name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.node(name)
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

    /// Whether a socket has an address.
    pub(super) fn is_bound(&self, socket: &str) -> bool {
        let node = self.sockets.get(socket).and_then(|socket| socket.node.as_deref());
        node.is_some_and(|node| self.nodes.node(node).is_some())
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
        // Most often all is placed, or the node full, and nobody has to look further.
        if self.nodes.placed_in_all() >= self.components.copies_in_all() {
            return true;
        }
        let (free, mut ports) = (self.free(node), Ports::unknown());
        free == 0
            || !self.components.in_order().any(|component| {
                component.extras.processors <= free
                    && self.may_have(node, component)
                    && self.has_ports(node, component, &mut ports)
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
        u32::try_from(u64::from(node.offer.processors).saturating_sub(self.taken(&node.instances))).unwrap_or(0)
    }

    fn taken(&self, instances: &[Instance]) -> u64 {
        instances.iter().map(|instance| self.slots(instance)).sum()
    }

    fn slots(&self, instance: &Instance) -> u64 {
        self.components.get(&instance.component).map_or(0, |component| u64::from(component.extras.processors))
    }

    /// Whether copies of a component wait for a place that may be on a node.
    fn may_have(&self, node: &Node, component: &Component) -> bool {
        let nodes = &component.extras.nodes;
        let is_allowed = nodes.is_empty() || nodes.iter().any(|name| node.offer.is_called(name));
        is_allowed && !self.is_whole(component) && self.awaited(component).is_none()
    }

    /// Places what waits and can be on a node.
    fn fill(&mut self, index: usize) {
        let (mut free, mut ports) = (self.free(&self.nodes.list()[index]), Ports::unknown());
        for position in 0..self.components.len() {
            let Some(component) = self.components.nth(position) else { continue };
            let slots = component.extras.processors;
            if slots > free || !self.may_have(&self.nodes.list()[index], component) {
                continue;
            }
            if !bind_sockets(component, index, &self.nodes, &mut self.sockets, &mut ports) {
                continue;
            }
            for copy in 0..component.copies() {
                if slots > free {
                    break;
                }
                if self.nodes.place(&component.name, copy).is_none() {
                    self.nodes.put(index, Instance { component: component.name.clone(), copy });
                    free -= slots;
                }
            }
        }
    }

    /// Whether a node has ports for the sockets that come to be if a component is put there.
    pub(super) fn has_ports(&self, node: &Node, component: &Component, ports: &mut Ports) -> bool {
        let new = new_sockets(component, &self.sockets);
        // Most often there are none, and then nobody has to look for ports.
        new.is_empty() || new.len() <= ports.left(&node.offer, &self.nodes, &self.sockets)
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
        let node = &self.nodes.list()[index];
        let (mut taken, most) = (self.taken(&node.instances), u64::from(node.offer.processors));
        while taken > most {
            let Some(instance) = self.nodes.pop(index) else { return };
            taken -= self.slots(&instance);
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
        let homes = self.nodes.homes();
        let is_home = |socket: &Socket| {
            let node = socket.node.as_deref().and_then(|node| self.nodes.position(node));
            node.is_some_and(|node| homes.get(socket.owner.as_str()).is_some_and(|nodes| nodes.contains(&node)))
        };
        let strays = self.sockets.iter().filter(|(_, socket)| !is_home(socket));
        let home = |socket: &Socket| homes.get(socket.owner.as_str())?.first().copied();
        let strays: Vec<_> = strays.map(|(name, socket)| (name.clone(), home(socket))).collect();
        // What one has had until now may still be held there: it is no other's yet.
        let mut ports = Ports::unknown();
        for (name, home) in strays {
            let offer = home.map(|index| &self.nodes.list()[index].offer);
            let port = offer.and_then(|offer| ports.take(offer, &self.nodes, &self.sockets));
            if let Some(socket) = self.sockets.get_mut(&name) {
                socket.node = port.and(offer).map(|offer| offer.name.clone());
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
        // Those of an owner are looked up once.
        let mut needed: HashMap<&str, HashSet<&str>> = HashMap::new();
        for socket in self.sockets.values() {
            if let Some(owner) = components.get(&socket.owner) {
                needed.entry(&owner.name).or_insert_with(|| owner.sockets().collect());
            }
        }
        self.sockets.retain(|name, socket| {
            needed.get(socket.owner.as_str()).is_some_and(|sockets| sockets.contains(name.as_str()))
        });
        for index in 0..self.nodes.list().len() {
            self.evict(index);
        }
        self.rehome_sockets();
        self.bind_new_sockets();
    }

    /// What is placed may need sockets that it did not need before.
    fn bind_new_sockets(&mut self) {
        let mut ports = Ports::unknown();
        for (index, node) in self.nodes.list().iter().enumerate() {
            let mut seen = HashSet::new();
            let names = node.instances.iter().map(|instance| instance.component.as_str());
            for component in names.filter(|name| seen.insert(*name)).filter_map(|name| self.components.get(name)) {
                bind_sockets(component, index, &self.nodes, &mut self.sockets, &mut ports);
            }
        }
    }
}

/// The sockets that a component would be the first to have addresses for.
fn new_sockets<'a>(component: &'a Component, sockets: &BTreeMap<String, Socket>) -> BTreeSet<&'a str> {
    // One without an address comes back with the component that owns it.
    let is_new =
        |socket: &&str| sockets.get(*socket).is_none_or(|known| known.node.is_none() && known.owner == component.name);
    component.sockets().filter(is_new).collect()
}

/// Gives the sockets that a component is the first to need addresses on a node, in their order. `false`: there are not enough ports.
fn bind_sockets(
    component: &Component,
    index: usize,
    nodes: &Nodes,
    sockets: &mut BTreeMap<String, Socket>,
    ports: &mut Ports,
) -> bool {
    let (mut new, offer) = (new_sockets(component, sockets), &nodes.list()[index].offer);
    if new.is_empty() {
        return true;
    }
    if new.len() > ports.left(offer, nodes, sockets) {
        return false;
    }
    for socket in component.sockets() {
        if !new.remove(socket) {
            continue;
        }
        let Some(port) = ports.take(offer, nodes, sockets) else { return false };
        let (owner, node) = (component.name.clone(), Some(offer.name.clone()));
        sockets.insert(socket.to_owned(), Socket { owner, node, port });
    }
    true
}

/// An IPv6 address as it stands in an address with a port.
fn bracketed(ip: &str) -> String {
    if ip.contains(':') && !ip.starts_with('[') { format!("[{ip}]") } else { ip.to_owned() }
}
