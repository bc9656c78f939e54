//! Nodes that have said nothing for long.

use sqlx::Row as _;

use super::clusters::{ALL_COLUMNS, Unread, save, written};
use super::{Deed, Saved, Store, StoreError, audit};

/// Times that a node is tried to be forgotten whose cluster others change.
const TRIES: usize = 20;

impl Store {
    /// Nodes that nothing was heard of since an instant, also such as have left before it: their clusters, and their names.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn nodes_unheard_since(&self, instant: i64) -> Result<Vec<(String, String)>, StoreError> {
        let statement = "SELECT cluster, name FROM nodes WHERE abs(seen) < $1 ORDER BY cluster, name";
        let rows = sqlx::query(statement).bind(instant).fetch_all(&self.read).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Removes a node from its cluster, unless it was heard of since an instant, and writes `deed` down. Whether it did: of several
    /// that try at once, one does.
    ///
    /// # Errors
    /// If the store fails; then the node is still there.
    pub async fn forget_unheard_node(
        &self,
        cluster: &str,
        node: &str,
        instant: i64,
        deed: &Deed,
    ) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            let mut transaction = self.pool.begin().await?;
            let forgotten = sqlx::query("DELETE FROM nodes WHERE cluster = $1 AND name = $2 AND abs(seen) < $3");
            let forgotten = forgotten.bind(cluster).bind(node).bind(instant).execute(&mut *transaction).await?;
            if forgotten.rows_affected() == 0 {
                return Ok(false);
            }
            let statement = format!("SELECT {ALL_COLUMNS} FROM clusters WHERE key = $1");
            let found = sqlx::query(&statement).bind(cluster).fetch_optional(&mut *transaction).await?;
            let Some(found) = found else { return Ok(false) };
            let (unread, name) = (Unread::of(&found)?, node.to_owned());
            // What waits for its turn elsewhere must not keep the database waiting.
            let removed = tokio::task::spawn_blocking(move || {
                let mut row = unread.read()?;
                row.plan_mut().remove_node(&name);
                let plan = written(&row.plan);
                Ok::<_, StoreError>((row, plan))
            });
            let (row, plan) = removed.await.map_err(|_| StoreError::Failed)??;
            let deed = Deed { cluster: Some(row.id.clone()), ..deed.clone() };
            if save(&mut transaction, &row, &plan).await? == Saved::Yes {
                audit::add(&mut transaction, &deed).await?;
                transaction.commit().await?;
                self.heard.forget(cluster);
                return Ok(true);
            }
            transaction.rollback().await?;
        }
        // Others are at work on it; the next look will find it again.
        Ok(false)
    }
}
