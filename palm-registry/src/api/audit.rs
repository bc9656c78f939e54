//! What was done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deed {
    /// Counts up.
    pub id: i64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// The name of who did it, as it was then; empty: somebody without one.
    pub who: String,
    /// From which address.
    pub address: String,
    /// What.
    pub what: String,
    /// The id of the cluster that it was done to.
    pub cluster: Option<String>,
    /// More about it. Never a secret.
    pub detail: String,
}

/// Where to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Before {
    /// The `id` of the last that was seen; left out: from the newest on.
    #[serde(default)]
    pub before: Option<i64>,
    /// How many, from 1 to 1000; left out: 100.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<i64>,
}
