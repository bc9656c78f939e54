//! Nodes' signs of life, and what their processes do.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError, now};
use crate::plan::NodeOffer;
use crate::wire::{Exit, Process, SILENT_AFTER, State, Sync};

/// Processes that one statement takes at a time.
const PROCESSES_A_STATEMENT: usize = 500;

/// A node that has given a sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// What it said of itself last.
    pub offer: NodeOffer,
    /// Which start of a runner speaks for it.
    pub run: String,
    /// When it did so last, in microseconds since 1970; 0: it said that it would be the last time.
    pub seen: i64,
}

impl NodeRow {
    /// Whether nothing was heard of it for so long that something is wrong.
    pub fn is_silent(&self, now: i64) -> bool {
        now.saturating_sub(self.seen) > SILENT_AFTER
    }
}

/// A process, as its node reported it last.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessRow {
    /// The node's name.
    pub node: String,
    /// What it reported.
    pub process: Process,
    /// When, in microseconds since 1970.
    pub seen: i64,
}

/// What becomes of a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It is kept.
    Yes,
    /// Another runner speaks for this node.
    Another,
}

impl Store {
    /// Keeps what a runner says of its node and its processes, unless another runner speaks for the node and is not silent.
    ///
    /// # Errors
    /// If the store fails; then nothing is kept.
    pub async fn hear(&self, cluster: &str, said: &Sync) -> Result<Hearing, StoreError> {
        let (at, run) = (now(), said.run.to_string());
        let seen = if said.leaving { 0 } else { at };
        let mut transaction = self.pool.begin().await?;
        // One statement, so that of two runners that speak for a new node at once one is told.
        let kept = sqlx::query(
            "INSERT INTO nodes (cluster, name, ip, processors, ports_from, run, seen) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (cluster, name) DO UPDATE SET ip = excluded.ip, processors = excluded.processors, \
             ports_from = excluded.ports_from, run = excluded.run, seen = excluded.seen \
             WHERE nodes.run = excluded.run OR nodes.seen < $8",
        )
        .bind(cluster)
        .bind(&said.node.name)
        .bind(&said.node.ip)
        .bind(i64::from(said.node.processors))
        .bind(i64::from(said.node.ports_from))
        .bind(run)
        .bind(seen)
        .bind(at - SILENT_AFTER)
        .execute(&mut *transaction)
        .await?;
        if kept.rows_affected() == 0 {
            return Ok(Hearing::Another);
        }
        for processes in said.processes.chunks(PROCESSES_A_STATEMENT) {
            let places: Vec<_> = (0..processes.len()).map(place).collect();
            let statement = format!(
                "INSERT INTO processes (cluster, node, seen, component, copy, state, pid, since, restarts, exit_code, exit_signal, \
                 cpu_seconds, memory_bytes, generation, messages, rate) VALUES {} ON CONFLICT (cluster, node, component, copy) DO UPDATE SET \
                 state = excluded.state, pid = excluded.pid, since = excluded.since, restarts = excluded.restarts, \
                 exit_code = excluded.exit_code, exit_signal = excluded.exit_signal, cpu_seconds = excluded.cpu_seconds, \
                 memory_bytes = excluded.memory_bytes, generation = excluded.generation, messages = excluded.messages, \
                 rate = excluded.rate, seen = excluded.seen",
                places.join(", ")
            );
            let mut query = sqlx::query(&statement).bind(cluster).bind(&said.node.name).bind(at);
            for process in processes {
                let (code, signal) = match process.exit {
                    Some(Exit::Code(code)) => (Some(i64::from(code)), None),
                    Some(Exit::Signal(signal)) => (None, Some(i64::from(signal))),
                    None => (None, None),
                };
                query = query
                    .bind(&process.component)
                    .bind(i64::from(process.copy))
                    .bind(process.state.name())
                    .bind(process.pid.map(i64::from))
                    .bind(process.since)
                    .bind(signed(process.restarts))
                    .bind(code)
                    .bind(signal)
                    .bind(process.cpu_seconds)
                    .bind(signed(process.memory_bytes))
                    .bind(signed(process.generation))
                    .bind(process.messages.map(signed))
                    .bind(process.rate);
            }
            query.execute(&mut *transaction).await?;
        }
        let gone = sqlx::query("DELETE FROM processes WHERE cluster = $1 AND node = $2 AND seen <> $3");
        gone.bind(cluster).bind(&said.node.name).bind(at).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Hearing::Yes)
    }

    /// The nodes of a cluster, by their names.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn nodes(&self, cluster: &str) -> Result<Vec<NodeRow>, StoreError> {
        let statement =
            "SELECT name, ip, processors, ports_from, run, seen FROM nodes WHERE cluster = $1 ORDER BY name";
        let rows = sqlx::query(statement).bind(cluster).fetch_all(&self.pool).await?;
        rows.iter().map(node).collect()
    }

    /// The processes of a cluster, by component, copy and node.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn processes(&self, cluster: &str) -> Result<Vec<ProcessRow>, StoreError> {
        let statement = "SELECT node, component, copy, state, pid, since, restarts, exit_code, exit_signal, cpu_seconds, memory_bytes, \
                         generation, seen, messages, rate FROM processes WHERE cluster = $1 ORDER BY component, copy, node";
        let rows = sqlx::query(statement).bind(cluster).fetch_all(&self.pool).await?;
        rows.iter().map(process).collect()
    }

    /// Forgets a node and what it reported. Whether it was there.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn forget_node(&self, cluster: &str, node: &str) -> Result<bool, StoreError> {
        let deleted = sqlx::query("DELETE FROM nodes WHERE cluster = $1 AND name = $2");
        Ok(deleted.bind(cluster).bind(node).execute(&self.pool).await?.rows_affected() > 0)
    }
}

/// The place of a process in a statement, after the three values that all have.
fn place(index: usize) -> String {
    let first = index * 13 + 4;
    let values: Vec<_> = (first..first + 13).map(|value| format!("${value}")).collect();
    format!("($1, $2, $3, {})", values.join(", "))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn node(row: &AnyRow) -> Result<NodeRow, StoreError> {
    let (processors, ports_from): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
    let offer = NodeOffer {
        name: row.try_get(0)?,
        ip: row.try_get(1)?,
        processors: u32::try_from(processors).unwrap_or(0),
        ports_from: u16::try_from(ports_from).unwrap_or(0),
    };
    Ok(NodeRow { offer, run: row.try_get(4)?, seen: row.try_get(5)? })
}

fn process(row: &AnyRow) -> Result<ProcessRow, StoreError> {
    let state: String = row.try_get(3)?;
    let state = State::ALL.into_iter().find(|known| known.name() == state);
    let number = |column: usize| Ok::<_, StoreError>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
    let optional = |column: usize| row.try_get::<Option<i64>, _>(column);
    let (pid, code, signal, messages) = (optional(4)?, optional(7)?, optional(8)?, optional(13)?);
    let narrow = |number: i64| i32::try_from(number).unwrap_or(-1);
    let process = Process {
        component: row.try_get(1)?,
        copy: u32::try_from(number(2)?).unwrap_or(0),
        state: state.ok_or_else(|| StoreError::Corrupt("the state of a process".to_owned()))?,
        pid: pid.and_then(|pid| u32::try_from(pid).ok()),
        since: row.try_get(5)?,
        restarts: number(6)?,
        exit: code.map(|code| Exit::Code(narrow(code))).or(signal.map(|signal| Exit::Signal(narrow(signal)))),
        cpu_seconds: row.try_get(9)?,
        memory_bytes: number(10)?,
        generation: number(11)?,
        messages: messages.and_then(|messages| u64::try_from(messages).ok()),
        rate: row.try_get(14)?,
    };
    Ok(ProcessRow { node: row.try_get(0)?, process, seen: row.try_get(12)? })
}
