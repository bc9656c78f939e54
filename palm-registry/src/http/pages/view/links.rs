//! Which component binds which socket, and who is connected with whom.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Bound, Link};
use crate::api::status::Status;
use crate::cluster::{Cluster, start_order};

/// The sockets that each component binds.
pub(super) fn bound(binds: &BTreeMap<&str, usize>, status: &Status) -> HashMap<usize, Vec<Bound>> {
    let addresses = status.sockets.iter().map(|socket| (socket.name.as_str(), socket.address.as_deref()));
    let addresses: HashMap<_, _> = addresses.collect();
    let mut bound: HashMap<usize, Vec<Bound>> = HashMap::new();
    for (name, owner) in binds {
        let address = addresses.get(name).copied().flatten().unwrap_or_default().to_owned();
        bound.entry(*owner).or_default().push(Bound { name: (*name).to_owned(), address });
    }
    bound
}

/// Who is connected with whom, and which component binds which socket.
pub(super) fn links<'a>(cluster: &'a Cluster, status: &'a Status) -> (Vec<Link>, BTreeMap<&'a str, usize>) {
    let index: HashMap<&str, usize> =
        cluster.components.iter().enumerate().map(|(index, component)| (component.name.as_str(), index)).collect();
    let mut binds: BTreeMap<&str, usize> = BTreeMap::new();
    for socket in &status.sockets {
        if let Some(owner) = index.get(socket.owner.as_str()) {
            binds.insert(&socket.name, *owner);
        }
    }
    // What is not bound yet will be by the first that is placed.
    for first in start_order(cluster) {
        for socket in cluster.components[first].sockets() {
            binds.entry(socket).or_insert(first);
        }
    }
    let mut pairs: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for (to, component) in cluster.components.iter().enumerate() {
        let mut seen = HashSet::new();
        for socket in component.sockets().filter(|socket| seen.insert(*socket)) {
            let from = binds.get(socket).copied().unwrap_or(to);
            let names = pairs.entry((from, to)).or_default();
            if from != to {
                names.push(socket.to_owned());
            }
        }
        for from in component.connected.iter().filter_map(|name| index.get(name.as_str())) {
            pairs.entry((*from, to)).or_default();
        }
    }
    pairs.retain(|(from, to), _| from != to);
    (pairs.into_iter().map(|((from, to), sockets)| Link { from, to, sockets }).collect(), binds)
}
