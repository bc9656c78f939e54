//! What components print.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Saved, Store, StoreError, now};
use crate::wire::{Lines, Stream};

/// Lines that one statement takes at a time.
const LINES_A_STATEMENT: usize = 500;

/// A line that was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its number: greater than those of all that were kept before.
    pub id: i64,
    /// When it was printed, or, if nobody says, when it came, in microseconds since 1970.
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

/// Which lines are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// When they were printed.
    pub period: Period,
    /// Of this component only.
    pub component: Option<String>,
    /// Of this node only.
    pub node: Option<String>,
    /// Only those with greater numbers, in the order in which they came; for one who has all up to this.
    pub after: Option<i64>,
    /// So many at most: the first of them.
    pub limit: Option<u32>,
}

impl LogQuery {
    /// All that were printed in a period.
    pub const fn of(period: Period) -> Self {
        Self { period, component: None, node: None, after: None, limit: None }
    }
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
        take_turn(&mut transaction, cluster).await?;
        let at = now();
        for lines in lines.chunks(LINES_A_STATEMENT) {
            let places: Vec<_> = (0..lines.len()).map(|line| format!("($1, $2, ${})", line + 3)).collect();
            let statement = format!("INSERT INTO logs (cluster, at, text) VALUES {}", places.join(", "));
            let statement = lines.iter().fold(sqlx::query(&statement).bind(cluster).bind(at), sqlx::query::Query::bind);
            statement.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(Saved::Yes)
    }

    /// Adds those lines of a node's spool that are not here yet, and says which is the last that is here now. The cluster must be
    /// there.
    ///
    /// # Errors
    /// If the store fails; then none is kept.
    pub async fn add_lines(&self, cluster: &str, sent: &Lines) -> Result<u64, StoreError> {
        let spool = sent.spool.to_string();
        let mut transaction = self.pool.begin().await?;
        take_turn(&mut transaction, cluster).await?;
        // An update locks the row: of two requests with the same lines, the later sees what the earlier has kept.
        sqlx::query(
            "INSERT INTO spools (cluster, node, spool, seq, changed) VALUES ($1, $2, $3, 0, $4) \
             ON CONFLICT (cluster, node, spool) DO UPDATE SET changed = excluded.changed",
        )
        .bind(cluster)
        .bind(&sent.node)
        .bind(&spool)
        .bind(now())
        .execute(&mut *transaction)
        .await?;
        let found = sqlx::query("SELECT seq FROM spools WHERE cluster = $1 AND node = $2 AND spool = $3");
        let found = found.bind(cluster).bind(&sent.node).bind(&spool).fetch_one(&mut *transaction).await?;
        let kept: i64 = found.try_get(0)?;
        let number = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
        let new: Vec<_> = sent.lines.iter().filter(|line| number(line.seq) > kept).collect();
        for lines in new.chunks(LINES_A_STATEMENT) {
            let places: Vec<_> = (0..lines.len()).map(place).collect();
            let statement = format!(
                "INSERT INTO logs (cluster, node, at, component, copy, stream, text) VALUES {}",
                places.join(", ")
            );
            let mut query = sqlx::query(&statement).bind(cluster).bind(&sent.node);
            for line in lines {
                query = query
                    .bind(line.at)
                    .bind(&line.component)
                    .bind(i64::from(line.copy))
                    .bind(line.stream.name())
                    .bind(&line.text);
            }
            query.execute(&mut *transaction).await?;
        }
        let last = new.last().map_or(kept, |line| number(line.seq));
        let update = sqlx::query("UPDATE spools SET seq = $1 WHERE cluster = $2 AND node = $3 AND spool = $4");
        update.bind(last).bind(cluster).bind(&sent.node).bind(&spool).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(u64::try_from(last).unwrap_or(0))
    }

    /// Lines of a cluster, in the order of their instants.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn logs(&self, cluster: &str, query: &LogQuery) -> Result<Vec<LogLine>, StoreError> {
        let mut statement =
            "SELECT id, at, text, node, component, copy, stream FROM logs WHERE cluster = $1 AND at > $2 AND at < $3"
                .to_owned();
        let texts = [("component", &query.component), ("node", &query.node)];
        let texts: Vec<_> = texts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
        for (index, (name, _)) in texts.iter().enumerate() {
            statement += &format!(" AND {name} = ${}", index + 4);
        }
        if query.after.is_some() {
            statement += &format!(" AND id > ${}", texts.len() + 4);
        }
        statement += if query.after.is_some() { " ORDER BY id" } else { " ORDER BY at, id" };
        if let Some(limit) = query.limit {
            statement += &format!(" LIMIT {limit}");
        }
        let mut found = sqlx::query(&statement).bind(cluster).bind(query.period.from).bind(query.period.to);
        for (_, value) in texts {
            found = found.bind(value);
        }
        if let Some(after) = query.after {
            found = found.bind(after);
        }
        found.fetch_all(&self.pool).await?.iter().map(line).collect()
    }
}

/// Waits until nobody else adds lines of this cluster, so that numbers are seen in their order: who follows them would miss one that is seen
/// after a greater one.
async fn take_turn(connection: &mut sqlx::AnyConnection, cluster: &str) -> Result<(), StoreError> {
    let statement = "INSERT INTO log_turns (cluster, turn) VALUES ($1, 1) \
                     ON CONFLICT (cluster) DO UPDATE SET turn = log_turns.turn + 1";
    sqlx::query(statement).bind(cluster).execute(connection).await?;
    Ok(())
}

/// The place of a line in a statement, after the two values that all have.
fn place(index: usize) -> String {
    let first = index * 5 + 3;
    let values: Vec<_> = (first..first + 5).map(|value| format!("${value}")).collect();
    format!("($1, $2, {})", values.join(", "))
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
