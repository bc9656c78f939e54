//! What cannot be granted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to what cannot be granted, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// Why.
    pub error: Reason,
}

/// Why something cannot be granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// A word for programs.
    pub code: String,
    /// For people: why, and what to do.
    pub message: String,
}
