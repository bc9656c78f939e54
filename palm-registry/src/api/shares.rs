//! With whom a cluster is shared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody may do with another's cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// See it.
    Read,
    /// See it, and start, stop and scale what it runs.
    Operate,
}

impl Share {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

/// Somebody with whom a cluster is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The user's name.
    pub user: String,
    /// What the user may do.
    pub share: Share,
}

/// What is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// What the user may do.
    pub share: Share,
}
