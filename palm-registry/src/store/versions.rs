//! What a cluster's file was before.

use sqlx::Row as _;

use super::users::number;
use super::{Store, StoreError};

/// Versions of a file that are kept.
const VERSIONS_MAX: i64 = 200;

/// A file as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1.
    pub number: i64,
    /// When it was set, in microseconds since 1970.
    pub at: i64,
    /// The name of who did.
    pub author: String,
}

impl Store {
    /// The versions of a cluster's file, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn versions(&self, key: &str) -> Result<Vec<Version>, StoreError> {
        let found = sqlx::query("SELECT number, at, author FROM versions WHERE cluster = $1 ORDER BY number DESC");
        found.bind(key).fetch_all(&self.read).await?.iter().map(version).collect()
    }

    /// A version, and the file.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn version(&self, key: &str, number: i64) -> Result<Option<(Version, String)>, StoreError> {
        let found =
            sqlx::query("SELECT number, at, author, description FROM versions WHERE cluster = $1 AND number = $2");
        let found = found.bind(key).bind(number).fetch_optional(&self.read).await?;
        found.map(|row| Ok((version(&row)?, row.try_get(3)?))).transpose()
    }
}

/// Adds a version in a transaction that changes its cluster, so that nobody else does at the same time. Old ones go.
pub(super) async fn add(
    connection: &mut sqlx::AnyConnection,
    key: &str,
    (at, author, description): (i64, i64, &str),
) -> Result<(), StoreError> {
    let last = sqlx::query("SELECT MAX(number) FROM versions WHERE cluster = $1").bind(key);
    let last = last.fetch_one(&mut *connection).await?.try_get::<Option<i64>, _>(0)?.unwrap_or(0);
    let added = sqlx::query(
        "INSERT INTO versions (cluster, number, at, author, description) \
         VALUES ($1, $2, $3, COALESCE((SELECT name FROM users WHERE id = $4), ''), $5)",
    );
    added.bind(key).bind(last + 1).bind(at).bind(author).bind(description).execute(&mut *connection).await?;
    let old = sqlx::query("DELETE FROM versions WHERE cluster = $1 AND number <= $2").bind(key);
    old.bind(last + 1 - VERSIONS_MAX).execute(&mut *connection).await?;
    Ok(())
}

fn version(row: &sqlx::any::AnyRow) -> Result<Version, StoreError> {
    Ok(Version { number: number(row, 0)?, at: row.try_get(1)?, author: row.try_get(2)? })
}
