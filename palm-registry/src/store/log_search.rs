//! Finding lines that components have printed, and throwing old ones away.

use futures_util::TryStreamExt as _;
use sqlx::Row as _;

use super::users::number;
use super::{LogLine, Store, StoreError};

/// Which lines are looked for. They come in the order in which they were kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSearch {
    /// Of this component only.
    pub component: Option<String>,
    /// Of this node only.
    pub node: Option<String>,
    /// Of this stream only: `out`, `err` or `runner`.
    pub stream: Option<String>,
    /// Those with one of these in them; empty: any.
    pub any_of: Vec<&'static str>,
    /// Those with this in them.
    pub text: Option<String>,
    /// Printed at this instant or later, in microseconds since 1970.
    pub from: Option<i64>,
    /// Printed before this instant.
    pub to: Option<i64>,
    /// With a greater number than this: the first of them.
    pub after: Option<i64>,
    /// With a smaller number than this: the last of them.
    pub before: Option<i64>,
    /// So many at most.
    pub limit: u32,
}

/// Bytes of text that an answer has, about.
const BYTES_MAX: usize = 16 << 20;

/// Whether there are no more lines than were found, of so many that were looked for.
pub(crate) fn is_all<'a>(texts: impl ExactSizeIterator<Item = &'a str>, limit: u32) -> bool {
    texts.len() < limit as usize && texts.map(str::len).sum::<usize>() < BYTES_MAX
}

enum Value<'a> {
    Number(i64),
    Text(&'a str),
}

/// What lines have to be, and the values in it.
fn conditions<'a>(cluster: &'a str, search: &'a LogSearch) -> (String, Vec<Value<'a>>) {
    let mut conditions = "cluster = $1".to_owned();
    let mut values = vec![Value::Text(cluster)];
    let mut add = |condition: &str, value| {
        values.push(value);
        conditions += " AND ";
        conditions += &condition.replace('?', &format!("${}", values.len()));
    };
    let texts = [
        ("component = ?", &search.component),
        ("node = ?", &search.node),
        ("stream = ?", &search.stream),
        // Both databases can do this, and it takes no character for another.
        ("replace(text, ?, '') <> text", &search.text),
    ];
    for (condition, value) in texts {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            add(condition, Value::Text(value));
        }
    }
    let numbers =
        [("at >= ?", search.from), ("at < ?", search.to), ("id > ?", search.after), ("id < ?", search.before)];
    for (condition, value) in numbers {
        if let Some(value) = value {
            add(condition, Value::Number(value));
        }
    }
    if !search.any_of.is_empty() {
        let any: Vec<_> = search.any_of.iter().map(|word| format!("replace(text, '{word}', '') <> text")).collect();
        conditions += &format!(" AND ({})", any.join(" OR "));
    }
    (conditions, values)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments<'q>>;

fn bind<'q>(statement: &'q str, values: Vec<Value<'_>>) -> Query<'q> {
    values.into_iter().fold(sqlx::query(statement), |query, value| match value {
        Value::Number(number) => query.bind(number),
        Value::Text(text) => query.bind(text.to_owned()),
    })
}

impl Store {
    /// Lines of a cluster: the last of them, unless they are looked for from a number on. Once they have 16 MiB there are fewer than were
    /// asked for: `is_all` says whether that is so.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn search_logs(&self, cluster: &str, search: &LogSearch) -> Result<Vec<LogLine>, StoreError> {
        self.search_within(cluster, search, BYTES_MAX).await
    }

    /// As [`search_logs`](Self::search_logs), with another number of bytes.
    pub(super) async fn search_within(
        &self,
        cluster: &str,
        search: &LogSearch,
        most: usize,
    ) -> Result<Vec<LogLine>, StoreError> {
        let (conditions, values) = conditions(cluster, search);
        let is_forward = search.after.is_some();
        let order = if is_forward { "id" } else { "id DESC" };
        let statement = format!(
            "SELECT id, at, text, node, component, copy, stream FROM logs WHERE {conditions} ORDER BY {order} LIMIT {}",
            search.limit
        );
        let (mut lines, mut bytes) = (Vec::new(), 0);
        let mut rows = bind(&statement, values).fetch(&self.read);
        // They may be long: no more is read than fits.
        while let Some(row) = rows.try_next().await? {
            let line = super::logs::line(&row)?;
            bytes += line.text.len();
            lines.push(line);
            if bytes >= most {
                break;
            }
        }
        drop(rows);
        if !is_forward {
            lines.reverse();
        }
        Ok(lines)
    }

    /// The number of the first of the last lines that are searched for, of so many; `None`: there are fewer.
    pub(super) async fn nth_from_last(&self, cluster: &str, search: &LogSearch) -> Result<Option<i64>, StoreError> {
        let (conditions, values) = conditions(cluster, search);
        let statement = format!(
            "SELECT id FROM logs WHERE {conditions} ORDER BY id DESC LIMIT 1 OFFSET {}",
            search.limit.saturating_sub(1)
        );
        let row = bind(&statement, values).fetch_optional(&self.read).await?;
        row.map(|row| number(&row, 0)).transpose()
    }

    /// The number of the last line of a cluster; 0: there is none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn last_line(&self, cluster: &str) -> Result<i64, StoreError> {
        let found = sqlx::query("SELECT MAX(id) FROM logs WHERE cluster = $1").bind(cluster);
        Ok(found.fetch_one(&self.read).await?.try_get::<Option<i64>, _>(0)?.unwrap_or(0))
    }

    /// Totals: users, clusters, nodes, nodes heard of since an instant, and the number of the last line.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn totals(&self, since: i64) -> Result<[i64; 5], StoreError> {
        let statement = "SELECT (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM clusters), (SELECT COUNT(*) FROM nodes), \
                         (SELECT COUNT(*) FROM nodes WHERE seen >= $1), (SELECT COALESCE(MAX(id), 0) FROM logs)";
        let row = sqlx::query(statement).bind(since).fetch_one(&self.read).await?;
        Ok([number(&row, 0)?, number(&row, 1)?, number(&row, 2)?, number(&row, 3)?, number(&row, 4)?])
    }
}
