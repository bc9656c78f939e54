//! Which ports are taken, counted once for all that asks.

use std::collections::{BTreeMap, HashMap};

use super::node::NodeOffer;
use super::nodes::Nodes;
use super::placing::Socket;

/// All ports there are, a bit each.
const WORDS: usize = (1 << 16) / 64;

/// The ports that somebody has on each Ip, whichever node it is. They are looked for when somebody first asks.
#[derive(Debug, Default)]
pub(super) struct Ports(Option<HashMap<String, Box<[u64; WORDS]>>>);

impl Ports {
    /// Those that the sockets of a plan have, once anybody asks.
    pub(super) fn unknown() -> Self {
        Self::default()
    }

    /// The ports of an Ip.
    fn of(&mut self, ip: &str, nodes: &Nodes, sockets: &BTreeMap<String, Socket>) -> &mut [u64; WORDS] {
        let known = self.0.get_or_insert_with(|| {
            let mut known: HashMap<String, Box<[u64; WORDS]>> = HashMap::new();
            for socket in sockets.values() {
                let Some(node) = socket.node.as_deref().and_then(|name| nodes.node(name)) else { continue };
                let ports = match known.get_mut(&node.offer.ip) {
                    Some(ports) => ports,
                    None => known.entry(node.offer.ip.clone()).or_insert_with(|| Box::new([0; WORDS])),
                };
                ports[usize::from(socket.port / 64)] |= 1 << (socket.port % 64);
            }
            known
        });
        if !known.contains_key(ip) {
            known.insert(ip.to_owned(), Box::new([0; WORDS]));
        }
        known.get_mut(ip).expect("it was put there")
    }

    /// How many ports a node has left.
    pub(super) fn left(&mut self, offer: &NodeOffer, nodes: &Nodes, sockets: &BTreeMap<String, Socket>) -> usize {
        let ports = self.of(&offer.ip, nodes, sockets);
        (0..WORDS).map(|word| (!ports[word] & from(offer, word)).count_ones() as usize).sum()
    }

    /// Takes the first port of a node that nobody has on its Ip.
    pub(super) fn take(&mut self, offer: &NodeOffer, nodes: &Nodes, sockets: &BTreeMap<String, Socket>) -> Option<u16> {
        let ports = self.of(&offer.ip, nodes, sockets);
        let word = (0..WORDS).find(|word| !ports[*word] & from(offer, *word) != 0)?;
        let bit = (!ports[word] & from(offer, word)).trailing_zeros();
        ports[word] |= 1 << bit;
        u16::try_from(word * 64 + bit as usize).ok()
    }
}

/// The ports of a word that a node offers.
fn from(offer: &NodeOffer, word: usize) -> u64 {
    let first = usize::from(offer.ports_from);
    match word {
        word if word > first / 64 => u64::MAX,
        word if word == first / 64 => u64::MAX << (first % 64),
        _ => 0,
    }
}
