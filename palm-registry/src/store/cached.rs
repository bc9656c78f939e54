//! Clusters as they were read last, so that a file and a plan are not read again while they are the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ClusterRow;

/// Clusters that are kept.
const MOST: usize = 1000;

/// Clusters by their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Cached(Arc<Mutex<HashMap<String, ClusterRow>>>);

impl Cached {
    /// A cluster, if it is known as it is at this revision. With the same key and another id it is another, made after that was deleted.
    pub(super) fn cluster(&self, key: &str, id: &str, revision: i64) -> Option<ClusterRow> {
        self.lock().get(key).filter(|row| row.id == id && row.revision == revision).cloned()
    }

    /// A cluster is so.
    pub(super) fn keep(&self, row: &ClusterRow) {
        let mut clusters = self.lock();
        if clusters.len() >= MOST && !clusters.contains_key(&row.key) {
            clusters.clear();
        }
        clusters.insert(row.key.clone(), row.clone());
    }

    /// A cluster is no more.
    pub(super) fn forget(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, ClusterRow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
