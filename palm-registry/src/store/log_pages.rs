//! Lines of a cluster, a page at a time, so that little of them is in memory at once.

use futures_util::TryStreamExt as _;

use super::{LogLine, LogSearch, Period, Store, StoreError};

/// Lines that a page has at most.
pub(super) const PAGE_LINES: u32 = 1000;
/// Bytes of text from which on a page has no more lines.
const PAGE_BYTES: usize = 1 << 20;

/// How far somebody has read the lines of a period, in the order of their instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    period: Period,
    /// The number of the last line that there was at first: what comes meanwhile is not read, so that there is an end.
    last: i64,
    /// The instant and the number of the last line that was read.
    read: Option<(i64, i64)>,
}

impl Store {
    /// The beginning of the lines of a period.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn log_position(&self, cluster: &str, period: Period) -> Result<LogPosition, StoreError> {
        Ok(LogPosition { period, last: self.last_line(cluster).await?, read: None })
    }

    /// The next lines of a cluster in the order of their instants, about 1 MiB of them; none: there are no more.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn next_logs(&self, cluster: &str, position: &mut LogPosition) -> Result<Vec<LogLine>, StoreError> {
        // What was read has later instants than the period begins after.
        let (at, id) = position.read.unwrap_or((position.period.from, i64::MAX));
        let statement = format!(
            "SELECT id, at, text, node, component, copy, stream FROM logs \
             WHERE cluster = $1 AND (at, id) > ($2, $3) AND at < $4 AND id <= $5 ORDER BY at, id LIMIT {PAGE_LINES}"
        );
        let query = sqlx::query(&statement).bind(cluster).bind(at).bind(id);
        let query = query.bind(position.period.to).bind(position.last);
        let (mut lines, mut bytes) = (Vec::new(), 0);
        let mut rows = query.fetch(&self.read);
        while bytes < PAGE_BYTES
            && let Some(row) = rows.try_next().await?
        {
            let line = super::logs::line(&row)?;
            bytes += line.text.len();
            position.read = Some((line.at, line.id));
            lines.push(line);
        }
        Ok(lines)
    }

    /// All lines of a cluster, in the order of their instants: for those who know that they are few.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn logs(&self, cluster: &str) -> Result<Vec<LogLine>, StoreError> {
        let mut position = self.log_position(cluster, Period::ALL).await?;
        let mut lines = Vec::new();
        loop {
            let page = self.next_logs(cluster, &mut position).await?;
            if page.is_empty() {
                return Ok(lines);
            }
            lines.extend(page);
        }
    }

    /// A search for as many lines as are asked for, or all, in the order of their numbers: what comes meanwhile is not among them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn begin_search(&self, cluster: &str, mut search: LogSearch) -> Result<LogSearch, StoreError> {
        let end = self.last_line(cluster).await?.saturating_add(1);
        search.before = Some(search.before.map_or(end, |before| before.min(end)));
        if search.after.is_none() {
            // Of so many lines the last are wanted: where do they begin?
            let first = match search.limit {
                u32::MAX => None,
                _ => self.nth_from_last(cluster, &search).await?,
            };
            search.after = Some(first.map_or(i64::MIN, |first| first - 1));
        }
        Ok(search)
    }

    /// The next lines that are searched for, about 1 MiB of them; none: there are no more.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn next_found(&self, cluster: &str, search: &mut LogSearch) -> Result<Vec<LogLine>, StoreError> {
        if search.limit == 0 {
            return Ok(Vec::new());
        }
        let page = LogSearch { limit: search.limit.min(PAGE_LINES), ..search.clone() };
        let lines = self.search_within(cluster, &page, PAGE_BYTES).await?;
        search.limit -= u32::try_from(lines.len()).unwrap_or(u32::MAX).min(search.limit);
        search.after = lines.last().map_or(search.after, |line| Some(line.id));
        Ok(lines)
    }
}
