//! Clusters: their files, and what is where.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError, User, keys, now, secret, versions};
use crate::cluster::Cluster;
use crate::plan::{Node, Plan, Socket, Wanted};

/// A cluster as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRow {
    /// By what the store knows it, for ever: its first key. Nobody is known by it, as its key may be another since.
    pub key: String,
    /// Its key, which is a secret: who knows it runs what it says.
    pub secret: String,
    /// What it is known by otherwise.
    pub id: String,
    /// The user that it belongs to.
    pub owner: i64,
    /// A name for people.
    pub alias: Option<String>,
    /// When its file was set last, in microseconds since 1970.
    pub changed: i64,
    /// Its file.
    pub description: Arc<str>,
    /// What is where.
    pub plan: Arc<Plan>,
    pub(super) revision: i64,
    /// Who has set its file, if that is new.
    author: Option<i64>,
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
        let id = secret::secret().get(..ID_DIGITS).unwrap_or_default().to_owned();
        let (plan, author, secret) = (Arc::new(Plan::new(cluster)), Some(owner.id), key.clone());
        let description = description.into();
        Self { key, secret, id, owner: owner.id, alias, changed: now(), description, plan, revision: 0, author }
    }

    /// Its file is another from now on, which this user has set.
    pub fn set_file(&mut self, author: &User, description: String, cluster: Cluster) {
        self.author = Some(author.id);
        self.description = description.into();
        self.changed = now();
        self.plan_mut().replace(cluster);
    }

    /// What is where, to be changed.
    pub fn plan_mut(&mut self) -> &mut Plan {
        Arc::make_mut(&mut self.plan)
    }
}

/// Digits of what a cluster is known by.
const ID_DIGITS: usize = 16;

/// What there is of a cluster besides its file and its plan.
pub(super) const COLUMNS: &str = "clusters.key, clusters.owner, clusters.alias, clusters.changed, clusters.revision, clusters.id, \
                                  clusters.secret";
/// All of it.
pub(super) const ALL_COLUMNS: &str = "key, owner, alias, changed, revision, id, secret, description, plan";

/// What became of a change of a cluster.
#[derive(Debug)]
pub enum Changed<T> {
    /// It is made.
    Yes(T),
    /// There is no such cluster.
    Gone,
    /// Others have changed it each time.
    Busy,
}

/// Times that a change is tried which others come before.
const TRIES: usize = 20;

impl Store {
    /// Changes a cluster, again if somebody else has done so meanwhile. `change` is called on a thread of its own, as it may take long.
    ///
    /// # Errors
    /// If the store fails, or `change` does.
    pub async fn change_cluster<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        key: &str,
        change: impl FnMut(&mut ClusterRow) -> Result<T, E> + Send + 'static,
    ) -> Result<Changed<T>, E> {
        let turn = self.turns.of(key);
        let _taken = turn.taken.lock().await;
        self.change_in_turn(key, change).await
    }

    /// As [`Self::change_cluster`], by who has the turn: only another registry at this store may be first.
    pub(super) async fn change_in_turn<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        key: &str,
        mut change: impl FnMut(&mut ClusterRow) -> Result<T, E> + Send + 'static,
    ) -> Result<Changed<T>, E> {
        for _ in 0..TRIES {
            let Some(mut row) = self.cluster(key).await? else { return Ok(Changed::Gone) };
            let work = move || {
                let result = change(&mut row);
                let plan = result.is_ok().then(|| written(&row.plan));
                (change, row, result, plan)
            };
            let (again, row, result, plan) = self.work.run(key, work).await.map_err(StoreError::from)?;
            let result = result?;
            if self.keep(&row, &plan.unwrap_or_default()).await? == Saved::Yes {
                return Ok(Changed::Yes(result));
            }
            change = again;
        }
        Ok(Changed::Busy)
    }

    /// Adds a cluster. `Conflict`: its key is taken, or was another cluster's.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn add_cluster(&self, row: &ClusterRow) -> Result<Saved, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let added = sqlx::query(
            "INSERT INTO clusters (key, owner, alias, created, changed, description, plan, revision, id, secret, secret_hash) \
             VALUES ($1, $2, $3, $4, $4, $5, $6, 0, $7, $8, $9) ON CONFLICT DO NOTHING",
        )
        .bind(&row.key)
        .bind(row.owner)
        .bind(&row.alias)
        .bind(row.changed)
        .bind(&*row.description)
        .bind(written(&row.plan))
        .bind(&row.id)
        .bind(&row.secret)
        .bind(secret::hash(&row.secret))
        .execute(&mut *transaction)
        .await?;
        if added.rows_affected() == 0 || !keys::take(&mut transaction, &row.secret, row.owner).await? {
            return Ok(Saved::Conflict);
        }
        versions::add(&mut transaction, &row.key, (row.changed, row.owner, &row.description)).await?;
        transaction.commit().await?;
        Ok(Saved::Yes)
    }

    /// Keeps a cluster that was read before, and has been changed.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn save_cluster(&self, row: &ClusterRow) -> Result<Saved, StoreError> {
        self.keep(row, &written(&row.plan)).await
    }

    /// The same of a cluster whose plan is written like this.
    async fn keep(&self, row: &ClusterRow, plan: &str) -> Result<Saved, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if save(&mut transaction, row, plan).await? == Saved::Conflict {
            return Ok(Saved::Conflict);
        }
        if let Some(author) = row.author {
            versions::add(&mut transaction, &row.key, (row.changed, author, &row.description)).await?;
        }
        transaction.commit().await?;
        self.cached.keep(&ClusterRow { revision: row.revision + 1, author: None, ..row.clone() });
        Ok(Saved::Yes)
    }

    /// A cluster by what the store knows it by.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn cluster(&self, key: &str) -> Result<Option<ClusterRow>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM clusters WHERE key = $1");
        let found = sqlx::query(&statement).bind(key).fetch_optional(&self.read).await?;
        match found {
            Some(found) => self.whole(&found).await,
            None => Ok(None),
        }
    }

    /// How many clusters a user has.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn count_clusters(&self, user: i64) -> Result<u64, StoreError> {
        let counted = sqlx::query("SELECT COUNT(*) FROM clusters WHERE owner = $1").bind(user);
        Ok(u64::try_from(counted.fetch_one(&self.read).await?.try_get::<i64, _>(0)?).unwrap_or(0))
    }

    /// The clusters of a user, the oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn clusters_of(&self, user: &User) -> Result<Vec<ClusterRow>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM clusters WHERE owner = $1 ORDER BY created, key");
        let mut clusters = Vec::new();
        for found in sqlx::query(&statement).bind(user.id).fetch_all(&self.read).await? {
            clusters.extend(self.whole(&found).await?);
        }
        Ok(clusters)
    }

    /// The cluster of which a row has [`COLUMNS`] first: its file and plan are read only if they are others than before. `None`: it is no more.
    pub(super) async fn whole(&self, found: &AnyRow) -> Result<Option<ClusterRow>, StoreError> {
        let (key, id): (&str, &str) = (found.try_get(0)?, found.try_get(5)?);
        if let Some(known) = self.cached.cluster(key, id, found.try_get(4)?) {
            return Ok(Some(known));
        }
        let statement = format!("SELECT {ALL_COLUMNS} FROM clusters WHERE key = $1");
        let read = sqlx::query(&statement).bind(key).fetch_optional(&self.read).await?;
        let Some(unread) = read.map(|read| Unread::of(&read)).transpose()? else { return Ok(None) };
        let row = self.work.run(key, || unread.read()).await??;
        self.cached.keep(&row);
        Ok(Some(row))
    }

    /// Deletes a cluster, and its logs. Whether it was there.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete_cluster(&self, key: &str) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let deleted = sqlx::query("DELETE FROM clusters WHERE key = $1 RETURNING secret, id, owner");
        let deleted = deleted.bind(key).fetch_all(&mut *transaction).await?;
        keys::retire_deleted(&mut transaction, &deleted).await?;
        transaction.commit().await?;
        self.cached.forget(key);
        self.heard.forget(key);
        Ok(!deleted.is_empty())
    }
}

/// Writes a cluster that was read before, in a transaction.
pub(super) async fn save(
    connection: &mut sqlx::AnyConnection,
    row: &ClusterRow,
    plan: &str,
) -> Result<Saved, StoreError> {
    let saved = sqlx::query(
        "UPDATE clusters SET alias = $1, changed = $2, description = $3, plan = $4, revision = revision + 1 \
         WHERE key = $5 AND revision = $6",
    )
    .bind(&row.alias)
    .bind(row.changed)
    .bind(&*row.description)
    .bind(plan)
    .bind(&row.key)
    .bind(row.revision)
    .execute(connection)
    .await?;
    Ok(if saved.rows_affected() == 0 { Saved::Conflict } else { Saved::Yes })
}

/// A plan as it is written down.
pub(super) fn written(plan: &Plan) -> String {
    let written =
        Written { nodes: plan.nodes().to_vec(), sockets: plan.sockets().clone(), wanted: plan.all_wanted().clone() };
    serde_json::to_string(&written).unwrap_or_default()
}

/// A cluster as the database has it: its file and its plan are yet to be read, which may take long.
pub(super) struct Unread {
    row: ClusterRow,
    plan: String,
}

impl Unread {
    /// Of a row with all columns.
    pub(super) fn of(row: &AnyRow) -> Result<Self, StoreError> {
        let description: String = row.try_get(7)?;
        let plan = row.try_get(8)?;
        let row = ClusterRow {
            key: row.try_get(0)?,
            owner: row.try_get(1)?,
            alias: row.try_get(2)?,
            changed: row.try_get(3)?,
            plan: Arc::new(Plan::new(Cluster::default())),
            revision: row.try_get(4)?,
            id: row.try_get(5)?,
            secret: row.try_get(6)?,
            author: None,
            description: description.into(),
        };
        Ok(Self { row, plan })
    }

    /// Reads them.
    pub(super) fn read(self) -> Result<ClusterRow, StoreError> {
        let Self { row, plan } = self;
        let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("the cluster {}: {error}", row.id));
        let cluster = Cluster::from_kept(&row.description).map_err(|error| corrupt(&error))?;
        let plan: Written = serde_json::from_str(&plan).map_err(|error| corrupt(&error))?;
        let plan = Plan::restored(cluster, plan.nodes, plan.sockets, plan.wanted);
        Ok(ClusterRow { plan: Arc::new(plan), ..row })
    }
}
