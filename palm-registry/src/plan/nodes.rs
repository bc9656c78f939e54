//! The nodes of a plan, and where each instance is among them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::NodeOffer;

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

/// Nodes in the order in which they came; found by their names, and by what is on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nodes {
    list: Vec<Node>,
    by_name: HashMap<String, usize>,
    /// The node of each copy of a component.
    places: HashMap<String, BTreeMap<u32, usize>>,
    placed: u64,
}

impl From<Vec<Node>> for Nodes {
    fn from(list: Vec<Node>) -> Self {
        let mut nodes = Self { list, ..Self::default() };
        nodes.index();
        nodes
    }
}

impl Nodes {
    pub(super) fn list(&self) -> &[Node] {
        &self.list
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.list.get(self.position(name)?)
    }

    /// The node that a copy of a component is on.
    pub(super) fn place(&self, component: &str, copy: u32) -> Option<&Node> {
        self.list.get(*self.places.get(component)?.get(&copy)?)
    }

    /// How many copies of a component have a place.
    pub(super) fn placed(&self, component: &str) -> usize {
        self.places.get(component).map_or(0, BTreeMap::len)
    }

    /// How many instances have a place.
    pub(super) fn placed_in_all(&self) -> u64 {
        self.placed
    }

    /// The nodes that have copies of each component.
    pub(super) fn homes(&self) -> HashMap<&str, BTreeSet<usize>> {
        let places = self.places.iter();
        places.map(|(component, copies)| (component.as_str(), copies.values().copied().collect())).collect()
    }

    /// The place of a node among them, which is new if none has its name.
    pub(super) fn add(&mut self, offer: NodeOffer) -> usize {
        if let Some(index) = self.position(&offer.name) {
            self.list[index].offer = offer;
            return index;
        }
        self.by_name.insert(offer.name.clone(), self.list.len());
        self.list.push(Node { offer, instances: Vec::new() });
        self.list.len() - 1
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let index = self.position(name);
        if let Some(index) = index {
            self.list.remove(index);
            self.index();
        }
        index.is_some()
    }

    /// Puts an instance that has no place on a node.
    pub(super) fn put(&mut self, index: usize, instance: Instance) {
        self.places.entry(instance.component.clone()).or_default().insert(instance.copy, index);
        self.list[index].instances.push(instance);
        self.placed += 1;
    }

    /// Takes the instance off a node that was put there last.
    pub(super) fn pop(&mut self, index: usize) -> Option<Instance> {
        let instance = self.list[index].instances.pop()?;
        self.placed -= 1;
        if let Entry::Occupied(mut copies) = self.places.entry(instance.component.clone()) {
            copies.get_mut().remove(&instance.copy);
            if copies.get().is_empty() {
                copies.remove();
            }
        }
        Some(instance)
    }

    /// Takes off what is not to be kept.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Instance) -> bool) {
        for node in &mut self.list {
            node.instances.retain(&is_kept);
        }
        self.index();
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn index(&mut self) {
        self.by_name = self.list.iter().enumerate().map(|(index, node)| (node.offer.name.clone(), index)).collect();
        self.placed = self.list.iter().map(|node| node.instances.len() as u64).sum();
        self.places.clear();
        for (index, node) in self.list.iter().enumerate() {
            for Instance { component, copy } in &node.instances {
                self.places.entry(component.clone()).or_default().insert(*copy, index);
            }
        }
    }
}
