//! The components of a plan, found by their names and in the order in which they are placed.

use std::collections::HashMap;

use crate::cluster::{Cluster, Component, start_order};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Components {
    cluster: Cluster,
    by_name: HashMap<String, usize>,
    order: Vec<usize>,
    copies: u64,
}

impl Components {
    pub(super) fn new(cluster: Cluster) -> Self {
        let names = cluster.components.iter().enumerate();
        let by_name = names.map(|(index, component)| (component.name.clone(), index)).collect();
        let order = start_order(&cluster);
        let mut components = Self { cluster, by_name, order, copies: 0 };
        components.count();
        components
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn get(&self, name: &str) -> Option<&Component> {
        self.cluster.components.get(*self.by_name.get(name)?)
    }

    /// Components have so many copies beside the first.
    pub(super) fn set_replicas<'a>(&mut self, replicas: impl Iterator<Item = (&'a String, u32)>) {
        for (name, replicas) in replicas {
            if let Some(component) = self.by_name.get(name).and_then(|index| self.cluster.components.get_mut(*index)) {
                component.replicas = replicas;
            }
        }
        self.count();
    }

    /// Copies of all components that are placed.
    pub(super) fn copies_in_all(&self) -> u64 {
        self.copies
    }

    fn count(&mut self) {
        self.copies = self.in_order().map(|component| u64::from(component.copies())).sum();
    }

    /// How many are placed, in their order.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The one that is placed at this point, from 0.
    pub(super) fn nth(&self, position: usize) -> Option<&Component> {
        self.cluster.components.get(*self.order.get(position)?)
    }

    /// Each after all that it is connected to.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Component> {
        (0..self.order.len()).filter_map(|position| self.nth(position))
    }
}
