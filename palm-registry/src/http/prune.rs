//! Throwing old lines away.

use std::time::Duration;

use crate::store::{Store, StoreError, now};

/// How often it is looked whether there is too much.
const PERIOD: Duration = Duration::from_secs(30);
/// Lines that are thrown away at a time, so that nobody waits for long.
const BATCH: u32 = 1000;
/// Between two batches.
const PAUSE: Duration = Duration::from_millis(20);

/// How much is kept of what components print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// For how long; `None`: for ever.
    pub age: Option<Duration>,
    /// Bytes of text of all clusters; `None`: without a bound.
    pub bytes: Option<u64>,
}

/// Throws lines away that are too old or too many, for ever.
pub async fn prune(store: Store, bounds: LogBounds) {
    if bounds == LogBounds::default() {
        return;
    }
    loop {
        if let Err(error) = once(&store, bounds).await {
            tracing::warn!("cannot throw old lines away: {error}");
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Throws away what is too much now.
///
/// # Errors
/// If the store fails.
pub(super) async fn once(store: &Store, bounds: LogBounds) -> Result<(), StoreError> {
    if let Some(age) = bounds.age {
        let micros = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        while store.prune_logs_before(now().saturating_sub(micros), BATCH).await? == u64::from(BATCH) {
            tokio::time::sleep(PAUSE).await;
        }
    }
    if let Some(bytes) = bounds.bytes {
        let most = i64::try_from(bytes).unwrap_or(i64::MAX);
        while store.log_bytes().await? > most && store.prune_oldest_logs(BATCH).await? > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::store::ClusterRow;

    #[tokio::test]
    async fn what_is_too_old_or_too_much_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store.db").to_str().unwrap()).await.unwrap();
        let user = store.add_user("ann", false).await.unwrap().unwrap();
        let row = ClusterRow::new("key".into(), &user, None, String::new(), Cluster::default());
        store.add_cluster(&row).await.unwrap();
        let lines: Vec<_> = (0..2500).map(|line| format!("{line:04}")).collect();
        store.add_logs("key", &lines).await.unwrap();
        let count = || async { store.logs("key").await.unwrap().len() };
        once(&store, LogBounds { age: Some(Duration::from_secs(3600)), bytes: Some(10_000) }).await.unwrap();
        assert_eq!(count().await, 2500);
        once(&store, LogBounds { age: None, bytes: Some(6000) }).await.unwrap();
        let left = store.logs("key").await.unwrap();
        assert_eq!((left.len(), left[0].text.as_str()), (1500, "1000"));
        assert_eq!(store.log_bytes().await.unwrap(), 6000);
        once(&store, LogBounds { age: Some(Duration::ZERO), bytes: None }).await.unwrap();
        assert_eq!((count().await, store.log_bytes().await.unwrap()), (0, 0));
    }
}
