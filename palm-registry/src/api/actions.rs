//! What people do with what runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which components.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Which {
    /// Its name; left out: all of them.
    #[serde(default)]
    pub component: Option<String>,
}

/// What it was done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// Names of the components.
    pub components: Vec<String>,
}

/// How many copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scale {
    /// The component's name.
    pub component: String,
    /// Copies beside the first.
    #[schemars(range(max = 9999))]
    pub replicas: u32,
}
