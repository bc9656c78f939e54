//! What the registry keeps: SQLite in a file, or PostgreSQL.
//!
//! Statements are written so that both understand them.

mod audit;
mod clusters;
mod log_search;
mod logs;
mod nodes;
pub mod secret;
mod sessions;
mod shares;
#[cfg(test)]
mod tests;
mod tokens;
mod users;
mod versions;

use std::fmt;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::Migrator;

pub use crate::api::account::Scope;
pub use crate::api::audit::Deed;
pub use crate::api::shares::Share;
pub use clusters::{Changed, ClusterRow, Saved};
pub use log_search::LogSearch;
pub use logs::{LogLine, LogQuery, Origin, Period};
pub use nodes::{Hearing, NodeRow, ProcessRow};
pub use shares::Found;
pub use tokens::Token;
pub use users::{User, UserChange, UserEntry};
pub use versions::Version;

/// Connections to PostgreSQL. SQLite has one writer, and so one.
const CONNECTIONS: u32 = 8;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The registry's store.
#[derive(Clone, Debug)]
pub struct Store {
    pool: sqlx::AnyPool,
}

/// The store cannot do what it was asked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL is of no store that there is.
    Url(String),
    /// The database says so.
    Database(sqlx::Error),
    /// Its tables cannot be brought up to date.
    Migration(sqlx::migrate::MigrateError),
    /// What it holds cannot be read: somebody else has written it.
    Corrupt(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url}: expected the path of a file, sqlite:PATH or postgres://USER@HOST/NAME"),
            Self::Database(error) => write!(f, "the database: {error}"),
            Self::Migration(error) => write!(f, "the tables of the database cannot be brought up to date: {error}"),
            Self::Corrupt(what) => write!(f, "the database holds something that cannot be read: {what}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::Migration(error) => Some(error),
            Self::Url(_) | Self::Corrupt(_) => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl Store {
    /// Opens a store, makes it if it is a file that is not there, and brings its tables up to date.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let (url, migrator) = match url {
            url if is_postgres => (url.to_owned(), &POSTGRES),
            url => {
                let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
                if path.contains("://") {
                    return Err(StoreError::Url(url.to_owned()));
                }
                keep_private(path);
                (format!("sqlite:{path}?mode=rwc"), &SQLITE)
            }
        };
        let options = AnyPoolOptions::new().max_connections(if is_postgres { CONNECTIONS } else { 1 });
        let options = options.after_connect(move |connection, _| {
            Box::pin(async move {
                if !is_postgres {
                    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON";
                    sqlx::Executor::execute(connection, settings).await?;
                }
                Ok(())
            })
        });
        let pool = options.connect(&url).await?;
        migrator.run(&pool).await.map_err(StoreError::Migration)?;
        Ok(Self { pool })
    }

    /// Whether it can be read.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1 FROM users LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(())
    }

    /// Waits until everything is written, and lets go of it.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Makes a file, if it is not there, that nobody else can read: keys of clusters are in it. What SQLite puts beside it is as readable as it is.
fn keep_private(path: &str) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // If it cannot be made, SQLite says why.
    let _ = options.open(path);
}

/// Now, in microseconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
