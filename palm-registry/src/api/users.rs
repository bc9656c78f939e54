//! Who may ask; for admins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it may do everything.
    pub admin: bool,
    /// Whether it can log in with a password.
    pub has_password: bool,
    /// Since when, in microseconds since 1970.
    pub created: i64,
}

/// A user that is wanted.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct AddUser {
    /// Its name.
    pub name: String,
    /// Whether it may do everything.
    #[serde(default)]
    pub admin: bool,
    /// Its password: 10 characters or more.
    #[serde(default)]
    pub password: Option<String>,
}

/// What is to be different.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ChangeUser {
    /// Whether it may do everything; left out: as it is.
    #[serde(default)]
    pub admin: Option<bool>,
    /// Its password; left out: as it is.
    #[serde(default)]
    pub password: Option<String>,
}
