//! Who has done what.

use sqlx::Row as _;

use super::{Store, StoreError, now};
use crate::api::audit::Deed;

impl Store {
    /// Writes down what was done; `id` and `at` are given here.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn add_deed(&self, deed: &Deed) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        add(&mut connection, deed).await
    }

    /// What was done before the one with this id, the newest first; of one cluster, or all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn deeds(&self, cluster: Option<&str>, before: i64, limit: i64) -> Result<Vec<Deed>, StoreError> {
        let columns = "SELECT id, at, who, address, what, cluster, detail FROM audit WHERE id < $1";
        let rows = match cluster {
            None => {
                let statement = format!("{columns} ORDER BY id DESC LIMIT $2");
                sqlx::query(&statement).bind(before).bind(limit).fetch_all(&self.read).await?
            }
            Some(cluster) => {
                let statement = format!("{columns} AND cluster = $3 ORDER BY id DESC LIMIT $2");
                sqlx::query(&statement).bind(before).bind(limit).bind(cluster).fetch_all(&self.read).await?
            }
        };
        let deed = |row: &sqlx::any::AnyRow| {
            Ok(Deed {
                id: row.try_get(0)?,
                at: row.try_get(1)?,
                who: row.try_get(2)?,
                address: row.try_get(3)?,
                what: row.try_get(4)?,
                cluster: row.try_get(5)?,
                detail: row.try_get(6)?,
            })
        };
        rows.iter().map(deed).collect()
    }
}

/// As [`Store::add_deed`], in a transaction.
pub(super) async fn add(connection: &mut sqlx::AnyConnection, deed: &Deed) -> Result<(), StoreError> {
    let added =
        sqlx::query("INSERT INTO audit (at, who, address, what, cluster, detail) VALUES ($1, $2, $3, $4, $5, $6)");
    added
        .bind(now())
        .bind(&deed.who)
        .bind(&deed.address)
        .bind(&deed.what)
        .bind(&deed.cluster)
        .bind(&deed.detail)
        .execute(connection)
        .await?;
    Ok(())
}
