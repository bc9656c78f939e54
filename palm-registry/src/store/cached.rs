//! Clusters as they were read last, so that a file and a plan are not read again while they are the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ClusterRow;

/// Clusters that are kept.
const MOST: usize = 1000;
/// What they have in all, in bytes, about.
const BYTES_MAX: usize = 256 << 20;
/// What a process and its place take, in bytes, about.
const PROCESS: usize = 160;

/// Clusters by their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Cached(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    rows: HashMap<String, ClusterRow>,
    bytes: usize,
}

impl Known {
    fn remove(&mut self, key: &str) {
        if let Some(row) = self.rows.remove(key) {
            self.bytes -= bytes(&row);
        }
    }
}

/// What a cluster takes: its file, the same as components, and its places.
fn bytes(row: &ClusterRow) -> usize {
    let placed: usize = row.plan.nodes().iter().map(|node| node.instances.len() + 1).sum();
    row.description.len() * 4 + placed * PROCESS
}

impl Cached {
    /// A cluster, if it is known as it is at this revision. With the same key and another id it is another, made after that was deleted.
    pub(super) fn cluster(&self, key: &str, id: &str, revision: i64) -> Option<ClusterRow> {
        self.lock().rows.get(key).filter(|row| row.id == id && row.revision == revision).cloned()
    }

    /// A cluster is so.
    pub(super) fn keep(&self, row: &ClusterRow) {
        self.keep_within(row, BYTES_MAX);
    }

    fn keep_within(&self, row: &ClusterRow, most: usize) {
        let mut known = self.lock();
        known.remove(&row.key);
        let size = bytes(row);
        if size > most {
            return;
        }
        while !known.rows.is_empty() && (known.rows.len() >= MOST || known.bytes + size > most) {
            // Whichever comes: those that are asked for are read again at once.
            let Some(key) = known.rows.keys().next().cloned() else { break };
            known.remove(&key);
        }
        known.bytes += size;
        known.rows.insert(row.key.clone(), row.clone());
    }

    /// A cluster is no more.
    pub(super) fn forget(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::store::User;

    #[test]
    fn no_more_is_kept_than_has_room() {
        let user = User { id: 1, name: "ann".to_owned(), is_admin: false };
        let row = |key: &str, length: usize| {
            let text = format!("[A]\nScript = {}\n", "a".repeat(length));
            ClusterRow::new(key.to_owned(), &user, None, text.clone(), Cluster::from_ini(&text).unwrap())
        };
        let cached = Cached::default();
        let most = 4 * 3_000;
        for index in 0..10 {
            cached.keep_within(&row(&format!("key {index}"), 900), most);
        }
        let kept = |cached: &Cached| {
            let known = cached.lock();
            (known.rows.len(), known.bytes)
        };
        assert_eq!(kept(&cached), (3, 3 * 4 * 914));
        cached.keep_within(&row("large", 2_900), most);
        assert_eq!(cached.lock().rows.keys().collect::<Vec<_>>(), ["large"]);
        cached.keep_within(&row("too large", 4_000), most);
        assert_eq!(cached.lock().rows.len(), 1, "what has no room takes nobody's");
        cached.forget("large");
        cached.keep_within(&row("small", 10), most);
        cached.keep_within(&row("small", 20), most);
        assert_eq!(cached.lock().bytes, 4 * 34, "it is counted once");
        cached.forget("small");
        assert_eq!(cached.lock().bytes, 0);
    }
}
