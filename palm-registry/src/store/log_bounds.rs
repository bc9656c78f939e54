//! How many lines there are, and throwing old ones away.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::users::number;
use super::{Store, StoreError};

impl Store {
    /// Throws some of the lines away that are older than an instant. How many.
    ///
    /// # Errors
    /// If the store fails; then none is.
    pub async fn prune_logs_before(&self, at: i64, batch: u32) -> Result<u64, StoreError> {
        self.prune_logs("SELECT id FROM logs WHERE at < $1 ORDER BY at", at, batch).await
    }

    /// Throws some of the oldest lines away. How many.
    ///
    /// # Errors
    /// If the store fails; then none is.
    pub async fn prune_oldest_logs(&self, batch: u32) -> Result<u64, StoreError> {
        self.prune_logs("SELECT id FROM logs WHERE id > $1 ORDER BY id", 0, batch).await
    }

    async fn prune_logs(&self, which: &str, value: i64, batch: u32) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let statement =
            format!("DELETE FROM logs WHERE id IN ({which} LIMIT {batch}) RETURNING cluster, octet_length(text)");
        let gone = sqlx::query(&statement).bind(value).fetch_all(&mut *transaction).await?;
        let mut bytes: BTreeMap<String, i64> = BTreeMap::new();
        for row in &gone {
            // A number of another width in each database.
            let length = row.try_get::<i64, _>(1).or_else(|_| row.try_get::<i32, _>(1).map(i64::from))?;
            *bytes.entry(row.try_get(0)?).or_default() += length;
        }
        for (cluster, bytes) in bytes {
            let less = sqlx::query("UPDATE log_turns SET bytes = bytes - $1 WHERE cluster = $2");
            less.bind(bytes).bind(cluster).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(gone.len() as u64)
    }

    /// Bytes of text that all lines have.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn log_bytes(&self) -> Result<i64, StoreError> {
        let statement = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM log_turns";
        number(&sqlx::query(statement).fetch_one(&self.read).await?, 0)
    }
}
