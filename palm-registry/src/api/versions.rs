//! What a cluster's file was before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Its number, from 1.
    pub number: i64,
    /// When it was set, in microseconds since 1970.
    pub at: i64,
    /// The name of who did.
    pub author: String,
}

/// A version with its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Whole {
    /// About it.
    #[serde(flatten)]
    pub entry: Entry,
    /// The file.
    pub file: String,
}

/// What to compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct To {
    /// The number of another version; left out: the newest.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub to: Option<i64>,
}
