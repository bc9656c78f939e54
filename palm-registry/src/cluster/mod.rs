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
pub(crate) mod limits;
mod model;
#[cfg(test)]
pub(crate) mod tests;
mod toml_file;

pub use check::start_order;
pub use difference::difference;
pub use error::FileError;
pub(crate) use ini::sections;
pub use model::{Cluster, Component, Extras, Flag, Readiness, Restart};
