//! What live streams wait for: each cluster that anybody looks at is looked up once a second, whichever registry has changed it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::api::status_json;
use crate::store::Store;

/// How often a cluster is looked up.
const PERIOD: Duration = Duration::from_secs(1);

/// A cluster as it was when it was looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Its state, as JSON; empty: it was not looked up yet, or is no more.
    pub(super) status: Arc<str>,
    /// The number of its last line.
    pub(super) last_line: i64,
}

#[derive(Debug)]
struct Watched {
    snapshot: watch::Receiver<Snapshot>,
    wake: Arc<Notify>,
}

/// The clusters that anybody looks at.
#[derive(Debug)]
pub(super) struct Hub {
    clusters: Mutex<HashMap<String, Watched>>,
    ended: watch::Sender<bool>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { clusters: Mutex::default(), ended: watch::Sender::new(false) }
    }
}

impl Hub {
    /// Ends all streams.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Is over when all streams are to end.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Looks a cluster up at once, if anybody looks at it.
    pub(super) fn wake(&self, key: &str) {
        if let Some(watched) = self.lock().get(key) {
            watched.wake.notify_one();
        }
    }

    /// What a cluster is from now on.
    pub(super) fn watch(self: &Arc<Self>, store: &Store, key: &str) -> watch::Receiver<Snapshot> {
        let mut clusters = self.lock();
        if let Some(watched) = clusters.get(key) {
            return watched.snapshot.clone();
        }
        let (send, snapshot) = watch::channel(Snapshot::default());
        let wake = Arc::new(Notify::new());
        clusters.insert(key.to_owned(), Watched { snapshot: snapshot.clone(), wake: wake.clone() });
        tokio::spawn(look_up(self.clone(), store.clone(), key.to_owned(), send, wake));
        snapshot
    }

    /// Whether nobody looks at a cluster any more; then it is forgotten.
    fn is_unwatched(&self, key: &str, send: &watch::Sender<Snapshot>) -> bool {
        let mut clusters = self.lock();
        // The last receiver is the hub's own.
        let is_unwatched = send.receiver_count() <= 1;
        if is_unwatched {
            clusters.remove(key);
        }
        is_unwatched
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Watched>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look_up(hub: Arc<Hub>, store: Store, key: String, send: watch::Sender<Snapshot>, wake: Arc<Notify>) {
    while !hub.is_unwatched(&key, &send) {
        // What cannot be read now may be in a second.
        if let Ok(snapshot) = snapshot(&store, &key).await {
            send.send_if_modified(|known| {
                let is_other = *known != snapshot;
                *known = snapshot;
                is_other
            });
        }
        let _ = tokio::time::timeout(PERIOD, wake.notified()).await;
    }
}

async fn snapshot(store: &Store, key: &str) -> Result<Snapshot, super::Problem> {
    let Some(row) = store.cluster(key).await? else { return Ok(Snapshot::default()) };
    let status = status_json(store, &row).await?;
    Ok(Snapshot { status: status.into(), last_line: store.last_line(key).await? })
}
