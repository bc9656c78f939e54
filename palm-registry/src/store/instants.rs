//! Instants of the lines of a cluster: no two lines have the same, so that who asks for a period can cut between any two.

use sqlx::Row as _;

use super::{StoreError, now};

/// How far ahead of now the last line may be that others come after, in microseconds.
const AHEAD: i64 = 1_000_000;

/// What the next lines of a cluster come after, in microseconds since 1970. Clocks of nodes that are far ahead do not count for the lines
/// of others.
#[derive(Debug)]
pub(super) struct Instants {
    /// What is earlier than this is not far ahead.
    limit: i64,
    /// The last instant of those that are not far ahead.
    last: i64,
    /// The last of all.
    furthest: i64,
}

impl Instants {
    /// Those of a cluster that nobody else adds lines to meanwhile.
    pub(super) async fn of(connection: &mut sqlx::AnyConnection, cluster: &str) -> Result<Self, StoreError> {
        let limit = now().saturating_add(AHEAD);
        let statement = "SELECT (SELECT MAX(at) FROM logs WHERE cluster = $1 AND at < $2), \
                         (SELECT MAX(at) FROM logs WHERE cluster = $3)";
        let query = sqlx::query(statement).bind(cluster).bind(limit).bind(cluster);
        let row = query.fetch_one(connection).await?;
        let at = |column: usize| row.try_get::<Option<i64>, _>(column).map(|at| at.unwrap_or(i64::MIN));
        Ok(Self { limit, last: at(0)?, furthest: at(1)? })
    }

    /// The instant of the next line, which says that it is of `at`: this, or the first after the line before.
    pub(super) fn next(&mut self, at: i64) -> i64 {
        let before = if at < self.limit { &mut self.last } else { &mut self.furthest };
        *before = at.max(before.saturating_add(1));
        let next = *before;
        self.furthest = self.furthest.max(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lines_have_one_instant_and_a_clock_far_ahead_counts_for_its_lines_alone() {
        let mut instants = Instants { limit: 100, last: 10, furthest: 500 };
        let said = [20, 20, 5, 400, 600, 600, 30];
        assert_eq!(said.map(|at| instants.next(at)), [20, 21, 22, 501, 600, 601, 30]);
        let mut new = Instants { limit: 100, last: i64::MIN, furthest: i64::MIN };
        assert_eq!([7, 7, 300, 300, i64::MAX].map(|at| new.next(at)), [7, 8, 300, 301, i64::MAX]);
    }
}
