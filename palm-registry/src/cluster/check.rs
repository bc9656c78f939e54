//! Whether the components of a cluster can be started one after the other, and reported by their names.

use super::Cluster;
use crate::wire::NAME_MAX;

/// What is wrong with a component's name: no runner could say it to the registry.
pub(super) fn wrong_name(name: &str) -> Option<String> {
    if name.len() > NAME_MAX {
        return Some(format!("expected a name of at most {NAME_MAX} bytes, found {}", name.len()));
    }
    let is_sayable = !name.chars().any(char::is_control);
    if is_sayable { None } else { Some("expected a name without control characters".to_owned()) }
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
    let mut order = Vec::new();
    let mut states = vec![State::New; cluster.components.len()];
    for index in 0..cluster.components.len() {
        let _ = visit(cluster, index, &mut states, &mut order, &mut Vec::new());
    }
    order
}

pub(super) fn check(cluster: &Cluster) -> Result<(), Disorder> {
    let mut states = vec![State::New; cluster.components.len()];
    for index in 0..cluster.components.len() {
        visit(cluster, index, &mut states, &mut Vec::new(), &mut Vec::new())?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    OnTheWay,
    Done,
}

fn visit(
    cluster: &Cluster,
    index: usize,
    states: &mut [State],
    order: &mut Vec<usize>,
    way: &mut Vec<usize>,
) -> Result<(), Disorder> {
    match states[index] {
        State::Done => return Ok(()),
        State::OnTheWay => {
            let begin = way.iter().position(|&earlier| earlier == index).unwrap_or(0);
            let mut cycle = way.split_off(begin);
            cycle.push(index);
            return Err(Disorder::Cycle(cycle));
        }
        State::New => states[index] = State::OnTheWay,
    }
    way.push(index);
    for connected in &cluster.components[index].connected {
        let found = cluster.components.iter().position(|component| component.name == *connected);
        let Some(found) = found else {
            return Err(Disorder::Unknown { component: index, connected: connected.clone() });
        };
        visit(cluster, found, states, order, way)?;
    }
    way.pop();
    states[index] = State::Done;
    order.push(index);
    Ok(())
}
