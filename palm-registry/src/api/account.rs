//! Who asks: sessions, password and tokens.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// The user's name.
    pub user: String,
    /// Whether the user is an admin.
    pub admin: bool,
    /// What the caller may do at most.
    pub scope: Scope,
    /// For the header `X-CSRF-Token`, if the caller is known by a cookie.
    pub csrf: Option<String>,
}

/// A name and its password.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct LogIn {
    /// The user's name.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// The first admin.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetUp {
    /// What the printed link ends with.
    pub code: String,
    /// The admin's name.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// A password, and what it was.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct ChangePassword {
    /// What it was; of no matter if there was none.
    #[serde(default)]
    pub old: String,
    /// What it is to be: 10 characters or more.
    pub new: String,
}

/// What a token may do at most, whoever its user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// All that its user may do.
    Admin,
    /// All that its user may do with clusters, but nothing that only an admin may.
    Owner,
    /// What a node does.
    Runner,
    /// See what its user sees of clusters.
    Read,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Owner, Self::Runner, Self::Read];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::Runner => "runner",
            Self::Read => "read",
        }
    }

    /// Reads one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A token, without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenEntry {
    /// What it is revoked by.
    pub id: String,
    /// What its user calls it.
    pub name: String,
    /// What it may do at most.
    pub scope: Scope,
    /// Since when, in microseconds since 1970.
    pub created: i64,
    /// Until when; null: for ever.
    pub expires: Option<i64>,
}

/// A token that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddToken {
    /// What to call it.
    #[schemars(length(max = 100))]
    pub name: String,
    /// What it may do at most.
    pub scope: Scope,
    /// Until when, in microseconds since 1970; left out: for ever.
    #[serde(default)]
    pub expires: Option<i64>,
}

/// A token that is new.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    /// Itself. Nobody can see it again.
    pub token: String,
    /// About it.
    #[serde(flatten)]
    pub entry: TokenEntry,
}
