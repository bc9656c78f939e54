//! Opening a store: what it has to be is told at once, and what is wrong with it.

use std::io::Read as _;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, Connection as _};

use super::StoreError;

/// How long PostgreSQL may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// What a file of SQLite begins with.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// Whether a file can be a store: it is none yet, or one of SQLite.
///
/// # Errors
/// If it is something else: what.
pub(super) fn check_file(path: &str) -> Result<(), StoreError> {
    let is_not = |what: &str| Err(StoreError::NoDatabase { store: path.to_owned(), reason: what.to_owned() });
    let unreadable =
        |error: std::io::Error| StoreError::Unreachable { store: path.to_owned(), reason: error.to_string() };
    let known = match std::fs::metadata(path) {
        Ok(known) => known,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let folder = std::path::Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
            return match folder.filter(|folder| !folder.is_dir()) {
                Some(folder) => is_not(&format!("there is no folder {} to make it in", folder.display())),
                None => Ok(()),
            };
        }
        Err(error) => return Err(unreadable(error)),
    };
    if known.is_dir() {
        return is_not("it is a folder");
    }
    if !known.is_file() {
        return is_not("it is no file");
    }
    // As it has to be written later, it is tried now.
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).map_err(unreadable)?;
    let mut begin = Vec::new();
    file.by_ref().take(SQLITE.len() as u64).read_to_end(&mut begin).map_err(unreadable)?;
    if !begin.is_empty() && begin != SQLITE {
        return is_not("it is a file of something else");
    }
    Ok(())
}

/// Whether PostgreSQL can be reached, which a pool would go on to try for long.
///
/// # Errors
/// If not: why.
pub(super) async fn check_server(url: &str) -> Result<(), StoreError> {
    let unreachable = |reason: String| StoreError::Unreachable { store: without_password(url), reason };
    match tokio::time::timeout(ANSWER, AnyConnection::connect(url)).await {
        Ok(Ok(connection)) => connection.close().await.map_err(|error| unreachable(error.to_string())),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("it does not answer within {} s", ANSWER.as_secs()))),
    }
}

/// Whether a file of SQLite can be opened, and has these settings, which a pool would go on to try for long. That it is busy is no error:
/// the pool waits for it.
///
/// # Errors
/// If not: why, for instance that the disk is full.
pub(super) async fn check_written(path: &str, url: &str, settings: &str) -> Result<(), StoreError> {
    let tried = async {
        let mut connection = AnyConnection::connect(url).await?;
        sqlx::Executor::execute(&mut connection, settings).await?;
        connection.close().await
    };
    match tried.await {
        Err(error) if !is_busy(&error) => {
            Err(StoreError::Unreachable { store: path.to_owned(), reason: error.to_string() })
        }
        _ => Ok(()),
    }
}

/// Whether somebody else has a file of SQLite locked.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    // Above the lowest byte it says which kind of it.
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

/// Brings the tables of a store up to date.
///
/// # Errors
/// If they are a later version's, or somebody else's.
pub(super) async fn migrate(pool: &sqlx::AnyPool, migrator: &Migrator, store: &str) -> Result<(), StoreError> {
    let ours = sqlx::query("SELECT 1 FROM _sqlx_migrations LIMIT 1").fetch_optional(pool).await.is_ok();
    let theirs = async || sqlx::query("SELECT 1 FROM users LIMIT 1").fetch_optional(pool).await.is_ok();
    if !ours && theirs().await {
        let reason = "it is a database of something else, which has tables of the same names".to_owned();
        return Err(StoreError::NoDatabase { store: without_password(store), reason });
    }
    migrator.run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => {
            StoreError::Later { store: without_password(store) }
        }
        error => StoreError::Migration(error),
    })
}

/// Options of a pool.
pub(super) fn options(most: u32) -> AnyPoolOptions {
    // That one waits for a connection is no news: whoever waits for an answer sees it.
    AnyPoolOptions::new().max_connections(most).acquire_slow_level(log::LevelFilter::Off)
}

/// A URL as it may be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.split_once('@') {
        Some((user, host)) if user.contains(':') => {
            format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("postgres://palm:secret@db/palm", "postgres://palm@db/palm"),
            ("postgres://palm@db:5432/palm", "postgres://palm@db:5432/palm"),
            ("postgres://db:5432/palm", "postgres://db:5432/palm"),
            ("palm.db", "palm.db"),
        ] {
            assert_eq!(super::without_password(url), shown);
        }
    }
}
