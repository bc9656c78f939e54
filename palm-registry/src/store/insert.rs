//! Inserting many rows by few statements.

/// Rows that one statement has at most.
const MOST: usize = 256;

/// Parts of 256, 128, 64 ... rows, for each of which the database knows the statement already.
pub(super) fn parts<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let count = rows.len().min(MOST).checked_ilog2().map(|digits| 1 << digits)?;
        let (part, left) = rows.split_at(count);
        rows = left;
        Some(part)
    })
}

/// A statement that inserts so many rows; `head` is `INSERT INTO table (columns)`.
///
/// SQLite looks for the place of each value that has a number among all others, so there they have none.
pub(super) fn statement(database: &str, head: &str, rows: usize) -> String {
    let columns = head.matches(',').count() + 1;
    let place = |row: usize| {
        let value = |column: usize| match database {
            "SQLite" => "?".to_owned(),
            _ => format!("${}", row * columns + column + 1),
        };
        format!("({})", (0..columns).map(value).collect::<Vec<_>>().join(", "))
    };
    format!("{head} VALUES {}", (0..rows).map(place).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_few_sizes() {
        let rows: Vec<_> = (0..600).collect();
        let sizes: Vec<_> = parts(&rows).map(<[_]>::len).collect();
        assert_eq!(sizes, [256, 256, 64, 16, 8]);
        assert_eq!(parts(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        assert!(parts::<u8>(&[]).next().is_none());
    }

    #[test]
    fn each_database_has_its_places() {
        assert_eq!(statement("SQLite", "INSERT INTO t (a, b)", 2), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)");
        assert_eq!(
            statement("PostgreSQL", "INSERT INTO t (a, b)", 2),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)"
        );
    }
}
