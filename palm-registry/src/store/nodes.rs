//! Nodes' signs of life, and what their processes do.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use futures_util::TryStreamExt as _;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row as _};

use super::counted::Counts;
use super::group::Write;
use super::{Store, StoreError, insert, now};
use crate::plan::NodeOffer;
use crate::wire::{Process, SILENT_AFTER, State, Sync};

/// A node that has given a sign of life.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRow {
    /// What it said of itself last.
    pub offer: NodeOffer,
    /// Which start of a runner speaks for it.
    pub run: String,
    /// When it did so last, in microseconds since 1970; 0: it said that it would be the last time.
    pub seen: i64,
    /// What it reported then, by component and copy.
    pub processes: Vec<Process>,
}

impl NodeRow {
    /// Whether nothing was heard of it for so long that something is wrong.
    pub fn is_silent(&self, now: i64) -> bool {
        now.saturating_sub(self.seen) > SILENT_AFTER
    }

    /// What it reported of a copy of a component.
    pub fn process(&self, component: &str, copy: u32) -> Option<&Process> {
        let place = |process: &Process| (process.component.as_str(), process.copy).cmp(&(component, copy));
        self.processes.binary_search_by(place).ok().map(|index| &self.processes[index])
    }
}

/// The nodes of a cluster that have given a sign of life, by their names.
pub type Nodes = BTreeMap<String, Arc<NodeRow>>;

/// What becomes of a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It is kept.
    Yes,
    /// Another runner speaks for this node.
    Another,
}

impl Store {
    /// Keeps what a runner says of its node and its processes, unless another runner speaks for the node and is not silent. The cluster
    /// must be there.
    ///
    /// # Errors
    /// If the store fails; then nothing is kept.
    pub async fn hear(&self, cluster: &str, said: &Sync) -> Result<Hearing, StoreError> {
        let at = now();
        let mut processes = said.processes.clone();
        sort(&mut processes);
        let row = Arc::new(NodeRow {
            offer: said.node.clone(),
            run: said.run.to_string(),
            seen: if said.leaving { 0 } else { at },
            processes,
        });
        let hearing = self.signs.write(Sign { cluster: cluster.to_owned(), at, row: row.clone() }).await?;
        if hearing == Hearing::Yes {
            self.heard.note(cluster, row);
        }
        Ok(hearing)
    }

    /// The nodes of a cluster. What another registry at this store has heard may be a second old.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn nodes(&self, cluster: &str) -> Result<Arc<Nodes>, StoreError> {
        if let Some(known) = self.heard.fresh(cluster) {
            return Ok(known);
        }
        let reading = self.heard.begin(cluster);
        // Of those who wait for the same one reads.
        let _turn = reading.lock().await;
        if let Some(known) = self.heard.fresh(cluster) {
            return Ok(known);
        }
        let begun = std::time::Instant::now();
        let statement = "SELECT name, ip, processors, ports_from, run, seen, processes FROM nodes WHERE cluster = $1";
        let rows = sqlx::query(statement).bind(cluster).fetch_all(&self.read).await?;
        let read = rows.iter().map(node).collect::<Result<Vec<_>, _>>()?;
        Ok(self.heard.keep(cluster, read, begun))
    }

    /// Forgets a node and what it reported. Whether it was there.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn forget_node(&self, cluster: &str, node: &str) -> Result<bool, StoreError> {
        let deleted = sqlx::query("DELETE FROM nodes WHERE cluster = $1 AND name = $2");
        let deleted = deleted.bind(cluster).bind(node).execute(&self.pool).await?;
        self.heard.forget(cluster);
        Ok(deleted.rows_affected() > 0)
    }

    /// How many processes are in each state. They are counted no more often than takes a tenth of the time, however many ask.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn count_processes(&self) -> Result<Counts, StoreError> {
        let mut counted = self.counted.lock().await;
        let begun = Instant::now();
        if let Some(counts) = counted.at(begun) {
            return Ok(counts);
        }
        let mut counts: Counts = State::ALL.map(|state| (state.name(), 0)).into();
        let mut rows = sqlx::query("SELECT processes FROM nodes").fetch(&self.read);
        while let Some(row) = rows.try_next().await? {
            for process in processes(row.try_get(0)?)? {
                *counts.entry(process.state.name()).or_default() += 1;
            }
        }
        counted.keep(counts.clone(), begun, Instant::now());
        Ok(counts)
    }
}

/// A sign of life that is to be kept.
#[derive(Debug)]
pub(super) struct Sign {
    cluster: String,
    at: i64,
    row: Arc<NodeRow>,
}

impl Write for Sign {
    type Answer = Hearing;
    type Key = (String, String);

    fn key(&self) -> Self::Key {
        (self.cluster.clone(), self.row.offer.name.clone())
    }

    async fn write(pool: &AnyPool, group: &[Self]) -> Result<Vec<Hearing>, StoreError> {
        let mut transaction = pool.begin().await?;
        let mut kept = HashSet::new();
        for signs in insert::parts(group) {
            let head = "INSERT INTO nodes (cluster, name, ip, processors, ports_from, run, seen, processes)";
            // Whether another runner speaks for a node and what is kept is decided at once, so that of two runners that speak for a new node
            // one is told. Who leaves (below zero) does so only for itself.
            let statement = insert::statement(transaction.backend_name(), head, signs.len())
                + &format!(
                    " ON CONFLICT (cluster, name) DO UPDATE SET ip = excluded.ip, processors = excluded.processors, \
                     ports_from = excluded.ports_from, run = excluded.run, seen = excluded.seen, processes = excluded.processes \
                     WHERE nodes.run = excluded.run OR nodes.seen < excluded.seen - {SILENT_AFTER} RETURNING cluster, name"
                );
            let mut query = sqlx::query(&statement);
            for Sign { cluster, at, row } in signs {
                query = query.bind(cluster).bind(&row.offer.name).bind(&row.offer.ip);
                query = query.bind(i64::from(row.offer.processors)).bind(i64::from(row.offer.ports_from));
                // Below zero: it has left, and when.
                query = query.bind(&row.run).bind(if row.seen == 0 { -*at } else { row.seen });
                query = query.bind(serde_json::to_string(&row.processes).unwrap_or_default());
            }
            for row in query.fetch_all(&mut *transaction).await? {
                kept.insert((row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?));
            }
        }
        transaction.commit().await?;
        let hearing = |sign: &Self| if kept.contains(&sign.key()) { Hearing::Yes } else { Hearing::Another };
        Ok(group.iter().map(hearing).collect())
    }
}

/// Puts processes into the order in which one is found.
fn sort(processes: &mut [Process]) {
    processes.sort_by(|one, other| (&one.component, one.copy).cmp(&(&other.component, other.copy)));
}

fn processes(written: &str) -> Result<Vec<Process>, StoreError> {
    let corrupt = |error| StoreError::Corrupt(format!("the processes of a node: {error}"));
    let mut processes: Vec<Process> = serde_json::from_str(written).map_err(corrupt)?;
    sort(&mut processes);
    Ok(processes)
}

fn node(row: &AnyRow) -> Result<NodeRow, StoreError> {
    let (processors, ports_from): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
    let offer = NodeOffer {
        name: row.try_get(0)?,
        ip: row.try_get(1)?,
        processors: u32::try_from(processors).unwrap_or(0),
        ports_from: u16::try_from(ports_from).unwrap_or(0),
    };
    let seen = row.try_get::<i64, _>(5)?.max(0);
    Ok(NodeRow { offer, run: row.try_get(4)?, seen, processes: processes(row.try_get(6)?)? })
}
