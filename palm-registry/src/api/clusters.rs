//! Clusters: the list of them, their files and settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, FileError};

/// Longest file, in bytes.
pub const FILE_MAX: usize = 1 << 20;

/// Whether the registry takes a file of this length and with these bytes, whatever it says.
///
/// # Errors
/// What was expected.
pub fn check_text(file: &str) -> Result<(), &'static str> {
    if file.len() > FILE_MAX || file.contains('\0') {
        return Err("expected a file of at most 1 MiB, without a zero byte");
    }
    Ok(())
}

/// A cluster, as a list of them tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// What it is known by.
    pub id: String,
    /// A name for people.
    pub alias: Option<String>,
    /// The name of its owner.
    pub owner: String,
    /// When its file was set last, in microseconds since 1970.
    pub changed: i64,
    /// Whether everything is placed.
    pub ready: bool,
    /// Processes in all.
    pub processes: u64,
    /// Those of them that have a place.
    pub placed: u64,
    /// Names of its nodes.
    pub nodes: Vec<String>,
    /// What the caller may do.
    pub may: May,
    /// Whether Python's clients are answered.
    pub python: bool,
}

/// What somebody may do with a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct May {
    /// Start, stop, restart, scale, reset.
    pub operate: bool,
    /// Set its file, share it, delete it.
    pub manage: bool,
}

/// A cluster that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Create {
    /// Its file, as INI or TOML.
    pub file: String,
    /// A name for people.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub alias: Option<String>,
}

/// A cluster's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct File {
    /// Itself, as INI or TOML.
    pub file: String,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Validation {
    /// Nothing is wrong with it.
    pub valid: bool,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The component, if it is about one.
    pub component: Option<String>,
    /// The key, if it is about one.
    pub key: Option<String>,
    /// What is wrong, and what was expected.
    pub reason: Option<String>,
    /// The components that it has, in order.
    pub components: Vec<String>,
    /// What is passed over in it, or read otherwise than it looks.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// What is passed over in a file, or read otherwise than it looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// The line, from 1.
    pub line: usize,
    /// The component, if it is about one.
    pub component: Option<String>,
    /// The key, if it is about one.
    pub key: Option<String>,
    /// What is so.
    pub reason: String,
}

/// Warnings that are told of a file at most.
const WARNINGS: usize = 100;

impl Validation {
    /// What is wrong with this file.
    pub fn of(file: &str) -> Self {
        match Cluster::from_text(file) {
            Ok(cluster) => {
                let components = cluster.components.into_iter().map(|component| component.name).collect();
                let warning = |FileError { line, component, key, reason }| Warning { line, component, key, reason };
                let warnings = Cluster::remarks(file).into_iter().take(WARNINGS).map(warning).collect();
                Self { valid: true, line: None, component: None, key: None, reason: None, components, warnings }
            }
            Err(FileError { line, component, key, reason }) => {
                let (line, reason) = (Some(line), Some(reason));
                Self { valid: false, line, component, key, reason, components: Vec::new(), warnings: Vec::new() }
            }
        }
    }
}

/// A cluster with its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Whole {
    /// About it.
    #[serde(flatten)]
    pub entry: Entry,
    /// Its file.
    pub file: String,
}

/// What is to be different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// A name for people; left out: as it is.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub alias: Option<String>,
    /// Whether Python's clients are answered; left out: as it is.
    #[serde(default)]
    pub python: Option<bool>,
}

/// A cluster's key.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// Itself.
    pub key: String,
}
