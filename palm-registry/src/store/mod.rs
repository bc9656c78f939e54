//! What the registry keeps: SQLite in a file, or PostgreSQL.
//!
//! Statements are written so that both understand them.

mod audit;
mod cached;
mod clusters;
mod counted;
#[cfg(test)]
mod earlier;
mod forget;
mod group;
mod heard;
mod insert;
mod instants;
mod keys;
mod log_bounds;
mod log_pages;
mod log_search;
mod logs;
mod nodes;
mod offers;
mod open;
pub mod secret;
mod sessions;
mod shares;
#[cfg(test)]
mod tests;
mod tokens;
mod users;
mod versions;

use std::path::Path;
use std::{fmt, io};

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::Migrator;

pub use crate::api::account::Scope;
pub use crate::api::audit::Deed;
pub use crate::api::shares::Share;
use crate::private;
pub use clusters::{Changed, ClusterRow, Saved};
pub use counted::Counts;
pub use keys::Presented;
pub use log_pages::LogPosition;
pub use log_search::LogSearch;
pub(crate) use log_search::is_all;
pub use logs::{LogLine, Origin, Period};
pub use nodes::{Hearing, NodeRow, Nodes};
pub use shares::Found;
pub use tokens::Token;
pub use users::{User, UserChange, UserEntry};
pub use versions::Version;

use crate::work::{Undone, Work};

/// Connections to PostgreSQL.
const CONNECTIONS: u32 = 8;
/// Connections that read SQLite; beside them one writes, as SQLite has one writer, and who reads does not wait for it.
const READERS: u32 = 4;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The registry's store.
#[derive(Clone, Debug)]
pub struct Store {
    pool: sqlx::AnyPool,
    /// For what only reads.
    read: sqlx::AnyPool,
    cached: cached::Cached,
    heard: heard::Heard,
    /// Held by who counts.
    counted: std::sync::Arc<tokio::sync::Mutex<counted::Counted>>,
    turns: offers::Turns,
    signs: group::Group<nodes::Sign>,
    lines: group::Group<logs::Batch>,
    /// Where files are read, and plans changed.
    pub(crate) work: Work,
}

/// The store cannot do what it was asked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL is of no store that there is.
    Url(String),
    /// What was named is no store, and cannot become one.
    NoDatabase {
        /// What was named, without a password.
        store: String,
        /// What it is.
        reason: String,
    },
    /// It cannot be reached, or not be read and written.
    Unreachable {
        /// What was named, without a password.
        store: String,
        /// Why not.
        reason: String,
    },
    /// It was made by a later version.
    Later {
        /// What was named, without a password.
        store: String,
    },
    /// The database says so.
    Database(sqlx::Error),
    /// Its file is not this user's alone.
    File(io::Error),
    /// Its tables cannot be brought up to date.
    Migration(sqlx::migrate::MigrateError),
    /// What it holds cannot be read: somebody else has written it.
    Corrupt(String),
    /// Too much waits to be done: it may be asked again later.
    Busy,
    /// Something could not be done to its end.
    Failed,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url}: expected the path of a file, sqlite:PATH or postgres://USER@HOST/NAME"),
            Self::NoDatabase { store, reason } => write!(f, "{store} is no store: {reason}"),
            Self::Unreachable { store, reason } => write!(f, "{store} cannot be opened: {reason}"),
            Self::Later { store } => {
                write!(f, "{store} was made by a later version of PALM: use that, or another store")
            }
            Self::Database(error) => write!(f, "the database: {error}"),
            // It names the file itself.
            Self::File(error) => error.fmt(f),
            Self::Migration(error) => write!(f, "the tables of the database cannot be brought up to date: {error}"),
            Self::Corrupt(what) => write!(f, "the database holds something that cannot be read: {what}"),
            Self::Busy => Undone::Busy.fmt(f),
            Self::Failed => Undone::Failed.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::Migration(error) => Some(error),
            Self::Url(_) | Self::NoDatabase { .. } | Self::Unreachable { .. } | Self::Later { .. } => None,
            Self::File(_) | Self::Corrupt(_) | Self::Busy | Self::Failed => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Undone> for StoreError {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Busy => Self::Busy,
            Undone::Failed => Self::Failed,
        }
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
        if is_postgres {
            open::check_server(url).await?;
            let pool = connections(CONNECTIONS, "").connect(url).await?;
            open::migrate(&pool, &POSTGRES, url).await?;
            keys::hash_all(&pool).await?;
            return Ok(Self::of(pool.clone(), pool));
        }
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
        if path.contains("://") || path == ":memory:" {
            return Err(StoreError::Url(url.to_owned()));
        }
        open::check_file(path)?;
        keep_private(path)?;
        let url = format!("sqlite:{path}?mode=rwc");
        let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON";
        open::check_written(path, &url, settings).await?;
        let pool = connections(1, settings).connect(&url).await?;
        open::migrate(&pool, &SQLITE, path).await?;
        keys::hash_all(&pool).await?;
        let read = connections(READERS, "PRAGMA query_only = ON").connect_lazy(&url)?;
        Ok(Self::of(pool, read))
    }

    fn of(pool: sqlx::AnyPool, read: sqlx::AnyPool) -> Self {
        Self {
            signs: group::Group::start(pool.clone()),
            lines: group::Group::start(pool.clone()),
            pool,
            read,
            cached: Default::default(),
            heard: Default::default(),
            counted: Default::default(),
            turns: Default::default(),
            work: Work::on_this_machine(),
        }
    }

    /// Whether it can be read.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1 FROM users LIMIT 1").fetch_optional(&self.read).await?;
        Ok(())
    }

    /// Waits until everything is written, and lets go of it.
    pub async fn close(&self) {
        self.read.close().await;
        self.pool.close().await;
    }
}

/// Connections, each of which begins with some statements.
fn connections(most: u32, settings: &'static str) -> AnyPoolOptions {
    open::options(most).after_connect(move |connection, _| {
        Box::pin(async move {
            sqlx::Executor::execute(connection, settings).await?;
            Ok(())
        })
    })
}

/// Makes a file, if it is not there, that nobody else can read: keys of clusters are in it. What SQLite puts beside it is as readable as it
/// is; what lies there already is closed to others, or refused if it is not this user's.
fn keep_private(path: &str) -> Result<(), StoreError> {
    let path = private::followed(Path::new(path)).map_err(StoreError::File)?;
    match private::keep_closed(&path) {
        // If it cannot be made, SQLite says why.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Ok(()),
        kept => kept.map_err(StoreError::File)?,
    }
    for ending in ["-wal", "-shm", "-journal"] {
        let mut beside = path.clone().into_os_string();
        beside.push(ending);
        match private::close(Path::new(&beside)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            closed => closed.map_err(StoreError::File)?,
        }
    }
    Ok(())
}

/// Now, in microseconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
