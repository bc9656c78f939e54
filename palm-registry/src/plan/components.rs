//! The components of a plan, found by their names and in the order in which they are placed.

use std::collections::HashMap;

use crate::cluster::{Cluster, Component, start_order};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Components {
    cluster: Cluster,
    by_name: HashMap<String, usize>,
    order: Vec<usize>,
    /// Of each component, how many stand one behind the other before it; of what has no place in the order 0.
    levels: Vec<u32>,
    copies: u64,
}

impl Components {
    pub(super) fn new(cluster: Cluster) -> Self {
        let names = cluster.components.iter().enumerate();
        let by_name = names.map(|(index, component)| (component.name.clone(), index)).collect();
        let order = start_order(&cluster);
        let levels = levels(&cluster, &by_name, &order);
        let mut components = Self { cluster, by_name, order, levels, copies: 0 };
        components.count();
        components
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn get(&self, name: &str) -> Option<&Component> {
        self.cluster.components.get(*self.by_name.get(name)?)
    }

    /// How many components stand before one, each connected to the next; 0 if there is none of this name.
    pub(super) fn level(&self, name: &str) -> u32 {
        self.by_name.get(name).and_then(|index| self.levels.get(*index)).copied().unwrap_or(0)
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

fn levels(cluster: &Cluster, by_name: &HashMap<String, usize>, order: &[usize]) -> Vec<u32> {
    let mut levels = vec![0; cluster.components.len()];
    for &index in order {
        let connected = cluster.components.get(index).map_or(&[][..], |component| &component.connected);
        let before = connected.iter().filter_map(|name| levels.get(*by_name.get(name)?)).max().copied();
        if let (Some(level), Some(before)) = (levels.get_mut(index), before) {
            *level = before + 1;
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_longest_ways() {
        let component = |name: &str, connected: &str| {
            format!("[[component]]\nname = {name:?}\nscript = \"x\"\nconnected = [{connected}]\n")
        };
        let file =
            [component("C", "'B', 'A'"), component("A", ""), component("B", "'A'"), component("D", "'A'")].concat();
        let components = Components::new(Cluster::from_toml(&file).unwrap());
        let levels = ["A", "B", "C", "D", "none"].map(|name| components.level(name));
        assert_eq!(levels, [0, 1, 2, 1, 0]);
    }
}
