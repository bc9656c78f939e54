//! What components print.

use sqlx::Row as _;

use super::{Saved, Store, StoreError, now};

/// Lines that one statement takes at a time.
const LINES_A_STATEMENT: usize = 500;

/// A line that was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it came, in microseconds since 1970.
    pub at: i64,
    /// Itself.
    pub text: String,
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

    /// Lines of a cluster, in order.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn logs(&self, cluster: &str, period: Period) -> Result<Vec<LogLine>, StoreError> {
        let found = sqlx::query("SELECT at, text FROM logs WHERE cluster = $1 AND at > $2 AND at < $3 ORDER BY at, id");
        let rows = found.bind(cluster).bind(period.from).bind(period.to).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(LogLine { at: row.try_get(0)?, text: row.try_get(1)? })).collect()
    }
}
