//! What nodes have said, kept in memory: what came to this registry at once, what came to others at the same store within a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::nodes::{NodeRow, Nodes};

/// How long what was read may be relied on.
const FRESH: Duration = Duration::from_secs(1);
/// Clusters that are kept which nobody has asked for meanwhile.
const IDLE: Duration = Duration::from_secs(60);

/// The clusters of which anybody has asked what their nodes say.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<HashMap<String, Known>>>);

#[derive(Debug)]
struct Known {
    nodes: Arc<Nodes>,
    /// When each was heard by this registry: what was read before is older.
    noted: BTreeMap<String, Instant>,
    /// When they were read; `None`: not yet, or since then something was thrown away.
    read: Option<Instant>,
    /// When anybody asked last.
    asked: Instant,
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl Known {
    fn new() -> Self {
        Self {
            nodes: Arc::default(),
            noted: BTreeMap::new(),
            read: None,
            asked: Instant::now(),
            reading: Arc::default(),
        }
    }
}

impl Heard {
    /// A node has said something, which the store has.
    pub(super) fn note(&self, cluster: &str, row: Arc<NodeRow>) {
        if let Some(known) = self.lock().get_mut(cluster) {
            known.noted.insert(row.offer.name.clone(), Instant::now());
            Arc::make_mut(&mut known.nodes).insert(row.offer.name.clone(), row);
        }
    }

    /// The nodes of a cluster, if they need not be read.
    pub(super) fn fresh(&self, cluster: &str) -> Option<Arc<Nodes>> {
        let mut clusters = self.lock();
        let known = clusters.get_mut(cluster)?;
        known.asked = Instant::now();
        known.read.is_some_and(|read| read.elapsed() < FRESH).then(|| known.nodes.clone())
    }

    /// They are to be read, by one at a time: what is said from now on is noted.
    pub(super) fn begin(&self, cluster: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut clusters = self.lock();
        clusters.retain(|name, known| name == cluster || known.asked.elapsed() < IDLE);
        clusters.entry(cluster.to_owned()).or_insert_with(Known::new).reading.clone()
    }

    /// They were read, from this moment on.
    pub(super) fn keep(&self, cluster: &str, read: Vec<NodeRow>, begun: Instant) -> Arc<Nodes> {
        let mut clusters = self.lock();
        let known = clusters.entry(cluster.to_owned()).or_insert_with(Known::new);
        known.noted.retain(|_, noted| *noted >= begun);
        let mut nodes: Nodes = read.into_iter().map(|row| (row.offer.name.clone(), Arc::new(row))).collect();
        for name in known.noted.keys() {
            if let Some(row) = known.nodes.get(name) {
                nodes.insert(name.clone(), row.clone());
            }
        }
        known.read = Some(begun);
        known.nodes = Arc::new(nodes);
        known.nodes.clone()
    }

    /// Something that was heard is no more.
    pub(super) fn forget(&self, cluster: &str) {
        self.lock().remove(cluster);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
