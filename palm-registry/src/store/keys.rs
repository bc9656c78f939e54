//! Clusters' keys: what one that is presented is good for, and how it becomes another.

use sqlx::{AnyConnection, Row as _};

use super::clusters::COLUMNS;
use super::users::number;
use super::{ClusterRow, Store, StoreError, now, secret};

/// What a key is that somebody presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// It is that of the cluster that the store knows by this.
    Current(String),
    /// It was that of a cluster which has another now.
    Replaced,
    /// It was that of a cluster which was deleted.
    Deleted,
    /// Nobody knows it.
    Unknown,
}

impl Store {
    /// What a key is good for.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn presented(&self, key: &str) -> Result<Presented, StoreError> {
        if !is_askable(key) {
            return Ok(Presented::Unknown);
        }
        let found = sqlx::query("SELECT key FROM clusters WHERE secret_hash = $1").bind(secret::hash(key));
        if let Some(found) = found.fetch_optional(&self.read).await? {
            return Ok(Presented::Current(found.try_get(0)?));
        }
        let old = sqlx::query("SELECT is_deleted FROM old_keys WHERE hash = $1").bind(secret::hash(key));
        Ok(match old.fetch_optional(&self.read).await? {
            None => Presented::Unknown,
            Some(old) if number(&old, 0)? == 0 => Presented::Replaced,
            Some(_) => Presented::Deleted,
        })
    }

    /// The cluster with a key that somebody presents.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn cluster_with_key(&self, key: &str) -> Result<Option<ClusterRow>, StoreError> {
        if !is_askable(key) {
            return Ok(None);
        }
        let statement = format!("SELECT {COLUMNS} FROM clusters WHERE secret_hash = $1");
        let found = sqlx::query(&statement).bind(secret::hash(key)).fetch_optional(&self.read).await?;
        match found {
            Some(found) => self.whole(&found).await,
            None => Ok(None),
        }
    }

    /// Whether there was a cluster with this id, which was deleted.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn was_deleted(&self, id: &str) -> Result<bool, StoreError> {
        if !is_askable(id) {
            return Ok(false);
        }
        let found = sqlx::query("SELECT 1 FROM old_keys WHERE cluster = $1 AND is_deleted = 1 LIMIT 1").bind(id);
        Ok(found.fetch_optional(&self.read).await?.is_some())
    }

    /// Gives a cluster another key, which is returned; `None`: it has another already than it had when it was read, or is no more.
    ///
    /// # Errors
    /// If the store fails; then it has the key that it had.
    pub async fn change_key(&self, cluster: &ClusterRow) -> Result<Option<String>, StoreError> {
        let new = secret::key();
        let mut transaction = self.pool.begin().await?;
        // Who has read the cluster before is told, by the revision, that it is another.
        let statement =
            "UPDATE clusters SET secret = $1, secret_hash = $4, revision = revision + 1 WHERE key = $2 AND secret = $3";
        let changed = sqlx::query(statement);
        let changed = changed
            .bind(&new)
            .bind(&cluster.key)
            .bind(&cluster.secret)
            .bind(secret::hash(&new))
            .execute(&mut *transaction)
            .await?;
        if changed.rows_affected() == 0 {
            return Ok(None);
        }
        retire(&mut transaction, &cluster.secret, (&cluster.id, cluster.owner), false).await?;
        transaction.commit().await?;
        Ok(Some(new))
    }
}

/// Works out by what keys are looked up that an earlier version has kept.
pub(super) async fn hash_all(pool: &sqlx::AnyPool) -> Result<(), StoreError> {
    for row in sqlx::query("SELECT secret FROM clusters WHERE secret_hash = ''").fetch_all(pool).await? {
        let key: &str = row.try_get(0)?;
        let hashed = sqlx::query("UPDATE clusters SET secret_hash = $1 WHERE secret = $2");
        hashed.bind(secret::hash(key)).bind(key).execute(pool).await?;
    }
    Ok(())
}

/// PostgreSQL has no place for a zero byte, and takes it for an error.
pub(super) fn is_askable(text: &str) -> bool {
    !text.contains('\0')
}

/// Keeps a key from being anybody's, in a transaction that takes it from its cluster.
async fn retire(
    connection: &mut AnyConnection,
    key: &str,
    (cluster, owner): (&str, i64),
    is_deleted: bool,
) -> Result<(), StoreError> {
    let statement = "INSERT INTO old_keys (hash, cluster, owner, is_deleted, at) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (hash) DO UPDATE SET is_deleted = excluded.is_deleted, at = excluded.at";
    let retired = sqlx::query(statement).bind(secret::hash(key)).bind(cluster).bind(owner);
    retired.bind(i64::from(is_deleted)).bind(now()).execute(connection).await?;
    Ok(())
}

/// The same of clusters that were just deleted, each as a row of `secret`, `id` and `owner`; and of keys that they had before.
pub(super) async fn retire_deleted(
    connection: &mut AnyConnection,
    deleted: &[sqlx::any::AnyRow],
) -> Result<(), StoreError> {
    for row in deleted {
        let (key, id): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        retire(connection, key, (id, row.try_get(2)?), true).await?;
        let earlier = sqlx::query("UPDATE old_keys SET is_deleted = 1 WHERE cluster = $1");
        earlier.bind(id).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Whether a key may be a new cluster's of this user: of those that were another cluster's it may be one that the user has deleted. It is
/// an old one no more then.
pub(super) async fn take(connection: &mut AnyConnection, key: &str, owner: i64) -> Result<bool, StoreError> {
    let hash = secret::hash(key);
    let again = sqlx::query("DELETE FROM old_keys WHERE hash = $1 AND owner = $2 AND is_deleted = 1");
    again.bind(&hash).bind(owner).execute(&mut *connection).await?;
    let old = sqlx::query("SELECT 1 FROM old_keys WHERE hash = $1").bind(&hash);
    Ok(old.fetch_optional(connection).await?.is_none())
}
