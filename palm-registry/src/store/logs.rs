//! What components print.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row as _};

use super::group::Write;
use super::instants::Instants;
use super::{Saved, Store, StoreError, insert, now};
use crate::wire::{Line, Lines, Stream};

/// A line that was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its number: greater than those of all that were kept before.
    pub id: i64,
    /// When it was printed, or, if nobody says, when it came, in microseconds since 1970; but later than the line before.
    pub at: i64,
    /// Itself.
    pub text: String,
    /// Where it comes from, if its runner says so; Python's does not.
    pub origin: Option<Origin>,
}

/// Where a line comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The node.
    pub node: String,
    /// The component.
    pub component: String,
    /// Which of its copies.
    pub copy: u32,
    /// Which of its streams.
    pub stream: Stream,
}

/// From one instant to another, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// What is later than this.
    pub from: i64,
    /// What is earlier than this.
    pub to: i64,
}

impl Period {
    /// From the first to the last day.
    pub const ALL: Self = Self { from: i64::MIN, to: i64::MAX };
}

impl Store {
    /// Adds lines of a cluster, in order. `Conflict`: there is no such cluster.
    ///
    /// # Errors
    /// If the store fails; then none is kept.
    pub async fn add_logs(&self, cluster: &str, lines: &[String]) -> Result<Saved, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let found = sqlx::query("SELECT 1 FROM clusters WHERE key = $1").bind(cluster);
        if found.fetch_optional(&mut *transaction).await?.is_none() {
            return Ok(Saved::Conflict);
        }
        take_turn(&mut transaction, cluster, lines.iter().map(String::len).sum()).await?;
        let mut instants = Instants::of(&mut transaction, cluster).await?;
        let now = now();
        for lines in insert::parts(lines) {
            let head = "INSERT INTO logs (cluster, at, text)";
            let statement = insert::statement(transaction.backend_name(), head, lines.len());
            let query = lines
                .iter()
                .fold(sqlx::query(&statement), |query, line| query.bind(cluster).bind(instants.next(now)).bind(line));
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(Saved::Yes)
    }

    /// Adds those lines of a node's spool that are not here yet, and says which is the last that is here now. The cluster must be
    /// there.
    ///
    /// # Errors
    /// If the store fails; then none is kept.
    pub async fn add_lines(&self, cluster: &str, sent: Lines) -> Result<u64, StoreError> {
        self.lines.write(Batch { cluster: cluster.to_owned(), sent }).await
    }
}

/// Lines of a node's spool that are to be kept.
#[derive(Debug)]
pub(super) struct Batch {
    cluster: String,
    sent: Lines,
}

impl Write for Batch {
    type Answer = u64;
    type Key = (String, String, uuid::Uuid);

    fn key(&self) -> Self::Key {
        (self.cluster.clone(), self.sent.node.clone(), self.sent.spool)
    }

    fn weight(&self) -> usize {
        self.sent.lines.len()
    }

    async fn write(pool: &AnyPool, group: &[Self]) -> Result<Vec<u64>, StoreError> {
        let mut transaction = pool.begin().await?;
        // Those of a cluster are beside each other. A row is locked for each before anything is looked at.
        for batches in group.chunk_by(|one, other| one.cluster == other.cluster) {
            take_turn(&mut transaction, &batches[0].cluster, 0).await?;
        }
        let known = last_kept(&mut transaction, group).await?;
        let is_new = |batch: &Self, line: &Line| known.get(&batch.key()).is_none_or(|kept| number(line.seq) > *kept);
        let of_batch = |batch| {
            let Batch { sent, .. }: &Self = batch;
            sent.lines.iter().filter(move |line| is_new(batch, line)).map(move |line| (batch, line))
        };
        let mut new = Vec::new();
        for batches in group.chunk_by(|one, other| one.cluster == other.cluster) {
            let mut instants = Instants::of(&mut transaction, &batches[0].cluster).await?;
            let lines = batches.iter().flat_map(of_batch);
            new.extend(lines.map(|(batch, line)| (batch, line, instants.next(line.at))));
        }
        for lines in insert::parts(&new) {
            let head = "INSERT INTO logs (cluster, node, at, component, copy, stream, text)";
            let statement = insert::statement(transaction.backend_name(), head, lines.len());
            let mut query = sqlx::query(&statement);
            for (batch, line, at) in lines {
                query = query.bind(&batch.cluster).bind(&batch.sent.node).bind(*at).bind(&line.component);
                query = query.bind(i64::from(line.copy)).bind(line.stream.name()).bind(&line.text);
            }
            query.execute(&mut *transaction).await?;
        }
        for lines in new.chunk_by(|(one, ..), (other, ..)| one.cluster == other.cluster) {
            let bytes = lines.iter().map(|(_, line, _)| line.text.len()).sum();
            take_turn(&mut transaction, &lines[0].0.cluster, bytes).await?;
        }
        let last = |batch: &Self| {
            let kept = known.get(&batch.key()).copied().unwrap_or(0);
            kept.max(batch.sent.lines.last().map_or(0, |line| number(line.seq)))
        };
        let kept: Vec<_> = group.iter().map(|batch| (batch, last(batch))).collect();
        keep_last(&mut transaction, &kept).await?;
        transaction.commit().await?;
        Ok(kept.into_iter().map(|(_, last)| u64::try_from(last).unwrap_or(0)).collect())
    }
}

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// The last line of each spool that is here, and 0 of those that are new. An update locks the row: of two requests with the same lines,
/// the later sees what the earlier has kept.
async fn last_kept(
    connection: &mut sqlx::AnyConnection,
    group: &[Batch],
) -> Result<HashMap<<Batch as Write>::Key, i64>, StoreError> {
    let mut known = HashMap::new();
    for batches in insert::parts(group) {
        let head = "INSERT INTO spools (cluster, node, spool, seq, changed)";
        let statement = insert::statement(connection.backend_name(), head, batches.len())
            + " ON CONFLICT (cluster, node, spool) DO UPDATE SET changed = excluded.changed RETURNING seq, cluster, node, spool";
        let spools: Vec<_> = batches.iter().map(|batch| (batch, 0)).collect();
        let rows = bind_spools(sqlx::query(&statement), &spools).fetch_all(&mut *connection).await?;
        for row in rows {
            let spool: String = row.try_get(3)?;
            let spool = spool.parse().map_err(|_| StoreError::Corrupt(format!("the spool {spool}")))?;
            known.insert((row.try_get(1)?, row.try_get(2)?, spool), row.try_get(0)?);
        }
    }
    Ok(known)
}

/// Writes down the last line of each spool.
async fn keep_last(connection: &mut sqlx::AnyConnection, kept: &[(&Batch, i64)]) -> Result<(), StoreError> {
    for spools in insert::parts(kept) {
        let head = "INSERT INTO spools (cluster, node, spool, seq, changed)";
        let statement = insert::statement(connection.backend_name(), head, spools.len())
            + " ON CONFLICT (cluster, node, spool) DO UPDATE SET seq = excluded.seq";
        bind_spools(sqlx::query(&statement), spools).execute(&mut *connection).await?;
    }
    Ok(())
}

type Statement<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments<'q>>;

fn bind_spools<'q>(query: Statement<'q>, spools: &'q [(&'q Batch, i64)]) -> Statement<'q> {
    let at = now();
    spools.iter().fold(query, |query, (batch, seq)| {
        query.bind(&batch.cluster).bind(&batch.sent.node).bind(batch.sent.spool.to_string()).bind(*seq).bind(at)
    })
}

/// Waits until nobody else adds lines of this cluster, so that numbers are seen in their order: who follows them would miss one that is seen
/// after a greater one. And counts the bytes that they add.
async fn take_turn(connection: &mut sqlx::AnyConnection, cluster: &str, bytes: usize) -> Result<(), StoreError> {
    let statement = "INSERT INTO log_turns (cluster, turn, bytes) VALUES ($1, 1, $2) \
                     ON CONFLICT (cluster) DO UPDATE SET turn = log_turns.turn + 1, bytes = log_turns.bytes + excluded.bytes";
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    sqlx::query(statement).bind(cluster).bind(bytes).execute(connection).await?;
    Ok(())
}

pub(super) fn line(row: &AnyRow) -> Result<LogLine, StoreError> {
    let component: Option<String> = row.try_get(4)?;
    let origin = match component {
        None => None,
        Some(component) => {
            let (copy, stream): (i64, String) = (row.try_get(5)?, row.try_get(6)?);
            let stream = Stream::from_name(&stream);
            Some(Origin {
                node: row.try_get(3)?,
                component,
                copy: u32::try_from(copy).unwrap_or(0),
                stream: stream.ok_or_else(|| StoreError::Corrupt("the stream of a line".to_owned()))?,
            })
        }
    };
    Ok(LogLine { id: row.try_get(0)?, at: row.try_get(1)?, text: row.try_get(2)?, origin })
}
