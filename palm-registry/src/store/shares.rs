//! Who sees a cluster beside its owner, and by which name.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::clusters::COLUMNS;
use super::keys::is_askable;
use super::users::number;
use super::{ClusterRow, Store, StoreError, User, secret};
use crate::api::shares::Share;

/// A cluster as somebody finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Itself.
    pub row: ClusterRow,
    /// The name of its owner.
    pub owner: String,
    /// What is shared of it with who asks.
    pub share: Option<Share>,
    /// Whether Python's clients are answered.
    pub python: bool,
}

const FOUND: &str = "users.name, shares.level, clusters.python FROM clusters JOIN users ON users.id = clusters.owner \
                     LEFT JOIN shares ON shares.cluster = clusters.key AND shares.user_id = $1";

impl Store {
    /// A cluster by its id, as a user finds it, whether it may see it or not.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find_cluster(&self, id: &str, user: i64) -> Result<Option<Found>, StoreError> {
        if !is_askable(id) {
            return Ok(None);
        }
        let statement = format!("SELECT {COLUMNS}, {FOUND} WHERE clusters.id = $2");
        let found = sqlx::query(&statement).bind(user).bind(id).fetch_optional(&self.read).await?;
        match found {
            Some(found) => self.found(&found).await,
            None => Ok(None),
        }
    }

    /// The clusters that are a user's or shared with it, or all of them; the oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find_clusters(&self, user: i64, all: bool) -> Result<Vec<Found>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS}, {FOUND} WHERE $2 = 1 OR clusters.owner = $1 OR shares.level IS NOT NULL \
             ORDER BY clusters.created, clusters.key"
        );
        let mut clusters = Vec::new();
        for found in sqlx::query(&statement).bind(user).bind(i64::from(all)).fetch_all(&self.read).await? {
            clusters.extend(self.found(&found).await?);
        }
        Ok(clusters)
    }

    async fn found(&self, found: &AnyRow) -> Result<Option<Found>, StoreError> {
        let Some(row) = self.whole(found).await? else { return Ok(None) };
        let share: Option<String> = found.try_get(8)?;
        let share = share.map(|name| self::share(&name)).transpose()?;
        Ok(Some(Found { row, owner: found.try_get(7)?, share, python: number(found, 9)? != 0 }))
    }

    /// With whom a cluster is shared, by name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn shares(&self, key: &str) -> Result<Vec<(String, Share)>, StoreError> {
        let statement = "SELECT users.name, shares.level FROM shares JOIN users ON users.id = shares.user_id \
                         WHERE cluster = $1 ORDER BY users.name";
        let rows = sqlx::query(statement).bind(key).fetch_all(&self.read).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, share(row.try_get(1)?)?))).collect()
    }

    /// Shares a cluster with a user, or changes what is shared.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn share(&self, key: &str, user: &User, share: Share) -> Result<(), StoreError> {
        let statement = "INSERT INTO shares (cluster, user_id, level) VALUES ($1, $2, $3) \
                         ON CONFLICT (cluster, user_id) DO UPDATE SET level = excluded.level";
        sqlx::query(statement).bind(key).bind(user.id).bind(share.name()).execute(&self.pool).await?;
        Ok(())
    }

    /// Shares a cluster with a user no more. Whether it was.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn unshare(&self, key: &str, user: &User) -> Result<bool, StoreError> {
        let deleted = sqlx::query("DELETE FROM shares WHERE cluster = $1 AND user_id = $2").bind(key).bind(user.id);
        Ok(deleted.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Whether Python's clients are answered about the cluster with this key; also if there is none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn answers_python(&self, key: &str) -> Result<bool, StoreError> {
        if !is_askable(key) {
            return Ok(true);
        }
        let found = sqlx::query("SELECT python FROM clusters WHERE secret_hash = $1").bind(secret::hash(key));
        found.fetch_optional(&self.read).await?.map_or(Ok(true), |row| Ok(number(&row, 0)? != 0))
    }

    /// Sets whether Python's clients are answered about a cluster.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn answer_python(&self, key: &str, answer: bool) -> Result<(), StoreError> {
        let set = sqlx::query("UPDATE clusters SET python = $1 WHERE key = $2").bind(i64::from(answer)).bind(key);
        set.execute(&self.pool).await?;
        Ok(())
    }
}

fn share(name: &str) -> Result<Share, StoreError> {
    match name {
        "read" => Ok(Share::Read),
        "operate" => Ok(Share::Operate),
        _ => Err(StoreError::Corrupt(format!("a share, {name}"))),
    }
}
