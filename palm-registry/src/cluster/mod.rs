//! The cluster file: which components there are, and how they are started (`docs/registry.md`, section 1).
//!
//! ```
//! use palm_registry::cluster::Cluster;
//!
//! let cluster = Cluster::from_ini("
//! [Master]
//! Script = palm master --name server
//! --db = _1
//!
//! [Worker]
//! Script = palm worker --demo
//! --db = _1
//! Connected = Master
//! Replicas = 2
//! ")?;
//! assert_eq!(cluster.components[1].copies(), 3);
//! assert!(cluster.to_toml().contains(r#"connected = ["Master"]"#));
//! # Ok::<(), palm_registry::cluster::FileError>(())
//! ```

mod check;
mod difference;
mod error;
mod ini;
mod interpolation;
mod key_lines;
pub(crate) mod limits;
mod model;
mod remarks;
mod sections;
mod shell;
#[cfg(test)]
pub(crate) mod tests;
mod toml_file;

pub use check::start_order;
pub(crate) use check::wrong_name;
pub use difference::difference;
pub use error::FileError;
pub(crate) use ini::integer;
pub(crate) use interpolation::Values;
pub use model::{Cluster, Component, Extras, Flag, FlagValue, Readiness, Restart};
pub(crate) use sections::{Ini, Reading};
pub use shell::ForShell;

/// A file without the mark that some editors put in front of it.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
