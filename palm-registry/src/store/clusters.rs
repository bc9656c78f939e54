//! Clusters: their files, and what is where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use super::{Store, StoreError, User, now};
use crate::cluster::Cluster;
use crate::plan::{Node, Plan, Socket, Wanted};

/// A cluster as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRow {
    /// Its key, which is a secret: who knows it runs what it says.
    pub key: String,
    /// The user that it belongs to.
    pub owner: i64,
    /// A name for people.
    pub alias: Option<String>,
    /// When its file was set last, in microseconds since 1970.
    pub changed: i64,
    /// Its file.
    pub description: String,
    /// What is where.
    pub plan: Plan,
    revision: i64,
}

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is kept.
    Yes,
    /// Somebody else has changed the cluster meanwhile: look at it again.
    Conflict,
}

/// A plan as it is written down.
#[derive(Default, Serialize, Deserialize)]
struct Written {
    nodes: Vec<Node>,
    sockets: BTreeMap<String, Socket>,
    /// Not in what earlier versions have written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    wanted: BTreeMap<String, Wanted>,
}

impl ClusterRow {
    /// A cluster of which nothing is placed, under this key.
    pub fn new(key: String, owner: &User, alias: Option<String>, description: String, cluster: Cluster) -> Self {
        Self { key, owner: owner.id, alias, changed: now(), description, plan: Plan::new(cluster), revision: 0 }
    }

    /// Its file is another from now on.
    pub fn set_file(&mut self, description: String, cluster: Cluster) {
        self.description = description;
        self.changed = now();
        self.plan.replace(cluster);
    }
}

const COLUMNS: &str = "key, owner, alias, changed, description, plan, revision";

impl Store {
    /// Adds a cluster. `Conflict`: its key is taken.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn add_cluster(&self, row: &ClusterRow) -> Result<Saved, StoreError> {
        let added = sqlx::query(
            "INSERT INTO clusters (key, owner, alias, created, changed, description, plan, revision) \
             VALUES ($1, $2, $3, $4, $4, $5, $6, 0) ON CONFLICT (key) DO NOTHING",
        )
        .bind(&row.key)
        .bind(row.owner)
        .bind(&row.alias)
        .bind(row.changed)
        .bind(&row.description)
        .bind(written(&row.plan))
        .execute(&self.pool)
        .await?;
        Ok(if added.rows_affected() == 1 { Saved::Yes } else { Saved::Conflict })
    }

    /// Keeps a cluster that was read before, and has been changed.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn save_cluster(&self, row: &ClusterRow) -> Result<Saved, StoreError> {
        let saved = sqlx::query(
            "UPDATE clusters SET alias = $1, changed = $2, description = $3, plan = $4, revision = revision + 1 \
             WHERE key = $5 AND revision = $6",
        )
        .bind(&row.alias)
        .bind(row.changed)
        .bind(&row.description)
        .bind(written(&row.plan))
        .bind(&row.key)
        .bind(row.revision)
        .execute(&self.pool)
        .await?;
        Ok(if saved.rows_affected() == 1 { Saved::Yes } else { Saved::Conflict })
    }

    /// A cluster by its key.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn cluster(&self, key: &str) -> Result<Option<ClusterRow>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM clusters WHERE key = $1");
        let found = sqlx::query(&statement);
        found.bind(key).fetch_optional(&self.pool).await?.map(|found| row(&found)).transpose()
    }

    /// The clusters of a user, the oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn clusters_of(&self, user: &User) -> Result<Vec<ClusterRow>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM clusters WHERE owner = $1 ORDER BY created, key");
        let found = sqlx::query(&statement);
        found.bind(user.id).fetch_all(&self.pool).await?.iter().map(row).collect()
    }

    /// Deletes a cluster, and its logs. Whether it was there.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete_cluster(&self, key: &str) -> Result<bool, StoreError> {
        let deleted = sqlx::query("DELETE FROM clusters WHERE key = $1").bind(key).execute(&self.pool).await?;
        Ok(deleted.rows_affected() > 0)
    }
}

fn written(plan: &Plan) -> String {
    let written =
        Written { nodes: plan.nodes().to_vec(), sockets: plan.sockets().clone(), wanted: plan.all_wanted().clone() };
    serde_json::to_string(&written).unwrap_or_default()
}

fn row(row: &sqlx::any::AnyRow) -> Result<ClusterRow, StoreError> {
    let (key, description): (String, String) = (row.try_get(0)?, row.try_get(4)?);
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("the cluster {key}: {error}"));
    let cluster = Cluster::from_text(&description).map_err(|error| corrupt(&error))?;
    let plan: Written = serde_json::from_str(row.try_get(5)?).map_err(|error| corrupt(&error))?;
    Ok(ClusterRow {
        owner: row.try_get(1)?,
        alias: row.try_get(2)?,
        changed: row.try_get(3)?,
        plan: Plan::restored(cluster, plan.nodes, plan.sockets, plan.wanted),
        revision: row.try_get(6)?,
        description,
        key,
    })
}
